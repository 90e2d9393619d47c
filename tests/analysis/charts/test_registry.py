"""Every chart is found by its file's name and drawn within its limits; options that do not fit are refused."""

import re
from pathlib import Path

import duckdb
import pytest
from run_commands import run
from synthetic_results import write_synthetic

from failmodes.analysis.charts.registry import (
    complete_chart,
    draw_from_warehouse,
    draw_selection,
    image_charts,
    parts_by,
    warehouse_charts,
)
from failmodes.analysis.charts.style.frame import FRAMES, PAGE
from failmodes.analysis.evaluations.selection import Selection, select_one
from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.runtime.errors import WarehouseError
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load

MAX_ROWS = 5000
VALUE = r"[−+]?\d+(?:\.\d+)?"
WITH_INTERVAL = re.compile(rf"({VALUE})(?:%|\s\w+)? \[({VALUE}),\s({VALUE})\]")


@pytest.mark.parametrize("layout", ["page", pytest.param("paper", marks=pytest.mark.test_all)])
@pytest.mark.parametrize("name", [name for name in warehouse_charts() if name != "shifts"])  # charts/test_shifts.py
def test_every_chart_states_finding_data_and_source(
    con: duckdb.DuckDBPyConnection, selection: Selection, name: str, layout: str
) -> None:
    chosen = select_one(con) if name == "differences" else selection
    figure = draw_selection(name, con, chosen, frame=FRAMES[layout])
    assert "400\u00a0images of Synthetic digits" in figure.subtitle or name == "exemplars"
    assert "seed 0" in figure.source
    for texts in WITH_INTERVAL.findall(figure.title):
        value, low, high = (float(text.replace("\u2212", "-")) for text in texts)
        assert low <= value <= high, figure.title
    spec = figure.to_dict()
    assert sum(len(rows) for rows in spec["datasets"].values()) < MAX_ROWS


@pytest.mark.test_all
def test_confusions_of_one_image_each_are_no_matrix(tmp_path: Path) -> None:
    write_synthetic(
        tmp_path / "results", images=40, classes=40, models=("Alpha",), corruptions=("fog",), severities=(5,)
    )
    load([tmp_path / "results"], tmp_path / "w.duckdb", derivation=DERIVATION)
    with pytest.raises(WarehouseError, match="of 40 classes, none"):
        draw_from_warehouse(tmp_path / "w.duckdb", "confusion", frame=PAGE)


def test_charts_are_the_files_of_the_folder() -> None:
    assert len(warehouse_charts()) == 18
    assert image_charts() == ["contact-sheet", "distortion"]
    offered = dict(complete_chart(""))
    assert set(offered) == {*warehouse_charts(), *image_charts()}
    assert all(offered.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("contact-sheet --model x", "leave out --model"),
        ("contact-sheet --recipe cifar", "did you mean 'cifar-c'"),
        ("contact-sheet --image a.png --image b.png", "one image"),
        ("curves --width 3mm", "not between"),
    ],
)
def test_options_that_mean_nothing_to_a_chart_are_refused(arguments: str, message: str, tmp_path: Path) -> None:
    assert message in run("chart", *arguments.split(), folder=tmp_path, expect=2).stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("by", "parts"), [("corruption_group", 4), ("model_label", 2)])
@pytest.mark.test_all
def test_a_chart_is_split_by_a_column(shaped_warehouse: Path, by: str, parts: int) -> None:
    figure = draw_from_warehouse(shaped_warehouse, "ranking", frame=PAGE, by=by)
    with open_warehouse(shaped_warehouse) as con:
        expected = parts_by(con, select_one(con), by)
    drawn = figure.to_dict()["vconcat"][0]["vconcat"][0]["concat"]
    assert [part["title"]["text"] for part in drawn] == list(expected)
    assert len(expected) == parts
    assert sum(len(part.corruptions) * len(part.evaluations) for part in expected.values()) == 10
