"""What is tested of attention at the last severity of each corruption, from one reading of an evaluation's rows."""

from typing import NamedTuple

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from failmodes.analysis.once import read_once
from failmodes.analysis.selection import EvaluationInfo, rows_at_last
from failmodes.analysis.statistics.attention_lead import Lead, lead_over_others, mean_share_change
from failmodes.analysis.statistics.attention_null import OwnMapTest, compare_with_null, variance_inflation
from failmodes.analysis.statistics.bootstrap import Estimate, Float64Array
from failmodes.warehouse.null_pairs import NullPairs, sample_null_pairs
from failmodes.warehouse.schema import CLEAN

CLEAN_TARGET = "clean"  # one class per image along the whole curve: a change of prediction cannot pass for drift

_NUMBERS = ("centroid_shift", "null_class_centroid_shift", "mask_share", "null_mask_share")


class AttentionAtLast(NamedTuple):
    """All that is tested of one evaluation's attention at the last severity of each corruption.

    Attributes:
        own_maps: against the null, the largest median shift first.
        farthest: the corruption with the largest median shift; None without any shift.
        mask_changes: mean change from clean of the mask share less its null, by corruption in the order asked for;
            their intervals hold together.
        over_null: mean of the mask share less its null, by corruption, and when clean under its name; the intervals of
            corruptions hold together. Empty without that null.
        has_mask_null: whether that null is another image's map, of the same cell, inside this image's mask; it is 0 in
            rows made before it was on record.
    """

    own_maps: list[OwnMapTest]
    farthest: Lead | None
    mask_changes: dict[str, Estimate]
    over_null: dict[str, Estimate]
    has_mask_null: bool


class LastRows(NamedTuple):
    """Rows at the last severity: a row a corruption (C, N), a column an image by rising image_id, NaN where nothing is.

    Attributes:
        corruptions: C names.
        present: whether the image has a row.
        empty: whether its map is zero everywhere.
        shift: distance from the own clean map's centroid, image widths.
        null_class: distance from that of another image of the class, image widths.
        on_object: (C + 1, N) mask share less its null, the clean one last.
        has_mask_null: as in `AttentionAtLast`.
        has_class_other: (N,) whether there is another image of the class.
        following: the other images; None where they cannot be known.
    """

    corruptions: tuple[str, ...]
    present: NDArray[np.bool_]
    empty: NDArray[np.bool_]
    shift: Float64Array
    null_class: Float64Array
    on_object: Float64Array
    has_mask_null: bool
    has_class_other: NDArray[np.bool_]
    following: NullPairs | None


@read_once
def attention_at_last(
    con: duckdb.DuckDBPyConnection, evaluation: EvaluationInfo, corruptions: tuple[str, ...]
) -> AttentionAtLast:
    """Test an evaluation's attention at the last severity of each of some corruptions."""
    rows = read_last_rows(con, evaluation, corruptions)
    shifts = _by_corruption(rows.corruptions, rows.shift)
    medians = {corruption: float(np.nanmedian(shift)) for corruption, shift in shifts.items()}
    order = sorted(range(len(corruptions)), key=lambda place: -medians.get(corruptions[place], 0.0))
    changes = _by_corruption(rows.corruptions, rows.on_object[:-1] - rows.on_object[-1])
    over_null = _by_corruption((*rows.corruptions, CLEAN), rows.on_object) if rows.has_mask_null else {}
    cycle = rows.following and rows.following.any_image

    def estimate(values: Float64Array, comparisons: int) -> Estimate:
        return mean_share_change(values, comparisons, variance_inflation(values, cycle) if rows.has_mask_null else 1.0)

    return AttentionAtLast(
        own_maps=[own_map for place in order if (own_map := _own_map_test(rows, place))],
        farthest=lead_over_others(medians, shifts),
        mask_changes={corruption: estimate(change, len(changes)) for corruption, change in changes.items()},
        over_null={
            corruption: estimate(values, 1 if corruption == CLEAN else len(over_null) - 1)
            for corruption, values in over_null.items()
        },
        has_mask_null=rows.has_mask_null,
    )


def read_last_rows(
    con: duckdb.DuckDBPyConnection, evaluation: EvaluationInfo, corruptions: tuple[str, ...]
) -> LastRows:
    """Read the rows, and draw the other images again that they were compared with when they were made.

    These are drawn over the labels of the evaluated images by rising image_id, so they are known where every evaluated
    image has rows and a label.
    """
    facts = evaluation.facts
    rows: pl.DataFrame = con.sql(
        f"select list_position($2, corruption) - 1 as place, image_id, label, empty, {', '.join(_NUMBERS)} "
        f"from (select * {rows_at_last('attention')} and target = $3) left join "
        "(select image_id, label from images where dataset_id = $4) using (image_id)",
        params=[evaluation.evaluation_id, [*corruptions, CLEAN], CLEAN_TARGET, facts["dataset_id"]],
    ).pl()
    image_ids, columns = np.unique(rows["image_id"].to_numpy(), return_inverse=True)
    cells = (rows["place"].to_numpy(), columns)
    shape = (len(corruptions) + 1, len(image_ids))  # the clean cell is the last
    shift, null_class, mask_share, null_share = (np.full(shape, np.nan) for _ in _NUMBERS)
    for matrix, name in zip((shift, null_class, mask_share, null_share), _NUMBERS, strict=True):
        matrix[cells] = rows[name].to_numpy()
    has_mask_null = not np.isnan(null_share).all()
    on_object = mask_share - null_share if has_mask_null else mask_share
    present, empty = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    present[cells] = True
    empty[cells] = rows["empty"].to_numpy()
    labels = np.empty(len(image_ids), np.int64)
    labels[columns] = rows["label"].fill_null(-1).to_numpy()
    _, classes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    is_whole = len(image_ids) == facts["image_count"] and bool((labels >= 0).all())
    return LastRows(
        corruptions, present[:-1], empty[:-1], shift[:-1], null_class[:-1],
        on_object, has_mask_null, sizes[classes] > 1,
        sample_null_pairs(labels) if is_whole else None,
    )  # fmt: skip


def _by_corruption(corruptions: tuple[str, ...], values: Float64Array) -> dict[str, Float64Array]:
    """Rows of values (C, N) by corruption, where at least two images have one."""
    enough = (~np.isnan(values)).sum(axis=1) > 1
    return {corruption: row for corruption, row, kept in zip(corruptions, values, enough, strict=True) if kept}


def _own_map_test(rows: LastRows, place: int) -> OwnMapTest | None:
    """None where there is no distance to compare within the class."""
    shift, present, pairs = rows.shift[place], rows.present[place], rows.following
    within = compare_with_null(
        shift, rows.null_class[place], present & rows.has_class_other, pairs and pairs.same_class
    )
    if within is None:
        return None
    empty_count = int(rows.empty[place].sum())
    return OwnMapTest(rows.corruptions[place], empty_count, float(np.nanmedian(shift)), within)
