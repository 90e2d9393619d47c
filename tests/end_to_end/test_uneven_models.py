"""Models that were evaluated in different cells, through the installed command: what averages are over is named."""

import json
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest
from installed_script import failmodes
from uneven_results import Grid, write_uneven


class Case(NamedTuple):
    """A third model's grid, the severities of averages, the models drawn, and words of what is left out and why."""

    name: str
    grids: dict[str, Grid]
    severities: list[float]
    drawn: set[str]
    said: list[str]


CASES = [
    Case("fewer severities", {"Cedar": Grid((1, 3, 5))}, [1, 3, 5], {"Alpha", "Beta", "Cedar"},
         ["severities 1, 3 and 5", "severities 2 and 4 of Alpha and Beta"]),
    Case("other severities", {"Cedar": Grid((2, 4))}, [2, 4], {"Alpha", "Beta", "Cedar"},
         ["severities 2 and 4", "severities 1, 3 and 5 of Alpha and Beta"]),
    Case("no shared severity", {"Alpha": Grid((1, 3, 5)), "Beta": Grid((1, 3, 5)), "Cedar": Grid((2, 4))}, [1, 3, 5],
         {"Alpha", "Beta"},
         ["Cedar is left out: it was evaluated at severities 2 and 4, the other models at severities 1, 3 and 5."]),
    Case("fewer corruptions", {"Cedar": Grid(corruptions=("fog", "contrast"))}, [1, 2, 3, 4, 5],
         {"Alpha", "Beta", "Cedar"}, ["No average over all corruptions for Cedar", "motion blur"]),
    Case("ended early", {"Cedar": Grid((1, 2), ("fog",))}, [1, 2, 3, 4, 5], {"Alpha", "Beta"},
         ["Cedar is left out: it was evaluated under fog at severities 1 and 2 only"]),
]  # fmt: skip


class Loaded(NamedTuple):
    """A folder with the warehouse `w.duckdb` of a case."""

    folder: Path
    case: Case


@pytest.fixture(params=CASES, ids=lambda case: case.name, scope="module")
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = tmp_path_factory.mktemp("uneven")
    write_uneven(folder / "results", images=60, **request.param.grids)
    failmodes("load", "results", "--into", "w.duckdb", folder=folder)
    return Loaded(folder, request.param)


def test_charts_and_report_name_what_averages_leave_out(loaded: Loaded) -> None:
    """On stderr, in the caption and in the report, with the reason; charts draw every model that is not left out."""
    folder, case = loaded
    drawn = failmodes("chart", "curves", "w.duckdb", "-o", "curves.json", folder=folder)
    reported = failmodes("report", "w.duckdb", "-o", "report.html", folder=folder)
    chart = json.loads((folder / "curves.json").read_text())
    report = (folder / "report.html").read_text().split("<script")[0]
    for words in case.said:
        assert words in " ".join(drawn.stderr.split())
        assert words in " ".join(reported.stderr.split())
        assert words in " ".join(chart["title"]["subtitle"])
        assert words in report
    rows = [row for rows in chart["datasets"].values() for row in rows if isinstance(row, dict)]
    assert {row["label"] for row in rows if row.get("label")} == case.drawn
    assert "was not finished" not in report


def test_means_are_over_the_shared_severities(loaded: Loaded) -> None:
    """In SQL and in a model card."""
    folder, case = loaded
    with duckdb.connect(str(folder / "w.duckdb"), read_only=True) as con:
        rows = con.sql("select model_label, mean_corrupted_accuracy, severities::double[] from robustness_by_model")
        means = {label: (mean, severities) for label, mean, severities in rows.fetchall()}
        expected = con.execute(
            "select avg(mean) from (select avg(accuracy) as mean from accuracy_by_severity "
            "where model_label = 'Alpha' and list_contains(?, severity) group by corruption)",
            [case.severities],
        ).fetchone()
    assert means["Alpha"] == (pytest.approx(expected[0]), case.severities)
    failmodes("publish", "w.duckdb", "--format", "model-card", "-o", "card.md", folder=folder)
    card = (folder / "card.md").read_text()
    assert f'"value": {round(expected[0], 4)}' in card


def test_a_model_named_alone_is_averaged_over_all_its_severities(tmp_path: Path) -> None:
    write_uneven(tmp_path / "results", images=60, Cedar=Grid((1, 3, 5)))
    failmodes("load", "results", "--into", "w.duckdb", folder=tmp_path)
    done = failmodes("chart", "ranking", "w.duckdb", "--model", "Alpha", "-o", "alone.svg", folder=tmp_path)
    assert "severities" not in done.stderr


def test_a_corruption_that_only_some_have_leaves_the_others_out(tmp_path: Path) -> None:
    write_uneven(tmp_path / "results", images=60, Cedar=Grid(corruptions=("fog", "contrast")))
    failmodes("load", "results", "--into", "w.duckdb", folder=tmp_path)
    arguments = ("chart", "curves", "w.duckdb", "--corruption", "motion_blur")
    done = failmodes(*arguments, "-o", "blur.svg", folder=tmp_path)
    assert "Cedar is left out: it was not evaluated under any of these corruptions." in done.stderr
    refused = failmodes(*arguments, "--model", "Cedar", "-o", "none.svg", folder=tmp_path, expect=1)
    assert "Cedar: it was not evaluated under any of these corruptions" in refused.stderr
    assert not (tmp_path / "none.svg").exists()
