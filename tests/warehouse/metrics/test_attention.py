"""Attention of each target, image by image: NumPy over the images that have what a metric asks for, and SciPy."""

from collections.abc import Callable

import numpy as np
import pytest
from given_cells import NAN, found_of, outcome_rows, paired, random_cell, reason_of, value_of
from scipy.stats import binomtest, mannwhitneyu

from failmodes.warehouse.metrics.attention import SUFFIXES, area
from failmodes.warehouse.metrics.cell_rows import CellRows, ComparedCell, NotStored
from failmodes.warehouse.metrics.intervals import auroc_interval, quantile_interval
from failmodes.warehouse.metrics.metric import NO_IMAGE, all_metrics

CELL = random_cell(500, severities=(0, 3), seed=9)
ROWS, CLEAN = CELL.rows, CELL.clean
assert CLEAN is not None
TARGETS = pytest.mark.parametrize("target", SUFFIXES)
Maps = dict[str, np.ndarray]


def lit(column: str) -> Callable[[Maps], np.ndarray]:
    """A column of maps that are not empty."""
    return lambda maps: np.where(maps["empty"], np.nan, maps[column])


def on_object(of_maps: Callable[[Maps], np.ndarray]) -> Callable[[Maps], np.ndarray]:
    return lambda maps: np.where(np.isnan(maps["mask_share"]), np.nan, of_maps(maps))


def own_area(maps: Maps) -> np.ndarray:
    return np.where(np.isnan(maps["mask_area"]), maps["image_area"], maps["mask_area"])


MEANS: dict[str, Callable[[Maps], np.ndarray]] = {
    "mean_spread": lit("spread"),
    "mean_attention_entropy_nats": lit("attention_entropy_nats"),
    "mean_centroid_shift": lit("centroid_shift"),
    "null_class_mean_centroid_shift": lit("null_class_centroid_shift"),
    "mean_cosine": lit("cosine"),
    "null_mean_cosine": lit("null_cosine"),
    "null_class_mean_cosine": lit("null_class_cosine"),
    "mean_mask_share": lit("mask_share"),
    "null_mean_mask_share": lit("null_mask_share"),
    "empty_share": lambda maps: maps["empty"],
    "mean_mass": lambda maps: maps["mass"],
    "mean_mask_area": own_area,
    "even_mask_share": on_object(own_area),
    "mean_over_even": lambda maps: maps["mask_share"] - own_area(maps),
    "mean_over_null": lambda maps: maps["mask_share"] - maps["null_mask_share"],
    "pointing_accuracy": on_object(lambda maps: maps["pointing_hit"]),
    "null_pointing_accuracy": on_object(lambda maps: maps["null_pointing_hit"]),
    "pointing_over_null": on_object(lambda maps: maps["pointing_hit"] - maps["null_pointing_hit"]),
}
QUANTILES = {
    "median_centroid_shift": ("centroid_shift", 0.5), "null_median_centroid_shift": ("null_centroid_shift", 0.5),
    "null_q025_centroid_shift": ("null_centroid_shift", 0.025),
    "null_q975_centroid_shift": ("null_centroid_shift", 0.975),
}  # fmt: skip


class MapsOf(dict[str, np.ndarray]):
    """Columns of the maps that explain a class, in double precision; `images.mask_area` as `image_area`."""

    def __init__(self, rows: CellRows, target: str) -> None:
        self.kept = rows[f"{target}.has_map"] & (rows[f"{target}.target_class"] >= 0)
        self.rows, self.target = rows, target

    def __missing__(self, name: str) -> np.ndarray:
        column = "images.mask_area" if name == "image_area" else f"{self.target}.{name}"
        return self.rows[column][self.kept].astype(np.float64)


@TARGETS
@pytest.mark.parametrize("name", MEANS)
def test_means_are_over_the_maps_that_have_a_value(name: str, target: str) -> None:
    values = MEANS[name](MapsOf(ROWS, target))
    found = found_of(name + SUFFIXES[target], CELL)
    assert (found.value, found.n) == (pytest.approx(np.nanmean(values)), np.count_nonzero(~np.isnan(values)))


@TARGETS
@pytest.mark.parametrize("name", QUANTILES)
def test_quantiles_are_over_maps_that_are_not_empty(name: str, target: str) -> None:
    column, share = QUANTILES[name]
    values = lit(column)(MapsOf(ROWS, target))
    values = values[~np.isnan(values)]
    found = found_of(name + SUFFIXES[target], CELL)
    assert (found.value, found.n) == (np.quantile(values, share), len(values))
    ends = found.ends()
    assert ends == quantile_interval(values, share)


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
    assert area(CellRows.of(columns), "clean") == pytest.approx(expected, nan_ok=True)


def test_without_maps_or_areas_nothing_is_on_record() -> None:
    with pytest.raises(NotStored):
        area(CellRows.of({"clean.has_map": [True], "clean.target_class": [0]}), "clean")
    cell = paired(outcome_rows([True, False], 0), outcome_rows([True, False]))
    names = [name + suffix for name in (*MEANS, *QUANTILES) for suffix in SUFFIXES.values()]
    for name in (*names, "attention_consistency", "attention_responsiveness", "correct_mean_cosine"):
        assert reason_of(name, cell).endswith("is not stored"), name


def drift(column: str = "centroid_shift") -> np.ndarray:
    return np.where(ROWS["clean.has_map"], ROWS[f"clean.{column}"], np.nan).astype(np.float64)


def outputs(rows: CellRows) -> np.ndarray:
    return np.where(rows["predicted_output"] < 0, rows["predicted"], rows["predicted_output"])


CHANGED, CORRECT = outputs(ROWS) != outputs(CLEAN), ROWS["label"] == ROWS["predicted"]


@pytest.mark.parametrize(
    ("name", "column", "chosen", "average"),
    [
        ("correct_median_centroid_shift", "centroid_shift", CORRECT, np.median),
        ("incorrect_median_centroid_shift", "centroid_shift", ~CORRECT, np.median),
        ("stayed_median_centroid_shift", "centroid_shift", ~CHANGED, np.median),
        ("changed_median_centroid_shift", "centroid_shift", CHANGED, np.median),
        ("null_class_median_centroid_shift", "null_class_centroid_shift", ~np.isnan(drift()), np.median),
        ("correct_mean_cosine", "cosine", CORRECT, np.mean),
        ("incorrect_mean_cosine", "cosine", ~CORRECT, np.mean),
    ],
)
def test_drift_by_outcome(name: str, column: str, chosen: np.ndarray, average: Callable[..., float]) -> None:
    values = drift(column)[chosen]
    values = values[~np.isnan(values)]
    found = found_of(name, CELL)
    assert (found.value, found.n) == (pytest.approx(average(values)), len(values))
    if average is np.median:
        assert found.ends() == quantile_interval(values, 0.5)


def test_responsiveness_is_mann_and_whitneys() -> None:
    known = ~np.isnan(drift())
    changed, stayed = drift()[CHANGED & known], drift()[~CHANGED & known]
    expected = mannwhitneyu(changed, stayed).statistic / len(changed) / len(stayed)
    found = found_of("attention_responsiveness", CELL)
    assert (found.value, found.n) == (pytest.approx(expected), len(changed) + len(stayed))
    ends = found.ends()
    assert ends == auroc_interval(found.value, len(changed), len(stayed))


def test_consistency_is_the_share_nearer_to_the_own_clean_map() -> None:
    shift, null = drift(), drift("null_class_centroid_shift")
    known = ~CHANGED & ~np.isnan(shift) & ~np.isnan(null)
    found = found_of("attention_consistency", CELL)
    assert (found.value, found.n) == (pytest.approx(((np.sign(null - shift)[known] + 1) / 2).mean()), known.sum())


def shifted_cell(shift: list[float], null: list[float], changed: bool = False) -> ComparedCell:
    maps = {"clean.has_map": [True] * len(shift), "clean.centroid_shift": shift,
            "clean.null_class_centroid_shift": null}  # fmt: skip
    return paired(outcome_rows([True] * len(shift), 0), outcome_rows([not changed] * len(shift), 1, **maps))


@pytest.mark.parametrize(
    ("shift", "null", "value", "nearer"),
    [([0.1, *[0.5] * 9], [0.2] * 10, 0.1, (1, 1)), ([0.1, 0.5, 0.5], [0.2, 0.5, 0.2], 0.5, (1, 2))],
    ids=["exact", "a tie counts half and widens it"],
)
def test_the_interval_of_consistency(
    shift: list[float], null: list[float], value: float, nearer: tuple[int, int]
) -> None:
    cell = shifted_cell(shift, null)
    found = found_of("attention_consistency", cell)
    assert found.value == pytest.approx(value)
    low, high = (binomtest(count, len(shift)).proportion_ci(0.95, "exact") for count in nearer)
    ends = found.ends()
    assert ends == pytest.approx((low.low, high.high))


def test_there_is_a_reason_where_predictions_are_of_one_kind_or_images_clean() -> None:
    for changed, reason in ((False, "no prediction changes"), (True, "every prediction changes")):
        cell = shifted_cell([0.1] * 3, [0.2] * 3, changed)
        assert reason_of("attention_responsiveness", cell) == reason
    assert reason_of("attention_consistency", cell) == NO_IMAGE
    names = [name for name, one in all_metrics().items() if "clean" in one.parameters and "centroid" in name]
    assert {reason_of(name, paired(CLEAN)) for name in names} == {"clean images have no drift"}


@TARGETS
def test_images_without_a_class_to_explain_take_no_part(target: str) -> None:
    maps = {"has_map": [True, True, False], "target_class": [-1, 0, -1], "empty": [False] * 3,
            "spread": [0.9, 0.25, NAN]}  # fmt: skip
    rows = CellRows.of({f"{target}.{name}": values for name, values in maps.items()})
    assert value_of("mean_spread" + SUFFIXES[target], rows) == 0.25
