"""Charts: each draws, within its limits, saves in every format, and says in its title what its data say."""

import json
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from failmodes.analysis.charts.drawing import CHARTS
from failmodes.analysis.charts.exemplar_images import centroid, overlay
from failmodes.analysis.charts.style.labels import PlotArea, place_labels, spread_apart
from failmodes.analysis.charts.style.saving import save_chart
from failmodes.analysis.charts.style.theme import BLUE, CHART_SIZES, DARK_COLOURS, PAGE
from failmodes.analysis.selection import Selection, select_one
from failmodes.analysis.statistics.curve_shape import ShapeSettings
from failmodes.analysis.statistics.shape_tables import ensure_shapes
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.errors import StudyError, WarehouseError
from tests.synthetic_record import Synthetic, write_synthetic

MOST_ROWS = 5000


@pytest.fixture(scope="module")
def con(synthetic: Synthetic, tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    path = tmp_path_factory.mktemp("charts") / "warehouse.duckdb"
    load([synthetic.output], path)
    ensure_shapes(path, ShapeSettings(resamples=100))
    return open_warehouse(path)


@pytest.fixture(scope="module")
def selection(con: duckdb.DuckDBPyConnection) -> Selection:
    return select_one(con, models=["Alpha"])


@pytest.mark.parametrize("layout", list(CHART_SIZES))
@pytest.mark.parametrize("name", list(CHARTS))
def test_every_chart_states_finding_data_and_source(
    con: duckdb.DuckDBPyConnection, selection: Selection, name: str, layout: str
) -> None:
    spec = CHARTS[name](con, selection, layout=CHART_SIZES[layout]).to_dict()
    assert spec["usermeta"]["finding"].startswith(" ".join(spec["title"]["text"])[:20])
    assert "400\u00a0images of Synthetic digits" in spec["usermeta"]["subtitle"] or name == "exemplars"
    for fact in ("synthetic: no real images", "seed 0", "all 400 images"):
        assert fact in spec["usermeta"]["source"]
    assert sum(len(rows) for rows in spec["datasets"].values()) < MOST_ROWS


def test_title_of_the_curves_names_the_dearest_corruption(
    con: duckdb.DuckDBPyConnection, selection: Selection, synthetic: Synthetic
) -> None:
    finding = CHARTS["curves"](con, selection).to_dict()["usermeta"]["finding"]
    right = synthetic.correct["Alpha", "gaussian_noise"].mean(axis=1)
    assert finding.startswith("Gaussian noise costs Alpha most")
    assert f"{100 * (right[0] - right[-1]):.1f}\u00a0points" in finding


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


@pytest.mark.parametrize(
    ("suffix", "start"), [(".svg", b"<svg"), (".png", b"\x89PNG"), (".pdf", b"%PDF"), (".json", b"{")]
)
def test_saves_in_the_format_of_the_suffix(
    con: duckdb.DuckDBPyConnection, selection: Selection, tmp_path: Path, suffix: str, start: bytes
) -> None:
    path = save_chart(CHARTS["drops"](con, selection), tmp_path / f"drops{suffix}")
    assert path.read_bytes().startswith(start)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_html_is_offline(con: duckdb.DuckDBPyConnection, selection: Selection, tmp_path: Path) -> None:
    page = save_chart(CHARTS["drops"](con, selection), tmp_path / "drops.html").read_text()
    assert "vegaEmbed" in page
    assert '<script src="http' not in page


def test_dark_theme_changes_ground_and_colours(
    con: duckdb.DuckDBPyConnection, selection: Selection, tmp_path: Path
) -> None:
    chart = CHARTS["onset"](con, selection)
    light = save_chart(chart, tmp_path / "light.json").read_text()
    dark = save_chart(chart, tmp_path / "dark.json", theme="dark").read_text()
    assert json.loads(light)["config"]["background"] == "#ffffff"
    assert json.loads(dark)["config"]["background"] == "#16181d"
    assert BLUE in json.dumps(json.loads(light)["datasets"])
    assert BLUE not in json.dumps(json.loads(dark)["datasets"])
    assert DARK_COLOURS[BLUE] in json.dumps(json.loads(dark)["datasets"])


def test_unknown_suffix_and_theme_are_refused(
    con: duckdb.DuckDBPyConnection, selection: Selection, tmp_path: Path
) -> None:
    chart = CHARTS["drops"](con, selection)
    with pytest.raises(StudyError, match=r"'drops.gif'.*\.svg, \.png, \.pdf, \.html, \.json"):
        save_chart(chart, tmp_path / "drops.gif")
    with pytest.raises(StudyError, match="no theme"):
        save_chart(chart, tmp_path / "drops.svg", theme="sepia")


def test_labels_from_outside_stay_data(tmp_path: Path) -> None:
    hostile = "</script>'\" + alert(1)"
    write_synthetic(tmp_path, images=40, models=(hostile,))
    path = tmp_path / "warehouse.duckdb"
    load([tmp_path], path)
    ensure_shapes(path, ShapeSettings(resamples=50))
    with open_warehouse(path) as con:
        save_chart(CHARTS["curves"](con, select_one(con)), tmp_path / "chart.svg")
    assert "</script>" not in (tmp_path / "chart.svg").read_text()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.01, 0.2))
def test_spread_apart_keeps_order_and_gap(values: list[float], gap: float) -> None:
    placed = spread_apart(values, gap)
    order = np.argsort(values, kind="stable")
    assert (np.diff(np.array(placed)[order]) >= gap - 1e-9).all()
    if len(values) == 1:
        assert placed == values


def test_values_that_are_apart_stay_where_they_are() -> None:
    assert spread_apart([0.1, 0.9, 0.5], 0.2) == [0.1, 0.9, 0.5]


def test_labels_of_close_points_do_not_overlap() -> None:
    points = [(100.0, 100.0), (103.0, 101.0), (106.0, 99.0), (110.0, 104.0)]
    placed = place_labels(points, ["Fog", "Contrast", "Motion blur", "JPEG"], width=300, height=200, font_px=11)
    tops = sorted((p.y, p.align, p.x) for p in placed)
    assert len(set(tops)) == len(tops)
    assert all(0 <= p.x <= 300 and 0 <= p.y <= 200 for p in placed)


def test_plane_turns_data_into_pixels_and_back() -> None:
    plane = PlotArea(0, 10, -1, 1, 200, 100)
    assert plane.pixel(0, 1) == (0, 0)
    assert plane.pixel(10, -1) == (200, 100)
    assert plane.data(*plane.pixel(3, 0.25)) == pytest.approx((3, 0.25))


def test_centroid_by_hand() -> None:
    assert centroid(np.array([[0.0, 0.0], [0.0, 2.0]])) == (0.75, 0.75)
    assert centroid(np.ones((4, 4))) == pytest.approx((0.5, 0.5))
    assert centroid(np.zeros((4, 4))) is None
    assert centroid(None) is None


def test_overlay_is_strongest_where_the_map_is(tmp_path: Path) -> None:
    import io

    from PIL import Image

    grey = np.full((32, 32, 3), 128, np.uint8)
    attention = np.zeros((4, 4))
    attention[0, 3] = 1
    image = np.asarray(Image.open(io.BytesIO(overlay(grey, attention, 1.0)))).astype(int)
    assert image.shape == (128, 128, 3)
    assert image[0, -1, 0] > image[0, 0, 0] == 128
    assert (np.asarray(Image.open(io.BytesIO(overlay(grey, None, 1.0)))) == 128).all()


def test_page_is_wider_than_paper() -> None:
    assert PAGE.width_px == 680
    assert CHART_SIZES["paper"].width_px == pytest.approx(85 / 25.4 * 96, abs=1)
