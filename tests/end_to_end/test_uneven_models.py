"""Models that were evaluated in different cells: what averages are over is named."""

import json
from pathlib import Path

import pytest
from run_commands import run
from uneven_results import EVERY, Grid, write_uneven
from warehouse_files import stored_rows

from failmodes.analysis.evaluations.selection import select_one
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load

LEFT_OUT = (
    "Averages and comparisons are over severities 1 and 3, which all models share; severity 2 of Alpha and Beta",
    "No average over all corruptions for Cedar: not evaluated under motion blur.",
    "Douglas is left out: it was evaluated under fog at severities 1 and 2 only, the other models at severities 1 and",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cedar has fewer severities and corruptions than Alpha and Beta, and Douglas ended early; read only."""
    folder = tmp_path_factory.mktemp("uneven")
    whole, cedar, douglas = Grid((1, 2, 3)), Grid((1, 3), ("fog", "contrast")), Grid((1, 2), ("fog",))
    write_uneven(folder / "results", images=24, Alpha=whole, Beta=whole, Cedar=cedar, Douglas=douglas)
    run("load", "results", "--into", "w.duckdb", folder=folder)
    return folder


@pytest.mark.test_all
def test_charts_name_what_averages_leave_out(folder: Path) -> None:
    """On stderr and in the caption, with the reason; they draw every model that is not left out."""
    drawn = run("chart", "curves", "w.duckdb", "-o", "curves.json", folder=folder)
    chart = json.loads((folder / "curves.json").read_text())
    for sentence in LEFT_OUT:
        assert sentence in " ".join(drawn.stderr.split())
        assert sentence in " ".join(chart["title"]["subtitle"])
    rows = [row for rows in chart["datasets"].values() for row in rows if isinstance(row, dict)]
    assert {row["label"] for row in rows if row.get("label")} == {"Alpha", "Beta", "Cedar"}


@pytest.mark.test_all
def test_a_report_names_what_averages_leave_out(folder: Path) -> None:
    reported = run("report", "w.duckdb", "-o", "report.html", folder=folder)
    report = (folder / "report.html").read_text().split("<script")[0]
    for sentence in LEFT_OUT:
        assert sentence in " ".join(reported.stderr.split())
        assert sentence in report
    assert "was not finished" not in report


def test_means_are_over_the_shared_severities(folder: Path) -> None:
    """In SQL and in a model card."""
    ((mean, severities),) = stored_rows(
        folder / "w.duckdb",
        "select mean_corrupted_accuracy, severities::double[] from robustness_by_model where model_label = 'Alpha'",
    )
    ((expected,),) = stored_rows(
        folder / "w.duckdb",
        "select avg(mean) from (select avg(accuracy) as mean from accuracy_by_severity "
        "where model_label = 'Alpha' and severity in (1, 3) group by corruption)",
    )
    assert (mean, severities) == (pytest.approx(expected), [1, 3])
    run("publish", "w.duckdb", "--format", "model-card", "-o", "card.md", folder=folder)
    assert f'"value": {round(expected, 4)}' in (folder / "card.md").read_text()


@pytest.mark.test_all
def test_a_model_named_alone_is_averaged_over_all_its_severities(folder: Path) -> None:
    with open_warehouse(folder / "w.duckdb") as con:
        alone = select_one(con, models=["Alpha"])
    assert (alone.severities, alone.exclusions) == ([1, 2, 3], [])


@pytest.mark.test_all
def test_a_corruption_that_only_some_have_leaves_the_others_out(folder: Path) -> None:
    arguments = ("chart", "curves", "w.duckdb", "--corruption", "motion_blur")
    done = run(*arguments, "-o", "blur.json", folder=folder)
    assert "Cedar is left out: it was not evaluated under any of these corruptions." in done.stderr
    refused = run(*arguments, "--model", "Cedar", "-o", "none.json", folder=folder, expect=1)
    assert "Cedar: it was not evaluated under any of these corruptions" in refused.stderr
    assert not (folder / "none.json").exists()


@pytest.mark.test_all
def test_a_model_without_a_shared_severity_is_left_out(tmp_path: Path) -> None:
    odd, even = Grid((1, 3), EVERY[:1]), Grid((2, 4), EVERY[:1])
    write_uneven(tmp_path, images=20, Alpha=odd, Beta=odd, Cedar=even)
    load([tmp_path], tmp_path / "w.duckdb")
    with open_warehouse(tmp_path / "w.duckdb") as con:
        selection = select_one(con)
    assert set(selection.labels.values()) == {"Alpha", "Beta"}
    assert selection.severities == [1, 3]
    assert selection.exclusions == [
        "Cedar is left out: it was evaluated at severities 2 and 4, the other models at severities 1 and 3."
    ]
