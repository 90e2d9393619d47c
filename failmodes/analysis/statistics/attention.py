"""Tests of attention at the last severity of each corruption against the map of another image (the null).

Each image is compared with the next one of a random cycle (`warehouse.null_pairs`). The values of an image and of the
next one therefore share a map and are correlated; images farther along the cycle share none. The variance of a mean of
N values is then (γ0 + 2 γ1) / N, with γ0 their variance and γ1 their covariance with the next one's. A γ1 below 0
counts as 0. With exact duplicates, N is the effective number of images (see `warehouse.metrics.duplicates`).
"""

from functools import partial
from typing import NamedTuple

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection, read_for_selection
from failmodes.analysis.statistics.estimate import Estimate, Float64Array
from failmodes.analysis.statistics.run_rows import copies_of
from failmodes.analysis.statistics.shares import p_by_inversion
from failmodes.runtime.errors import WarehouseError
from failmodes.warehouse.database.connection import read_once
from failmodes.warehouse.metrics.duplicates import Groups, independent_share, kept_groups
from failmodes.warehouse.metrics.intervals import mean_with_pseudo_images, wilson_interval
from failmodes.warehouse.null_pairs import NullPairs, sample_null_pairs
from failmodes.warehouse.schema import CLEAN

Following = NDArray[np.int64]  # (N,) for each image the position of the next in its cycle; -1 without one

CLEAN_TARGET = "clean"  # one class per image along the whole curve: a changed prediction is not drift
# γ1 / γ0 if the cycle is unknown: the largest that was measured, for null minus own distance
LARGEST_CORRELATION = 0.29
CHANCE = 0.5
LOST_WITHIN = 0.05  # a location is lost if the share closer to the own clean map is less than this above chance
DECIDED_BEFORE = 4  # images counted as decided in addition (z² of 95%), so that ties alone have an interval


class OwnMapTest(NamedTuple):
    """Whether centroids of a cell are closer to their own clean one than to that of another image of the class.

    Attributes:
        corruption: at its last severity.
        missing_count: images of `share` without a distance: their corrupted or clean map is empty.
        median_shift: median distance of the centroid from the own clean map's, image widths.
        median_null: median distance from the other image's clean map, image widths.
        share: of the images whose other image has a distance from its own clean map, those closer to their own, with
            its interval; ties and images without a distance count one half, and 1/2 is chance.
        worst_case: the same if no image without a distance were closer to its own.
        p_nearer: of not being closer, whatever images without a distance would have shown.
        p_lost: of a share that is not LOST_WITHIN chance or below it.
    """

    corruption: str
    missing_count: int
    median_shift: float
    median_null: float
    share: Estimate
    worst_case: Estimate
    p_nearer: float
    p_lost: float


class AttentionAtLast(NamedTuple):
    """All tests of one evaluation's attention at the last severity of each corruption.

    Attributes:
        own_maps: against the null, the largest median shift first; their intervals hold together. Corruptions with
            fewer than two images that have another of their class, or without any distance, are excluded.
        mask_changes: mean change from clean of the mask share minus its null, by corruption in the given order; their
            intervals hold together.
        over_null: mean of the mask share minus its null, by corruption and for clean images; the intervals of
            corruptions hold together. Empty without masks or without that null.
        has_mask_null: whether that null is another image's map, of the same cell, inside this image's mask; the null is
            0 in rows without it.
    """

    own_maps: list[OwnMapTest]
    mask_changes: dict[str, Estimate]
    over_null: dict[str, Estimate]
    has_mask_null: bool


class LastRows(NamedTuple):
    """Rows at the last severity of C corruptions and, last, of the clean cell, of N images by rising image_id.

    Attributes:
        values: columns of the table `attention` by name, (C + 1, N), and `is_there` for a row; NaN without a value.
        has_class_other: (N,) whether there is another image of the class.
        following: the other images; None if unknown.
        groups: (N,) of duplicates among the images; None if they are distinct.
    """

    values: dict[str, Float64Array]
    has_class_other: NDArray[np.bool_]
    following: NullPairs | None
    groups: Groups | None = None


def drift_cells(con: duckdb.DuckDBPyConnection, selection: Selection) -> pl.DataFrame:
    """Cells with attention drift by model, corruption and severity, with medians over images, in image widths.

    Returns:
        Columns label, corruption, severity, accuracy, shift, and null with null_low and null_high, the middle 95%.

    Raises:
        WarehouseError: there is none; the message gives the reason.
    """
    cells = read_for_selection(con, "attention_drift", selection).select(
        pl.col("evaluation_id").cast(pl.Enum(selection.ids)), "corruption_order",
        "label", "corruption", "severity", "accuracy", shift="median_centroid_shift",
        null="null_median_centroid_shift", null_low="null_q025_centroid_shift", null_high="null_q975_centroid_shift",
    ).drop_nulls(("shift", "null"))  # fmt: skip
    if cells.is_empty():
        raise WarehouseError(f"no attention drift to show: {missing_drift_reason(con, selection)}")
    return cells.sort("evaluation_id", "corruption_order", "severity", maintain_order=True)


def missing_drift_reason(con: duckdb.DuckDBPyConnection, selection: Selection, *, of_class: bool = False) -> str:
    """Why the warehouse has no drift of these evaluations, or none beside that from another image of the class."""
    without_note = "each image has an empty map, clean or corrupted"
    if selection.image_count == 1:
        without_note = "one image was evaluated, and drift is compared with the distance to another image's map"
    elif of_class and not _has_two_of_a_class(con, selection):
        without_note = "no class has two images, and drift is compared with the distance to another image of the class"
    return "; ".join(
        sorted({e.facts["attention_note"] or e.facts["pairing_note"] or without_note for e in selection.evaluations})
    )


def _has_two_of_a_class(con: duckdb.DuckDBPyConnection, selection: Selection) -> bool:
    found = con.sql(
        "select 1 from clean_predictions join evaluations using (evaluation_id) "
        "join images using (dataset_id, image_id) where evaluation_id in (select unnest($1)) "
        "group by evaluation_id, label having count(*) > 1 limit 1",
        params=[list(selection.ids)],
    )
    return bool(found.fetchall())


@read_once
def attention_at_last(
    con: duckdb.DuckDBPyConnection, evaluation: EvaluationInfo, corruptions: tuple[str, ...]
) -> AttentionAtLast:
    """Test an evaluation's attention at the last severity of each of some corruptions.

    If images are missing from the warehouse, the other image that each was compared with is unknown: intervals then
    assume the largest correlation that was measured (`LARGEST_CORRELATION`).
    """
    values, has_class_other, following, groups = read_last_rows(con, evaluation, corruptions)
    shift = values["centroid_shift"]
    null = values["null_class_centroid_shift"]
    tests = [
        compare_with_null(
            shift[place], null[place], has_class_other & ~np.isnan(values["is_there"][place]),
            following and following.same_class, corruption=corruption, comparisons=len(corruptions), groups=groups,
        )
        for place, corruption in enumerate(corruptions)
    ]  # fmt: skip
    has_mask_null = not np.isnan(values["null_mask_share"]).all()
    on_object = values["mask_share"] - (values["null_mask_share"] if has_mask_null else 0)
    changes = _with_two_images(corruptions, on_object[:-1] - on_object[-1])
    over_null = _with_two_images((*corruptions, CLEAN), on_object) if has_mask_null else {}

    def inflation(of_images: Float64Array) -> float:
        return variance_inflation(of_images, following and following.any_image) if has_mask_null else 1.0

    def mean(of_images: Float64Array, comparisons: int) -> Estimate:
        return mean_share_change(of_images, comparisons, inflation(of_images), groups)

    return AttentionAtLast(
        own_maps=sorted((test for test in tests if test), key=lambda test: -test.median_shift),
        mask_changes={
            name: mean(shares, len(changes))._replace(
                n=len(shares), p_value=p_of_share_change(shares, len(changes), inflation(shares), groups)
            )
            for name, shares in changes.items()
        },
        over_null={name: mean(share, 1 if name == CLEAN else len(over_null) - 1) for name, share in over_null.items()},
        has_mask_null=has_mask_null,
    )


def read_last_rows(
    con: duckdb.DuckDBPyConnection, evaluation: EvaluationInfo, corruptions: tuple[str, ...]
) -> LastRows:
    """Read the rows, and resample the other images that they were compared with.

    These are sampled by the labels of the evaluated images in the order of image_id, so they are known if every
    evaluated image has rows and a label.
    """
    facts = evaluation.facts
    rows: pl.DataFrame = con.sql(
        "select list_position($2, corruption) - 1 as place, image_id, coalesce(label, -1) as label, 1 as is_there, "
        "centroid_shift, null_class_centroid_shift, mask_share, null_mask_share "
        "from (from attention semi join (select corruption, max(severity) as severity from shards "
        "where table_name = 'attention' and evaluation_id = $1 and corruption = any($2) group by corruption) "
        "using (corruption, severity) where evaluation_id = $1 and target = $3) left join "
        "(select image_id, label from images where dataset_id = $4) using (image_id)",
        params=[evaluation.evaluation_id, [*corruptions, CLEAN], CLEAN_TARGET, facts["dataset_id"]],
    ).pl()
    image_ids, columns = np.unique(rows["image_id"].to_numpy(), return_inverse=True)
    values = {name: np.full((len(corruptions) + 1, len(image_ids)), np.nan) for name in rows.columns[3:]}
    for name, matrix in values.items():
        matrix[rows["place"].to_numpy(), columns] = rows[name].to_numpy()
    labels = np.empty(len(image_ids), np.int64)
    labels[columns] = rows["label"].to_numpy()
    _, classes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    is_whole = len(image_ids) == facts["image_count"] and bool((labels >= 0).all())
    copies = copies_of(con, evaluation.evaluation_id)
    groups = None if copies is None else copies.groups_of(image_ids)
    return LastRows(values, sizes[classes] > 1, sample_null_pairs(labels) if is_whole else None, groups)


def _with_two_images(names: tuple[str, ...], values: Float64Array) -> dict[str, Float64Array]:
    """Rows of values (C, N) by name, if at least two images have one."""
    return {name: row for name, row in zip(names, values, strict=False) if (~np.isnan(row)).sum() > 1}


def compare_with_null(
    shift: Float64Array,
    other: Float64Array,
    has_other: NDArray[np.bool_],
    following: Following | None,
    *,
    corruption: str = "",
    comparisons: int = 1,
    groups: Groups | None = None,
) -> OwnMapTest | None:
    """Compare distances from own clean maps with those from others'; None with fewer than two images, or no distance.

    Images whose other image has no map under the corruption are excluded. Otherwise own clean maps would be those of
    images that keep a map, and others' those of all images: if their locations differ, own ones would seem closer (or
    farther) although the corruption leaves nothing of them. Of images whose other one keeps a map, those without a map
    count one half; 1/2 is then chance, whatever determines which maps are empty.

    Args:
        shift: (N,) distance from the image's own clean map, or NaN.
        other: (N,) distance from the next image's clean map, or NaN.
        has_other: (N,) whether there is a next image.
        following: (N,) the next image; None if unknown: γ1 is then assumed to be LARGEST_CORRELATION γ0, and only
            images whose other image has no clean map are excluded.
        corruption: of the cell.
        comparisons: Bonferroni's correction: how many intervals hold at once.
        groups: (N,) of duplicates among the images; None if they are distinct.
    """
    missing = np.isnan(shift)
    compared = has_other & (missing | ~np.isnan(other) if following is None else ~missing[following])
    images = int(compared.sum())
    lacking = int((compared & missing).sum())
    if images < 2 or lacking == images:
        return None
    nearer = np.where(shift < other, 1.0, np.where(shift > other, 0.0, CHANCE))
    shares = [
        partial(interval_on_cycle, *mean_on_cycle(np.where(compared, values, np.nan), following, groups), comparisons)
        for values in (nearer, np.where(missing, 0.0, nearer))
    ]
    p_nearer = p_by_inversion(lambda level: all(interval(level).low > CHANCE for interval in shares))
    p_lost = p_by_inversion(lambda level: shares[0](level).high < CHANCE + LOST_WITHIN)
    medians = (float(np.nanmedian(shift)), float(np.nanmedian(other)))
    share, worst_case = (interval() for interval in shares)
    return OwnMapTest(corruption, lacking, *medians, share._replace(n=images), worst_case, p_nearer, p_lost)


def interval_on_cycle(value: float, effective_count: float, comparisons: int = 1, level: float = 0.95) -> Estimate:
    """Wilson's score interval of a mean along a cycle (see `mean_on_cycle`)."""
    low, high = wilson_interval(value, effective_count, comparisons=comparisons, level=level)
    return Estimate(value, max(0.0, float(low)), min(1.0, float(high)))


def mean_on_cycle(
    values: Float64Array, following: Following | None, groups: Groups | None = None
) -> tuple[float, float]:
    """The mean of values 0, 1/2 and 1 along a cycle, and its effective number of independent images.

    That is N v (1 - v) / (γ0 + 2 γ1), with v the mean: N γ0 / (γ0 + 2 γ1) if no image counts one half, and more if
    some do, since halves vary less. γ0 is v (1 - v) minus a quarter of the share of halves: exactly their variance,
    except that DECIDED_BEFORE more images count as decided. The interval has a width at 0 and 1 too.

    Args:
        values: (N,); NaN is ignored, and at least one value is not NaN.
        following: (N,) the next image; None if unknown.
        groups: (N,) of duplicates among the images; None if they are distinct.
    """
    is_known = ~np.isnan(values)
    known = values[is_known]
    independent = independent_share(kept_groups(groups, is_known))
    images = len(known) * independent
    value = float(known.mean())
    count = images / variance_inflation(values, following)
    simple = value * (1 - value)
    halves = float((known == CHANCE).sum()) * independent / (images + DECIDED_BEFORE)
    return value, count * simple / (simple - halves / 4) if simple else count


def variance_inflation(values: Float64Array, following: Following | None) -> float:
    """(γ0 + 2 γ1) / γ0 of values along a cycle, at least 1: how much larger the variance of their mean is.

    In a cycle of two each image is the next of the other: their one covariance counts once.

    Args:
        values: (N,); NaN is ignored.
        following: (N,) the next image; None if unknown.
    """
    if following is None:
        return 1 + 2 * LARGEST_CORRELATION
    deviations = np.nan_to_num(values - np.nanmean(values))
    squares = float(np.square(deviations).sum())
    if not squares:
        return 1.0
    weights = np.where(following < 0, 0.0, np.where(following[following] == np.arange(len(values)), 1.0, 2.0))
    return 1 + max(0.0, float((weights * deviations * deviations[following]).sum()) / squares)


def mean_share_change(
    values: Float64Array, comparisons: float = 1, inflation: float = 1.0, groups: Groups | None = None
) -> Estimate:
    """The mean change of a share, -1 to 1, with an interval that is valid if few images change much and others little.

    Student's 95% interval of the changes and two added ones, 1 and -1, the most extreme: see `statistics.difference`.

    Args:
        values: (N,) one per image; NaN is ignored.
        comparisons: Bonferroni's correction: how many intervals hold at once.
        inflation: how much larger the variance of the mean is, since images share maps (`variance_inflation`).
        groups: (N,) of duplicates among the images, whose values are summed first; None if they are distinct.
    """
    from scipy.special import stdtrit  # here: it takes .2 s, and most charts do without

    is_known = ~np.isnan(values)
    known = values[is_known]
    of_known = kept_groups(groups, is_known)
    center, variance = mean_with_pseudo_images(known, -1.0, 1.0, groups=of_known)
    count = len(known) * independent_share(of_known) + 2
    half = float(stdtrit(count - 1, 1 - 0.025 / comparisons)) * (variance * inflation * count / (count - 1)) ** 0.5
    return Estimate(float(known.mean()), max(-1.0, center - half), min(1.0, center + half))


def p_of_share_change(
    values: Float64Array, comparisons: int = 1, inflation: float = 1.0, groups: Groups | None = None
) -> float:
    """Two-sided p value of no change, by inversion of the interval of `mean_share_change`."""

    def is_shown(level: float) -> bool:
        share_change = mean_share_change(values, comparisons * 0.05 / (1 - level), inflation, groups)
        return share_change.low > 0 or share_change.high < 0

    return p_by_inversion(is_shown)
