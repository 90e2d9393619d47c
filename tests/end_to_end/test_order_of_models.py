"""Order and color of models: as in the study, the same when a model is added; a baseline is first and gray."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from time import sleep

import duckdb
import pytest
from run_commands import run
from synthetic_results import write_synthetic

from failmodes.analysis.charts.registry import draw_selection
from failmodes.analysis.charts.style.frame import PAGE
from failmodes.analysis.evaluations.selection import select, select_one
from failmodes.analysis.report.sections import pairs_by_selection
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.stated_models import StatedModel

FALLS = {"Zebra": 1.0, "Aspen": 0.4, "Maple": 1.5, "Birch": 0.8, "Cedar": 0.1, "Fir": 1.2}
GRAY = "#4a4f57"  # of the baseline


def evaluate(folder: Path, *labels: str) -> None:
    """Write results of models, one evaluated after the other."""
    for label in labels:
        options = {"corruptions": ("contrast",), "severities": (5,), "falls": FALLS}
        write_synthetic(folder / "out", images=60, models=(label,), **options)


def write_study(folder: Path, *models: str, baseline: str) -> None:
    tables = "".join(
        f'[[models]]\nlabel = "{label}"\narchitecture = "resnet18"\ncheckpoint = "x.pt"\n' for label in models
    )
    text = f'name = "ours"\noutput = "out"\nbaseline = "{baseline}"\n[dataset]\nkind = "digits"\n{tables}'
    (folder / "study.toml").write_text(text)


def colors(folder: Path, *models: str, baseline: str = "") -> dict[str, str]:
    """Color by series of the chart of curves, in the order of its legend, once a study with these models is loaded."""
    stated = [StatedModel(label, label == baseline) for label in models]
    load([folder / "out"], folder / "w.duckdb", models=stated)
    with open_warehouse(folder / "w.duckdb") as con:
        return drawn_colors(con)


def drawn_colors(con: duckdb.DuckDBPyConnection, models: Sequence[str] = ()) -> dict[str, str]:
    return legend(json.dumps(draw_selection("curves", con, select_one(con, models=models), frame=PAGE).to_dict()))


def legend(chart: str) -> dict[str, str]:
    scale = r'"scale": (\{ ?"domain": \[[^]]*\], "range": \[[^]]*\] ?\})'
    found = json.loads(re.search(scale, re.sub(r"\s+", " ", chart))[1])
    return dict(zip(found["domain"], found["range"], strict=True))


@pytest.mark.test_all
def test_models_are_in_the_order_of_the_study_after_its_baseline_and_keep_their_color(tmp_path: Path) -> None:
    evaluate(tmp_path, "Aspen", "Zebra")
    before = colors(tmp_path, "Zebra", "Aspen")
    assert list(before) == ["Zebra", "Aspen"]
    evaluate(tmp_path, "Birch")
    after = colors(tmp_path, "Zebra", "Aspen", "Birch", baseline="Birch")
    assert list(after) == ["Birch (baseline)", "Zebra", "Aspen"]
    assert after == before | {"Birch (baseline)": GRAY}
    with open_warehouse(tmp_path / "w.duckdb") as con:
        assert drawn_colors(con, ["Aspen"]) == {"Aspen": before["Aspen"]}
        (pairs,) = pairs_by_selection(con, tmp_path / "w.duckdb", select(con))
    assert [(a.label, b.label) for a, b in pairs] == [("Birch", "Zebra"), ("Birch", "Aspen")]


@pytest.mark.test_all
def test_models_of_no_study_are_in_the_order_of_their_evaluation(tmp_path: Path) -> None:
    evaluate(tmp_path, "Zebra")
    sleep(1.1)  # results have their time to the second
    evaluate(tmp_path, "Aspen")
    assert list(colors(tmp_path)) == ["Zebra", "Aspen"]


@pytest.mark.test_all
def test_of_many_models_the_baseline_has_its_color_too(tmp_path: Path) -> None:
    evaluate(tmp_path, *FALLS)
    of_many = colors(tmp_path, *FALLS, baseline="Birch")
    assert next(iter(of_many)) == "Birch (baseline)"
    assert of_many["Birch (baseline)"] == GRAY
    assert len(set(of_many.values())) == len(of_many) == 4  # with the best, the worst and the others


@pytest.mark.test_all
def test_the_report_compares_the_others_with_the_baseline_of_the_study(tmp_path: Path) -> None:
    evaluate(tmp_path, "Zebra", "Maple", "Aspen")
    write_study(tmp_path, "Zebra", "Maple", "Aspen", baseline="Maple")
    run("load", folder=tmp_path)
    run("chart", "curves", "out", "-o", "curves.json", folder=tmp_path)
    assert list(legend((tmp_path / "curves.json").read_text())) == ["Maple (baseline)", "Zebra", "Aspen"]
    run("report", folder=tmp_path)
    report = (tmp_path / "out" / "report.html").read_text()
    for words in ("Comparison: Zebra with Maple", "Comparison: Aspen with Maple", "than the baseline Maple"):
        assert words in report


@pytest.mark.parametrize("command", ["load", "status"])
def test_a_baseline_that_is_none_of_the_models_is_an_error(tmp_path: Path, command: str) -> None:
    write_study(tmp_path, "Zebra", "Aspen", baseline="Zebre")
    done = run(command, folder=tmp_path, expect=2)
    assert "baseline: no model 'Zebre'" in done.stderr
    assert "did you mean 'Zebra'" in done.stderr
    assert "study.toml" in done.stderr


@pytest.mark.test_all
def test_a_baseline_that_was_not_evaluated_is_noted(tmp_path: Path) -> None:
    """A study without models takes any label, since its predictions are imported."""
    evaluate(tmp_path, "Zebra")
    write_study(tmp_path, baseline="Zebre")
    done = run("load", folder=tmp_path)
    assert "the baseline 'Zebre' was not evaluated: did you mean 'Zebra'" in " ".join(done.stderr.split())


def test_an_imported_model_may_be_the_baseline_of_a_study_without_models(tmp_path: Path) -> None:
    evaluate(tmp_path, "Zebra", "Aspen")
    write_study(tmp_path, baseline="Aspen")
    run("load", folder=tmp_path)
    with open_warehouse(tmp_path / "out" / "warehouse.duckdb") as con:
        drawn = drawn_colors(con)
    assert list(drawn) == ["Aspen (baseline)", "Zebra"]
    assert drawn["Aspen (baseline)"] == GRAY
