"""Published models on charts: behind the others, named with a caution, and nowhere where there are none."""

import shutil
from pathlib import Path

import pytest
from published_files import CURVES, write_published_files
from warehouse_files import ensure_shapes

from failmodes.analysis.chart_registry import draw_from_warehouse
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE
from failmodes.analysis.charts.style.published import PUBLISHED
from failmodes.warehouse.database.published import store_published
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


def test_curves_have_them_behind(published_warehouse: Path) -> None:
    figure = drawn(published_warehouse, "curves")
    assert f"{NAME}, measured on other images (here: synthetic and corrupted anew)" in figure.subtitle
    rows = published_rows(figure)
    assert {row["corruption"] for row in rows} == {"Fog", "Contrast"}
    assert {row["label"] for row in rows} == set(CURVES)
    assert {row["accuracy"] for row in rows if row["label"] == "Upper" and row["severity"] == 0} == {0.95}
