"""Attention of each target, image by image: NumPy over the images that have what a metric asks for, and SciPy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from given_cells import NAN, found_of, given_rows, outcome_rows, paired, random_cell, reason_of, value_of
from scipy.stats import binomtest, mannwhitneyu

from failmodes.warehouse.metrics.attention import SUFFIXES, area
from failmodes.warehouse.metrics.cell_rows import Cell, CellRows, NotOnRecord
from failmodes.warehouse.metrics.intervals import auroc_interval, quantile_interval
from failmodes.warehouse.metrics.metric import NO_IMAGE, all_metrics, ends_of

CELL = random_cell(500, severities=(0, 3), seed=9)
ROWS, CLEAN = CELL.rows, CELL.clean
assert CLEAN is not None
TARGETS = pytest.mark.parametrize("target", SUFFIXES)
COLUMNS = {
    "mean_spread": "spread", "mean_attention_entropy_nats": "attention_entropy_nats",
    "mean_centroid_shift": "centroid_shift", "null_class_mean_centroid_shift": "null_class_centroid_shift",
    "mean_cosine": "cosine", "null_mean_cosine": "null_cosine", "null_class_mean_cosine": "null_class_cosine",
    "mean_mask_share": "mask_share", "null_mean_mask_share": "null_mask_share",
}  # fmt: skip
QUANTILES = {
    "median_centroid_shift": ("centroid_shift", 0.5), "null_median_centroid_shift": ("null_centroid_shift", 0.5),
    "null_q025_centroid_shift": ("null_centroid_shift", 0.025),
    "null_q975_centroid_shift": ("null_centroid_shift", 0.975),
}  # fmt: skip


def maps_of(rows: CellRows, target: str) -> dict[str, np.ndarray]:
    """Columns of the maps that explain a class, in double precision; `images.mask_area` as `image_area`."""
    names = {column for columns in all_metrics()["mean_over_null"].columns for column in [columns.partition(".")[2]]}
    names |= {*COLUMNS.values(), *(column for column, _ in QUANTILES.values()), "mass"}
    kept = rows[f"{target}.has_map"] & (rows[f"{target}.target_class"] >= 0)
    found = {name: rows[f"{target}.{name}"][kept].astype(np.float64) for name in names}
    return found | {"image_area": rows["images.mask_area"][kept].astype(np.float64)}


@TARGETS
@pytest.mark.parametrize("name", COLUMNS)
def test_means_are_over_maps_that_are_not_empty(name: str, target: str) -> None:
    maps = maps_of(ROWS, target)
    values = maps[COLUMNS[name]][maps["empty"] == 0]
    found = found_of(name + SUFFIXES[target], CELL)
    assert (found.value, found.n) == (pytest.approx(np.nanmean(values)), np.count_nonzero(~np.isnan(values)))


@TARGETS
@pytest.mark.parametrize("name", QUANTILES)
def test_quantiles_are_over_maps_that_are_not_empty(name: str, target: str) -> None:
    maps, (column, share) = maps_of(ROWS, target), QUANTILES[name]
    values = maps[column][maps["empty"] == 0]
    own = name + SUFFIXES[target]
    found = found_of(own, CELL)
    assert (found.value, found.n) == (np.quantile(values, share), len(values))
    assert ends_of(all_metrics()[own], CELL, None, found) == quantile_interval(values, share)


@TARGETS
def test_empty_maps_count_in_their_share_and_in_the_mass(target: str) -> None:
    maps = maps_of(ROWS, target)
    found = found_of("empty_share" + SUFFIXES[target], CELL)
    assert (found.value, found.n) == (pytest.approx(maps["empty"].mean()), len(maps["empty"]))
    found = found_of("mean_mass" + SUFFIXES[target], CELL)
    assert (found.value, found.n) == (pytest.approx(maps["mass"].mean()), len(maps["mass"]))
    assert maps["mass"][maps["empty"] == 1].sum() == 0 < maps["empty"].sum()


def over_objects(of_maps: Callable[[dict[str, np.ndarray]], np.ndarray]) -> Callable[[dict[str, np.ndarray]], Any]:
    def values(maps: dict[str, np.ndarray]) -> np.ndarray:
        return np.where(np.isnan(maps["mask_share"]), np.nan, of_maps(maps))

    return values


def own_area(maps: dict[str, np.ndarray]) -> np.ndarray:
    return np.where(np.isnan(maps["mask_area"]), maps["image_area"], maps["mask_area"])


ON_OBJECTS = {
    "mean_mask_area": own_area,
    "even_mask_share": over_objects(own_area),
    "mean_over_even": lambda maps: maps["mask_share"] - own_area(maps),
    "mean_over_null": lambda maps: maps["mask_share"] - maps["null_mask_share"],
    "pointing_accuracy": over_objects(lambda maps: maps["pointing_hit"]),
    "null_pointing_accuracy": over_objects(lambda maps: maps["null_pointing_hit"]),
    "pointing_over_null": over_objects(lambda maps: maps["pointing_hit"] - maps["null_pointing_hit"]),
}


@TARGETS
@pytest.mark.parametrize("name", ON_OBJECTS)
def test_what_is_on_the_object(name: str, target: str) -> None:
    values = ON_OBJECTS[name](maps_of(ROWS, target))
    found = found_of(name + SUFFIXES[target], CELL)
    assert (found.value, found.n) == (pytest.approx(np.nanmean(values)), np.count_nonzero(~np.isnan(values)))


@pytest.mark.parametrize(
    ("maps", "images", "expected"),
    [(True, True, [0.1, 0.7, np.nan]), (True, False, [0.1, np.nan, np.nan]), (False, True, [0.6, 0.7, np.nan])],
)
def test_where_a_map_has_no_area_that_of_the_clean_image_counts(
    maps: bool, images: bool, expected: list[float]
) -> None:
    columns = {"clean.has_map": [True, True, False], "clean.target_class": [0, 0, 0]}
    columns |= {"clean.mask_area": [0.1, NAN, NAN]} if maps else {}
    columns |= {"images.mask_area": [0.6, 0.7, 0.8]} if images else {}
    assert area(given_rows(columns), "clean") == pytest.approx(expected, nan_ok=True)


def test_without_any_area_it_is_not_on_record() -> None:
    rows = given_rows({"clean.has_map": [True], "clean.target_class": [0]})
    with pytest.raises(NotOnRecord):
        area(rows, "clean")


@pytest.mark.parametrize("suffix", SUFFIXES.values())
def test_without_maps_nothing_is_on_record(suffix: str) -> None:
    for name in (*COLUMNS, *QUANTILES, *ON_OBJECTS, "empty_share", "mean_mass"):
        assert reason_of(name + suffix, outcome_rows([True, False])).endswith("is not on record"), name
    for name in ("attention_consistency", "attention_responsiveness", "correct_mean_cosine"):
        cell = paired(outcome_rows([True], 0), outcome_rows([True]))
        assert reason_of(name, cell).endswith("is not on record"), name


def drift(column: str = "centroid_shift") -> np.ndarray:
    return np.where(ROWS["clean.has_map"], ROWS[f"clean.{column}"], np.nan).astype(np.float64)


def outputs(rows: CellRows) -> np.ndarray:
    return np.where(rows["predicted_output"] < 0, rows["predicted"], rows["predicted_output"])


CHANGED = outputs(ROWS) != outputs(CLEAN)
CORRECT = ROWS["label"] == ROWS["predicted"]


@pytest.mark.parametrize(
    ("name", "column", "chosen"),
    [
        ("correct_median_centroid_shift", "centroid_shift", CORRECT),
        ("incorrect_median_centroid_shift", "centroid_shift", ~CORRECT),
        ("stayed_median_centroid_shift", "centroid_shift", ~CHANGED),
        ("changed_median_centroid_shift", "centroid_shift", CHANGED),
        ("null_class_median_centroid_shift", "null_class_centroid_shift", ~np.isnan(drift())),
    ],
)
def test_medians_by_outcome(name: str, column: str, chosen: np.ndarray) -> None:
    values = drift(column)[chosen]
    values = values[~np.isnan(values)]
    found = found_of(name, CELL)
    assert (found.value, found.n) == (np.median(values), len(values))
    assert ends_of(all_metrics()[name], CELL, None, found) == quantile_interval(values, 0.5)


@pytest.mark.parametrize(
    ("name", "chosen"), [("correct_mean_cosine", CORRECT), ("incorrect_mean_cosine", ~CORRECT)]
)  # fmt: skip
def test_cosine_by_outcome(name: str, chosen: np.ndarray) -> None:
    values = drift("cosine")[chosen]
    found = found_of(name, CELL)
    assert (found.value, found.n) == (pytest.approx(np.nanmean(values)), np.count_nonzero(~np.isnan(values)))


def test_responsiveness_is_mann_and_whitneys() -> None:
    shift = drift()
    changed, stayed = shift[CHANGED & ~np.isnan(shift)], shift[~CHANGED & ~np.isnan(shift)]
    wins = mannwhitneyu(changed, stayed).statistic
    found = found_of("attention_responsiveness", CELL)
    assert (found.value, found.n) == (pytest.approx(wins / len(changed) / len(stayed)), len(changed) + len(stayed))
    ends = ends_of(all_metrics()["attention_responsiveness"], CELL, None, found)
    assert ends == auroc_interval(found.value, len(changed), len(stayed))


def test_consistency_is_the_share_nearer_to_the_own_clean_map() -> None:
    shift, null = drift(), drift("null_class_centroid_shift")
    known = ~CHANGED & ~np.isnan(shift) & ~np.isnan(null)
    nearer = (np.sign(null - shift)[known] + 1) / 2
    found = found_of("attention_consistency", CELL)
    assert (found.value, found.n) == (pytest.approx(nearer.mean()), known.sum())


def shifted_cell(shift: list[float], null: list[float], changed: list[bool] | None = None) -> Cell:
    images = len(shift)
    maps = {"clean.has_map": [True] * images, "clean.centroid_shift": shift,
            "clean.null_class_centroid_shift": null}  # fmt: skip
    flips = [False] * images if changed is None else changed
    return paired(outcome_rows([True] * images, 0), outcome_rows([not flip for flip in flips], 1, **maps))


@pytest.mark.parametrize("count", [3, 10, 49, 98])
def test_consistency_has_the_exact_interval(count: int) -> None:
    cell = shifted_cell([0.1, *[0.5] * (count - 1)], [0.2] * count)
    found = found_of("attention_consistency", cell)
    assert found.value == pytest.approx(1 / count)
    expected = binomtest(1, count).proportion_ci(0.95, "exact")
    assert ends_of(all_metrics()["attention_consistency"], cell, None, found) == pytest.approx(tuple(expected))


def test_ties_count_half_and_widen_the_interval() -> None:
    cell = shifted_cell([0.1, 0.5, 0.5], [0.2, 0.5, 0.2])
    found = found_of("attention_consistency", cell)
    assert found.value == pytest.approx(0.5)
    low, high = binomtest(1, 3).proportion_ci(0.95, "exact").low, binomtest(2, 3).proportion_ci(0.95, "exact").high
    assert ends_of(all_metrics()["attention_consistency"], cell, None, found) == pytest.approx((low, high))


def test_there_is_a_reason_where_predictions_are_of_one_kind() -> None:
    for flips, reason in ((False, "no prediction changes"), (True, "every prediction changes")):
        cell = shifted_cell([0.1] * 3, [0.2] * 3, [flips] * 3)
        assert reason_of("attention_responsiveness", cell) == reason
    assert reason_of("attention_consistency", cell) == NO_IMAGE
    assert reason_of("stayed_median_centroid_shift", cell) == NO_IMAGE


def test_nothing_has_drifted_on_clean_images() -> None:
    for name, metric in all_metrics().items():
        if "clean" in metric.parameters and "centroid" in name:
            assert reason_of(name, paired(CLEAN)) == "nothing has drifted on clean images"


@TARGETS
def test_images_without_a_class_to_explain_take_no_part(target: str) -> None:
    maps = {f"{target}.{name}": values for name, values in {
        "has_map": [True, True, False], "target_class": [-1, 0, -1], "empty": [False, False, False],
        "spread": [0.9, 0.25, NAN],
    }.items()}  # fmt: skip
    assert value_of("mean_spread" + SUFFIXES[target], given_rows(maps)) == 0.25
