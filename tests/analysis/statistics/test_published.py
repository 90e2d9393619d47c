"""Published curves: shapes against NumPy written anew, and the rank of a model counted by hand."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from published_files import CLEAN, CURVES, write_published_files
from synthetic_results import Synthetic
from warehouse_files import ensure_shapes

from failmodes.analysis.evaluations.selection import select_one
from failmodes.analysis.statistics.published import compare_with_published
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.published import store_published
from failmodes.warehouse.published_layout import read_published


def kappa(curve: np.ndarray) -> float:
    """Mean height of the inner points of an even curve above its chord, as a share of its total drop."""
    chord = np.linspace(curve[0], curve[-1], len(curve))
    return float((curve - chord)[1:-1].mean() / (curve[0] - curve[-1]))


@pytest.fixture(scope="module")
def published_warehouse(shaped_warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    path = Path(shutil.copy(shaped_warehouse, folder / "warehouse.duckdb"))
    store_published(path, [read_published(write_published_files(folder), "Synthetic digits")])
    assert ensure_shapes(path)
    return path


def test_shapes_are_those_of_the_curves_alone(published_warehouse: Path) -> None:
    with open_warehouse(published_warehouse) as con:
        rows = con.sql("select model, corruption, total_drop, curvature, shape from published_shapes").fetchall()
    assert len(rows) == 6
    for model, corruption, drop, curvature, _ in rows:
        curve = np.array([CLEAN[model], *CURVES[model][corruption]])
        assert (drop, curvature) == pytest.approx((curve[0] - curve[-1], kappa(curve)))
    shapes = {(model, corruption): shape for model, corruption, *_, shape in rows}
    assert shapes["Upper", "fog"] == "abrupt"
    assert shapes["Alpha", "contrast"] == "early"


def test_a_model_stands_where_its_mean_is(published_warehouse: Path, synthetic: Synthetic) -> None:
    with open_warehouse(published_warehouse) as con:
        selection = select_one(con)
        (comparison,) = compare_with_published(con, selection)
    assert (sorted(comparison.corruptions), comparison.severities) == (["contrast", "fog"], (1, 2, 3, 4, 5))
    expected = {model: np.mean([curves["fog"], curves["contrast"]]) for model, curves in CURVES.items()}
    assert [one.model for one in comparison.published] == ["Upper", "Alpha", "Lower"]
    for one in comparison.published:
        assert (one.corrupted, one.clean) == pytest.approx((expected[one.model], CLEAN[one.model]))
    for standing in comparison.standings:
        label = standing.model.label
        correct = synthetic.correct
        mean = np.mean([correct[label, c][1:].mean() for c in ("fog", "contrast")])
        assert standing.corrupted.value == pytest.approx(mean)
        for rank, value in zip(standing[3:], (mean, standing.corrupted.high, standing.corrupted.low), strict=True):
            assert rank == 1 + sum(other > value for other in expected.values())
