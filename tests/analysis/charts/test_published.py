"""Published models on charts: behind the others, named with a caution, and nowhere where there are none."""

import json
import shutil
from pathlib import Path

import duckdb
import pytest
from published_files import CURVES, write_published_files
from warehouse_files import ensure_shapes

from failmodes.analysis.charts.drawing import CHARTS, draw_from_warehouse
from failmodes.analysis.charts.style.theme import GRAY
from failmodes.analysis.selection import select_one
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.published import store_published
from failmodes.warehouse.errors import StudyError, WarehouseError
from failmodes.warehouse.published_layout import read_published

LEGEND = "3\u00a0published models (mine_unaggregated)"


@pytest.fixture(scope="module")
def published_warehouse(shaped_warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    path = Path(shutil.copy(shaped_warehouse, folder / "warehouse.duckdb"))
    store_published(path, [read_published(write_published_files(folder), "Synthetic digits")])
    ensure_shapes(path)
    return path


def gray_layers(spec: dict) -> list[dict]:
    """Marks in gray whose rows name models."""
    found = []

    def walk(part: object) -> None:
        if isinstance(part, dict):
            if isinstance(part.get("mark"), dict) and part["mark"].get("color") == GRAY and "data" in part:
                rows = spec["datasets"][part["data"]["name"]]
                found.extend([rows] if "model" in rows[0] else [])
            for inner in part.values():
                walk(inner)
        elif isinstance(part, list):
            for inner in part:
                walk(inner)

    walk(spec["vconcat"])
    return found


def words(spec: dict) -> list[str]:
    return [str(row["text"]) for rows in spec["datasets"].values() for row in rows if "text" in row]


@pytest.mark.slow
def test_curves_have_them_behind(published_warehouse: Path) -> None:
    spec = draw_from_warehouse(published_warehouse, "curves").to_dict()
    assert LEGEND in words(spec)
    subtitle = spec["usermeta"]["subtitle"]
    assert f"thin gray: {LEGEND}, measured on other images (here: synthetic and corrupted anew)" in subtitle
    drawn = gray_layers(spec)
    assert len(drawn) == 2  # panels of fog and contrast
    for rows in drawn:
        assert {row["model"] for row in rows} == set(CURVES)
        assert [row["accuracy"] for row in rows if row["model"] == "Upper" and row["severity"] == 0] == [0.95]


def test_shape_space_has_them_behind(published_warehouse: Path) -> None:
    spec = draw_from_warehouse(published_warehouse, "shapes").to_dict()
    assert LEGEND in words(spec)
    assert "without intervals" in spec["usermeta"]["subtitle"]
    (rows,) = gray_layers(spec)
    assert {(row["model"], row["name"]) for row in rows} >= {("Upper", "Fog"), ("Alpha", "Contrast")}
    assert all(0 < row["drop"] < 100 for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["curves", "shapes"])
def test_without_them_a_chart_is_as_it_was(published_warehouse: Path, shaped_warehouse: Path, name: str) -> None:
    def drawn(path: Path, **options: bool) -> str:
        return json.dumps(draw_from_warehouse(path, name, **options).to_dict(), sort_keys=True)

    assert drawn(published_warehouse, published=False) == drawn(shaped_warehouse)
    with pytest.raises(WarehouseError, match="no published models on Synthetic digits"):
        draw_from_warehouse(shaped_warehouse, name, published=True)
    assert drawn(published_warehouse, published=True) == drawn(published_warehouse)


@pytest.mark.slow
def test_figures_that_are_none_are_left_out(published_warehouse: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(published_warehouse, tmp_path / "strange.duckdb"))
    with duckdb.connect(str(path)) as con:
        con.execute("update published_accuracy set accuracy = 'nan' where model = 'Alpha'")
        con.execute("update published_accuracy set accuracy = 1e300 where model = 'Lower' and severity = 5")
    for name in ("curves", "shapes"):
        for rows in gray_layers(draw_from_warehouse(path, name).to_dict()):
            assert "Alpha" not in {row["model"] for row in rows}
            assert all(0 <= row.get("accuracy", 0) <= 1 for row in rows)


def test_other_charts_refuse_the_option(published_warehouse: Path) -> None:
    with pytest.raises(StudyError, match="'onset' shows no published models, curves and shapes do"):
        draw_from_warehouse(published_warehouse, "onset", published=False)


@pytest.mark.slow
def test_corruptions_that_are_not_published_have_none(published_warehouse: Path) -> None:
    with open_warehouse(published_warehouse) as con:
        spec = CHARTS["curves"](con, select_one(con, corruptions=["motion_blur", "brightness"])).to_dict()
    assert not gray_layers(spec)
    assert LEGEND not in words(spec)
