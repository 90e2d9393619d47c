"""Published models on charts: behind the others, named with a caution, and nowhere where there are none."""

import shutil
from pathlib import Path

import duckdb
import pytest
from published_files import CURVES, write_published_files
from warehouse_files import ensure_shapes

from failmodes.analysis.chart_registry import draw_from_warehouse
from failmodes.analysis.charts.curves import chart
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE
from failmodes.analysis.charts.style.published import PUBLISHED
from failmodes.analysis.selection import select_one
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.published import store_published
from failmodes.warehouse.errors import StudyError, WarehouseError
from failmodes.warehouse.published_layout import read_published

NAME = "3\u00a0published models (mine_unaggregated)"


@pytest.fixture(scope="module")
def published_warehouse(shaped_warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    path = Path(shutil.copy(shaped_warehouse, folder / "warehouse.duckdb"))
    store_published(path, [read_published(write_published_files(folder), "Synthetic digits")])
    ensure_shapes(path)
    return path


def published_rows(figure: Figure) -> list[dict]:
    """Rows of published models."""
    return [row for rows in figure.to_dict()["datasets"].values() for row in rows if row.get("series") == PUBLISHED]


def drawn(path: Path, name: str, **options: bool | None) -> Figure:
    return draw_from_warehouse(path, name, frame=PAGE, **options)


@pytest.mark.slow
def test_curves_have_them_behind(published_warehouse: Path) -> None:
    figure = drawn(published_warehouse, "curves")
    assert f"{NAME}, measured on other images (here: synthetic and corrupted anew)" in figure.subtitle
    rows = published_rows(figure)
    assert {row["corruption"] for row in rows} == {"Fog", "Contrast"}
    assert {row["label"] for row in rows} == set(CURVES)
    assert {row["accuracy"] for row in rows if row["label"] == "Upper" and row["severity"] == 0} == {0.95}


def test_shape_space_has_them_behind(published_warehouse: Path) -> None:
    figure = drawn(published_warehouse, "shapes")
    assert f"without intervals: {NAME}" in figure.subtitle
    rows = published_rows(figure)
    assert {(row["label"], row["name"]) for row in rows} >= {("Upper", "Fog"), ("Alpha", "Contrast")}
    assert all(0 < row["drop"] < 100 for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["curves", "shapes"])
def test_without_them_a_chart_is_as_it_was(published_warehouse: Path, shaped_warehouse: Path, name: str) -> None:
    plain = drawn(shaped_warehouse, name)
    assert drawn(published_warehouse, name, published=False).caption == plain.caption
    assert not published_rows(drawn(published_warehouse, name, published=False))
    with pytest.raises(WarehouseError, match="no published models on Synthetic digits"):
        drawn(shaped_warehouse, name, published=True)
    assert published_rows(drawn(published_warehouse, name, published=True))


@pytest.mark.slow
def test_figures_that_are_none_are_left_out(published_warehouse: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(published_warehouse, tmp_path / "strange.duckdb"))
    with duckdb.connect(str(path)) as con:
        con.execute("update published_accuracy set accuracy = 'nan' where model = 'Alpha'")
        con.execute("update published_accuracy set accuracy = 1e300 where model = 'Lower' and severity = 5")
    for name in ("curves", "shapes"):
        rows = published_rows(drawn(path, name))
        assert "Alpha" not in {row["label"] for row in rows}
        assert all(0 <= row.get("accuracy", 0) <= 1 for row in rows)


def test_other_charts_refuse_the_option(published_warehouse: Path) -> None:
    with pytest.raises(StudyError, match="'ranking' shows no published models"):
        drawn(published_warehouse, "ranking", published=False)


@pytest.mark.slow
def test_corruptions_that_are_not_published_have_none(published_warehouse: Path) -> None:
    with open_warehouse(published_warehouse) as con:
        figure = chart(con, select_one(con, corruptions=["motion_blur", "brightness"]))
    assert not published_rows(figure)
    assert NAME not in figure.subtitle
