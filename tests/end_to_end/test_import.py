"""Predictions made elsewhere: the same evaluation as a direct one, or one clear line and nothing kept."""

import json
import re
import shutil
from pathlib import Path

import polars as pl
import pytest

pytest.importorskip("torch")

from import_files import import_into, invoke, small_frame, write_as
from run_commands import run

from failmodes.__main__ import main
from failmodes.analysis.evaluations.selection import select_one
from failmodes.analysis.judging.findings.collection import limitations
from failmodes.analysis.report.sections import model_provenance
from failmodes.warehouse.database.connection import open_warehouse


def test_from_import_to_warehouse_without_any_model(fresh_study, exported_predictions, tmp_path) -> None:
    path = write_as("probabilities as CSV", exported_predictions, tmp_path)
    assert "5 cells imported, 0 already present: My API, probabilities" in invoke(
        "import", path, fresh_study, "--label", "My API"
    )
    assert "already present, nothing to do" in invoke("import", path, fresh_study, "--label", "My API")
    invoke("load", fresh_study)
    status = invoke("status", fresh_study)
    (row,) = json.loads(invoke("status", fresh_study, "--json"))["evaluations"]
    assert (row["model_label"], row["cell_count"], row["attention_cell_count"]) == ("My API", 5, 0)
    assert re.search(r"(\d+) of \1 checks pass", status)


@pytest.fixture(scope="module")
def beside(tiny_run, exported_predictions, tmp_path_factory) -> Path:
    """A study whose warehouse holds a direct and an imported evaluation of the same predictions."""
    folder = tmp_path_factory.mktemp("beside")
    shutil.copytree(tiny_run[0].parent, folder / "study")
    study = folder / "study" / "study.toml"
    invoke("import", write_as("list of probabilities", exported_predictions, folder), study, "--label", "Elsewhere")
    invoke("load", study)
    return study


@pytest.mark.test_all
def test_beside_a_direct_evaluation_it_is_said_where_an_import_comes_from(beside) -> None:
    rows = json.loads(invoke("status", beside, "--json"))["evaluations"]
    assert sorted((row["cell_count"], row["attention_cell_count"]) for row in rows) == [(5, 0), (5, 5)]
    with open_warehouse(beside.parent / "out" / "warehouse.duckdb") as con:
        selection = select_one(con)
        (imported,) = (e for e in selection.evaluations if e.label == "Elsewhere")
        facts = dict(model_provenance(con, imported))
        limits = {limitation.topic: limitation for limitation in limitations(con, selection)}
    assert facts["Architecture"] == "imported, predictions only"
    assert facts["Attention"] == "predictions were made elsewhere"
    assert (facts["Normalization"], facts["Device"]) == ("not stated", "elsewhere")
    assert limits["Imports"].sentence == "Predictions of Elsewhere are imported."


@pytest.mark.test_all
def test_rows_that_are_not_finite_are_counted_among_the_limits(small_import, tmp_path) -> None:
    nan = pl.when(pl.int_range(pl.len()) % 10 == 3).then(float("nan")).otherwise("logit_0")
    small_frame().with_columns(logit_0=nan).write_parquet(tmp_path / "p.parquet")
    import_into(small_import, tmp_path / "p.parquet")
    invoke("load", small_import)
    with open_warehouse(small_import.parent / "out" / "warehouse.duckdb") as con:
        limits = {limitation.topic: limitation for limitation in limitations(con, select_one(con))}
    assert limits["Numbers"].detail.startswith("10 of Elsewhere, over all cells")


@pytest.mark.test_all
def test_report_and_charts_of_an_import_alone(fresh_study, exported_predictions, tmp_path) -> None:
    file = write_as("list of probabilities", exported_predictions, tmp_path)
    invoke("import", file, fresh_study, "--label", "Elsewhere")
    invoke("load", fresh_study)
    invoke("report", fresh_study)
    page = (fresh_study.parent / "out" / "report.html").read_text()
    assert "Elsewhere is indistinguishable from chance on clean images" in page
    for name in ("curves", "exemplars", "calibration", "distortion"):
        invoke("chart", name, fresh_study, "--output", tmp_path / f"{name}.json")
    refused = run("chart", "attention", fresh_study, "--output", "attention.json", folder=tmp_path, expect=1)
    assert "no attention drift to show: predictions were made elsewhere" in refused.stderr


def test_a_study_without_models_says_how_to_go_on(small_import, monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["failmodes", "evaluate", str(small_import)])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "add a [[models]] table, or import predictions with" in capsys.readouterr().err
