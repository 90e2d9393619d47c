"""`failmodes claims` as a user runs it: in an empty folder, on a file, a folder or a study, and what is refused."""

import json
from pathlib import Path

import pytest
from installed_script import failmodes
from synthetic_results import write_synthetic

from failmodes.warehouse.database.load import load

STUDY = """
name = "mine"
output = "out"
claims = ["fog costs more than 10 points at 5", 'Alpha better than "Beta" on average']
[dataset]
kind = "digits"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study and the record that it has made, not yet loaded."""
    here = tmp_path_factory.mktemp("claims")
    write_synthetic(here / "out" / "results", images=60, corruptions=("fog", "contrast"), severities=(2, 5))
    (here / "study.toml").write_text(STUDY.replace("[dataset]", 'results = "out/results"\n[dataset]'))
    return here


@pytest.mark.slow
def test_from_a_study_to_a_table(folder: Path) -> None:
    failmodes("load", folder=folder)
    said = failmodes("query", "select claim from stated_claims order by position", "--format", "csv", folder=folder)
    assert said.stdout.splitlines()[1] == "fog costs more than 10 points at 5"
    table = failmodes("claims", folder=folder).stdout
    assert "✓ supported" in table
    assert "Alpha and Beta" in table
    counts = failmodes("query", "select count(*) as n from claims", "--format", "json", folder=folder).stdout
    assert json.loads(counts) == [{"n": 3}]
    assert "2 stated claims" in failmodes("status", "out", folder=folder).stdout


@pytest.mark.slow
def test_a_study_is_read_again_each_time(folder: Path) -> None:
    failmodes("load", folder=folder)
    text = (folder / "study.toml").read_text()
    (folder / "study.toml").write_text(text.replace("10 points", "20 points"))
    assert "20 points" in " ".join(failmodes("claims", folder=folder).stdout.split())
    assert "20 points" in " ".join(failmodes("claims", "out", folder=folder).stdout.split())
    (folder / "study.toml").write_text(text.replace("fog costs", "fogg costs"))
    for command in ("claims", "report"):
        refused = failmodes(command, folder=folder, expect=2)
        assert "unknown corruption 'fogg': did you mean 'fog'?" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    (folder / "study.toml").write_text(text)


def test_a_load_refuses_what_a_run_refuses_and_leaves_the_warehouse(folder: Path, tmp_path: Path) -> None:
    failmodes("load", folder=folder)
    text = (folder / "study.toml").read_text().replace('"out', f'"{folder}/out')
    (tmp_path / "study.toml").write_text(text.replace("fog costs more", "fog kosts more"))
    refused = failmodes("load", "study.toml", "--into", "w.duckdb", folder=tmp_path, expect=2)
    assert "claim 'fog kosts more than 10 points at 5' is not understood: did you mean" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]
    assert failmodes("claims", folder=tmp_path, expect=2).stderr == refused.stderr


def test_any_claim_of_a_file(folder: Path, tmp_path: Path) -> None:
    load([folder / "out" / "results"], tmp_path / "w.duckdb")
    assert failmodes("claims", "w.duckdb", folder=tmp_path).stdout == "No claims are stated.\n"
    said = failmodes("claims", "w.duckdb", "fog costs most", "snow is flat", "--json", "-", folder=tmp_path).stdout
    rows = json.loads(said)["claims"]
    assert [row["claim"] for row in rows] == ["fog costs most"] * 2 + ["snow is flat"] * 2
    assert rows[2]["reason"] == "snow was not evaluated"
    failmodes("claims", "w.duckdb", "fog is flat", "--json", "a.json", "--markdown", "a.md", folder=tmp_path)
    assert json.loads((tmp_path / "a.json").read_text())["format"] == 1
    assert "| fog is flat | Alpha |" in (tmp_path / "a.md").read_text()


@pytest.mark.slow
def test_a_claim_alone_is_about_the_study_here(folder: Path) -> None:
    failmodes("load", folder=folder)
    assert "contrast is flat" in " ".join(failmodes("claims", "contrast is flat", folder=folder).stdout.split())


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "says"), [
    (("w.duckdb", "fog kosts most"), "claim 'fog kosts most' is not understood: did you mean 'fog costs most'?"),
    (("w.duckdb", "fogg is flat"), "unknown corruption 'fogg': did you mean 'fog'?"),
    (("w.duckdb", "fog is flat for Alpah"), "no model 'Alpah' was evaluated: did you mean 'Alpha'?"),
    (("w.duckdb", "fog \x1b[31m"), "holds letters that cannot be printed"),
    (("w.duckdb", "fog " * 500), "expected at most 200"),
    (("w.duckdb", "fog is flat", "--json", "-", "--markdown", "-"), "print one, and name a file for the other"),
    (("nowhere.toml",), "no study file at nowhere.toml"),
    (("fog is flat",), "no study.toml or warehouse.duckdb in the current folder"),
])  # fmt: skip
def test_what_is_wrong_is_one_line(folder: Path, tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    load([folder / "out" / "results"], tmp_path / "w.duckdb")
    refused = failmodes("claims", *arguments, folder=tmp_path, expect=2)
    assert says in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert "\x1b" not in refused.stderr
