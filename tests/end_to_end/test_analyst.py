"""Every command through its installed script, in a directory of its own: what it prints, and how it fails."""

from installed_script import failmodes


def test_an_analyst_asks_in_sql(handed) -> None:
    done = failmodes("query", "select count(*) as n from prediction_facts", "--format", "csv", folder=handed)
    assert done.stdout.split() == ["n", str(2 * 26 * 80)]
    refused = failmodes("query", "copy predictions to 'stolen.parquet'", folder=handed, expect=2)
    assert len(refused.stderr.strip().splitlines()) == 1
    assert not (handed / "stolen.parquet").exists()


def test_an_analyst_draws_and_reports(handed, tmp_path) -> None:
    failmodes("chart", "curves", handed / "warehouse.duckdb", "--output", "curves.svg", folder=tmp_path)
    assert (tmp_path / "curves.svg").read_text().startswith("<svg")
    wrong = failmodes("chart", "curve", handed / "warehouse.duckdb", folder=tmp_path, expect=2)
    assert "curves" in wrong.stderr
    assert "16 of 16 checks pass" in failmodes("status", folder=handed).stdout
