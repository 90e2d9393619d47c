"""Rows without finite numbers, and few images: they count as wrong, or the shape and the cost are withheld."""

from pathlib import Path

import pytest
from rewritten_shards import cell_of, make_non_finite
from synthetic_results import Synthetic, write_synthetic
from warehouse_files import ensure_shapes

from failmodes.analysis.selection import select_one
from failmodes.analysis.statistics.curve_shape import ShapeSettings, describe_curve
from failmodes.analysis.statistics.model_accuracy import drop_rankings
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load

IMAGES, SEVERITIES = 120, (2, 5)
SETTINGS = ShapeSettings(resamples=2000)


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    """Alpha has one such row, of an image that it would be right on, Beta's fog many, and all clean ones of Gamma."""
    made = write_synthetic(tmp_path_factory.mktemp("spoiled"), images=IMAGES, models=("Alpha", "Beta", "Gamma"),
                           corruptions=("fog", "contrast"), severities=SEVERITIES)  # fmt: skip
    make_non_finite(made, cell_of(made, "Alpha", "fog", 5), [int(made.correct["Alpha", "fog"][-1].argmax())])
    make_non_finite(made, cell_of(made, "Beta", "fog", 2), range(2))
    make_non_finite(made, cell_of(made, "Beta", "fog", 5), range(60))
    make_non_finite(made, cell_of(made, "Gamma"))
    load([made.output], made.output / "w.duckdb")
    ensure_shapes(made.output / "w.duckdb", SETTINGS)
    return made


@pytest.fixture(scope="module")
def shapes(spoiled: Synthetic) -> dict[tuple[str, str], dict]:
    """Rows of `shapes` by model and corruption."""
    with open_warehouse(spoiled.output / "w.duckdb") as con:
        rows = con.sql("select model_label, shapes.* from shapes join evaluation_labels using (evaluation_id)").pl()
    return {(row["model_label"], row["corruption"]): row for row in rows.rows(named=True)}


def test_one_row_counts_as_incorrect_and_changes_nothing_else(spoiled: Synthetic, shapes: dict) -> None:
    correct = spoiled.correct["Alpha", "fog"].T.copy()
    correct[int(correct[:, -1].argmax()), -1] = False
    row = shapes["Alpha", "fog"]
    expected = describe_curve(correct, [0, *SEVERITIES], SETTINGS)
    assert (row["reason"], row["shape"]) == (None, expected.shape)
    for name, estimate in (("total_drop", expected.drop), ("largest_step", expected.largest)):
        assert (row[name], row[f"{name}_low"], row[f"{name}_high"]) == pytest.approx(estimate)


def test_a_shape_is_withheld_where_more_than_one_in_a_hundred_is_not_finite(shapes: dict) -> None:
    for model, corruption, severities in (("Beta", "fog", "2, 5"), ("Gamma", "fog", "0"), ("Gamma", "contrast", "0")):
        row = shapes[model, corruption]
        assert (row["shape"], row["stability"], row["share_late"]) == ("inconclusive", None, None)
        assert row["reason"].endswith(f"severity {severities}")
    assert shapes["Beta", "contrast"]["stability"] is not None


def test_drops_count_one_row_and_are_withheld_where_there_are_many(spoiled: Synthetic) -> None:
    with open_warehouse(spoiled.output / "w.duckdb") as con:
        selection = select_one(con)
        alpha, beta, gamma = drop_rankings(con, selection).values()
    assert alpha.withheld == ()
    correct = spoiled.correct["Alpha", "fog"].sum(axis=1)
    drops = {drop.corruption: drop.at_last.value for drop in alpha.drops}
    assert drops["fog"] == pytest.approx((correct[0] - (correct[-1] - 1)) / IMAGES)
    assert ([drop.corruption for drop in beta.drops], beta.withheld) == (["contrast"], ("fog",))
    assert (gamma.drops, gamma.withheld) == ((), ("fog", "contrast"))
    assert not gamma.is_clear


@pytest.mark.parametrize("images", [29, 30])
def test_of_few_images_there_are_figures_but_no_class(tmp_path: Path, images: int) -> None:
    made = write_synthetic(tmp_path, images=images, models=("Alpha",), corruptions=("motion_blur",), severities=(1, 5))
    load([made.output], tmp_path / "w.duckdb")
    ensure_shapes(tmp_path / "w.duckdb", SETTINGS)
    with open_warehouse(tmp_path / "w.duckdb") as con:
        (row,) = con.sql("from shapes").pl().rows(named=True)
    correct = made.correct["Alpha", "motion_blur"].mean(axis=1)
    assert row["total_drop"] == pytest.approx(correct[0] - correct[-1])
    assert row["shape"] == "inconclusive"
    assert ("29 images are too few" in row["reason"]) == (row["stability"] is None) == (images < 30)
