"""Every chart is drawn by its name, within its limits; options that do not fit are refused."""

from pathlib import Path

import duckdb
import pytest
from checkpoint_comparisons import FALLS
from synthetic_results import write_synthetic
from warehouse_files import ensure_shapes

from failmodes.analysis.chart_names import CHARTS_OF_A_WAREHOUSE, CHARTS_OF_IMAGES, complete_chart
from failmodes.analysis.charts.drawing import CHARTS, IMAGE_CHARTS, ImageOptions, WarehouseOptions, draw_chart
from failmodes.analysis.charts.style.saving import save_chart
from failmodes.analysis.charts.style.theme import CHART_SIZES
from failmodes.analysis.selection import Selection, select_one
from failmodes.analysis.statistics.curve_shape import ShapeSettings
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.errors import StudyError, WarehouseError

MOST_ROWS = 5000


@pytest.mark.parametrize("size", list(CHART_SIZES))
@pytest.mark.parametrize("name", list(CHARTS))
def test_every_chart_states_finding_data_and_source(
    con: duckdb.DuckDBPyConnection, selection: Selection, name: str, size: str
) -> None:
    selection = select_one(con) if name == "differences" else selection  # which is of two models
    spec = CHARTS[name](con, selection, size=CHART_SIZES[size]).to_dict()
    assert spec["usermeta"]["finding"].startswith(" ".join(spec["title"]["text"])[:20])
    assert "400\u00a0images of Synthetic digits" in spec["usermeta"]["subtitle"] or name == "exemplars"
    for fact in ("synthetic: no real images", "seed 0", "all 400 images"):
        assert fact in spec["usermeta"]["source"]
    assert sum(len(rows) for rows in spec["datasets"].values()) < MOST_ROWS


def test_names_that_a_shell_is_offered_are_those_of_the_charts() -> None:
    assert tuple(CHARTS) == CHARTS_OF_A_WAREHOUSE
    assert tuple(IMAGE_CHARTS) == CHARTS_OF_IMAGES
    offered = dict(complete_chart(""))
    assert list(offered) == list(dict.fromkeys([*CHARTS, *IMAGE_CHARTS]))
    assert all(offered.values())
    assert offered["drops"].startswith("Heat map of the accuracy that each corruption costs")


@pytest.mark.slow
def test_without_pairing_drift_and_onset_say_why(tmp_path: Path) -> None:
    write_synthetic(tmp_path, images=40, models=("Alpha",), paired=False)
    path = tmp_path / "warehouse.duckdb"
    load([tmp_path], path)
    with open_warehouse(path) as con:
        selection = select_one(con)
        with pytest.raises(WarehouseError, match="labels differ"):
            CHARTS["attention"](con, selection)
        with pytest.raises(WarehouseError, match="do not pair"):
            CHARTS["onset"](con, selection)


@pytest.mark.slow
def test_labels_from_outside_stay_data(tmp_path: Path) -> None:
    malicious = "</script>'\" + alert(1)"
    write_synthetic(tmp_path, images=40, models=(malicious,))
    path = tmp_path / "warehouse.duckdb"
    load([tmp_path], path)
    ensure_shapes(path, ShapeSettings(resamples=50))
    with open_warehouse(path) as con:
        save_chart(CHARTS["curves"](con, select_one(con)), tmp_path / "chart.svg")
    assert "</script>" not in (tmp_path / "chart.svg").read_text()


REFUSED = (
    ("contact-sheet", WarehouseOptions(model=["x"]), ImageOptions(), "leave out --model"),
    ("contact-sheet", WarehouseOptions(location=Path("w.duckdb")), ImageOptions(), "leave out WHERE"),
    ("curves", WarehouseOptions(), ImageOptions(recipe="cifar-c", seed=0), "leave out --recipe and --seed"),
    ("distortion", WarehouseOptions(evaluation=["e"]), ImageOptions(severity=[1.0]), "leave out --evaluation"),
    ("pie", WarehouseOptions(), ImageOptions(), "no chart 'pie'.*contact-sheet"),
    ("contact-sheet", WarehouseOptions(), ImageOptions(recipe="cifar"), "did you mean 'cifar-c'"),
    ("contact-sheet", WarehouseOptions(), ImageOptions(severity=[0.0]), "clean image"),
    ("contact-sheet", WarehouseOptions(), ImageOptions(severity=[7.0]), "out of range"),
    ("contact-sheet", WarehouseOptions(), ImageOptions(image=[Path("a.png"), Path("b.png")]), "one image"),
)


@pytest.mark.parametrize(("name", "warehouse", "images", "message"), REFUSED)
def test_options_that_mean_nothing_to_a_chart_are_refused(
    name: str, warehouse: WarehouseOptions, images: ImageOptions, message: str
) -> None:
    with pytest.raises(StudyError, match=message):
        draw_chart(name, warehouse, images)


def test_a_chart_shows_itself_as_one_of_altair(many_con: duckdb.DuckDBPyConnection, many_selection: Selection) -> None:
    assert repr(CHARTS["curves"](many_con, many_selection)).startswith("alt.VConcatChart(")


# exemplars show one model, differences two; distortion shows images
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CHARTS.keys() - {"exemplars", "differences", "distortion"}))
def test_titles_stay_short(many_con: duckdb.DuckDBPyConnection, many_selection: Selection, name: str) -> None:
    title = CHARTS[name](many_con, many_selection).to_dict()["title"]["text"]
    assert len(title) <= 4
    assert sum(label in " ".join(title) for label in FALLS) <= 2
