"""Measures of the attention of one cell, from the rows of its shard and the outcomes of its images."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from failmodes.warehouse.measures.columns import Row, Values, mean, quantiles
from failmodes.warehouse.measures.maps import CellMaps, ImageOutcomes
from failmodes.warehouse.measures.object_attention import measure_objects
from failmodes.warehouse.measures.ranking import Keys, auroc_of, measure_within_tenths, ranked
from failmodes.warehouse.measures.scores import OF_ATTENTION
from failmodes.warehouse.schema import TARGETS

_OF_MAPS = {  # columns of cell_attention that are means over maps that are not empty
    "mean_spread": "spread",
    "mean_attention_entropy_nats": "attention_entropy_nats",
    "mean_mask_share": "mask_share",
    "mean_centroid_shift": "centroid_shift",
    "null_class_mean_centroid_shift": "null_class_centroid_shift",
    "mean_cosine": "cosine",
    "null_mean_cosine": "null_cosine",
    "null_class_mean_cosine": "null_class_cosine",
    "mean_w1_x": "w1_x",
    "mean_w1_y": "w1_y",
    "null_mean_w1_x": "null_w1_x",
    "null_mean_w1_y": "null_w1_y",
}


class MapMeasures(NamedTuple):
    """What is measured of the maps of one cell: rows of each table without their keys, and rankings by score."""

    by_target: list[Row]
    on_objects: list[Row]
    by_outcome: list[Row]
    by_answer: list[Row]
    beyond_confidence: list[Row]
    rankings: dict[str, Keys]
    has_repeats: bool


def measure_attention(maps: CellMaps) -> list[Row]:
    """Rows of cell_attention for the maps of one cell, by target.

    Args:
        maps: its maps.
    """
    found = []
    for target in TARGETS:
        of_one = maps.of_target(target)
        kept = _all_or(of_one.has_class)
        shown = _all_or(of_one.has_class & ~of_one.is_empty)
        count = int(of_one.has_class.sum())
        if not count:
            continue
        shown_count = len(of_one.image_ids[shown])
        null_shift = of_one.numbers("null_centroid_shift")[shown]
        found.append({
            "target": target,
            "image_count": count,
            "empty_count": count - shown_count,
            "mean_mass": mean(of_one.numbers("mass")[kept]),
            "mean_mask_area": mean(of_one.areas[kept]),
            **{column: mean(of_one.numbers(name)[shown]) for column, name in _OF_MAPS.items()},
            **quantiles(of_one.numbers("centroid_shift")[shown], {"median_centroid_shift": 0.5}),
            **quantiles(null_shift, {
                "null_median_centroid_shift": 0.5, "null_q025_centroid_shift": 0.025, "null_q975_centroid_shift": 0.975,
            }),
        })  # fmt: skip
    return found


def measure_on_objects(maps: CellMaps) -> list[Row]:
    """Rows of cell_object_attention for the maps of one cell, by target; none where no mask shows an object.

    Args:
        maps: its maps.
    """
    if maps.rows["mask_share"].null_count == maps.rows.num_rows:
        return []
    found = []
    for target in TARGETS:
        of_one = maps.of_target(target)
        has_share = of_one.has_class & ~np.isnan(of_one.numbers("mask_share"))
        kept = _all_or(has_share)
        if has_share.any():
            columns = (
                of_one.numbers("mask_share"), of_one.areas, of_one.numbers("null_mask_share"),
                of_one.numbers("pointing_hit"), of_one.numbers("null_pointing_hit"),
            )  # fmt: skip
            found.append({"target": target, **measure_objects(*(column[kept] for column in columns))})
    return found


def _all_or(is_chosen: NDArray[np.bool_]) -> NDArray[np.bool_] | slice:
    """What takes the chosen values of a column; all of them without a copy."""
    return slice(None) if is_chosen.all() else is_chosen


def measure_by_outcome(maps: CellMaps, outcomes: ImageOutcomes) -> list[Row]:
    """The row of attention_by_outcome for one corrupted cell; none without maps of the class predicted when clean.

    Args:
        maps: its maps.
        outcomes: of its images.
    """
    of_one = maps.of_target("clean")
    kept, places = of_one.beside(outcomes)
    is_right = outcomes.correct[places]
    if not len(is_right):
        return []
    is_wrong = ~is_right
    shift, cosine = of_one.numbers("centroid_shift")[kept], of_one.numbers("cosine")[kept]
    return [
        {
            "right_count": int(is_right.sum()),
            "wrong_count": int(is_wrong.sum()),
            **quantiles(shift[is_right], {"right_median_centroid_shift": 0.5}),
            **quantiles(shift[is_wrong], {"wrong_median_centroid_shift": 0.5}),
            **quantiles(of_one.numbers("null_centroid_shift")[kept], {"null_median_centroid_shift": 0.5}),
            "right_mean_cosine": mean(cosine[is_right]),
            "wrong_mean_cosine": mean(cosine[is_wrong]),
        }
    ]


def measure_by_answer(maps: CellMaps, outcomes: ImageOutcomes) -> list[Row]:
    """The row of attention_by_answer for one corrupted cell; none without a drift.

    Args:
        maps: its maps.
        outcomes: of its images, with what has changed.
    """
    assert outcomes.is_changed is not None
    of_one = maps.of_target("clean")
    kept, places = of_one.beside(outcomes)
    shift, null = of_one.numbers("centroid_shift")[kept], of_one.numbers("null_class_centroid_shift")[kept]
    has_drift = _all_or(~np.isnan(shift))
    shift, null, is_changed = shift[has_drift], null[has_drift], outcomes.is_changed[places][has_drift]
    if not len(shift):
        return []
    stayed = ~is_changed
    compared = stayed & ~np.isnan(null)
    drift, other = shift[compared], null[compared]
    nearer = (drift < other) + (drift == other) / 2
    return [
        {
            "stayed_count": int(stayed.sum()),
            "changed_count": int(is_changed.sum()),
            **quantiles(shift[stayed], {"stayed_median_centroid_shift": 0.5}),
            **quantiles(shift[is_changed], {"changed_median_centroid_shift": 0.5}),
            **quantiles(null, {"null_class_median_centroid_shift": 0.5}),
            "stayed_null_count": len(nearer),
            "stayed_nearer_share": float(nearer.mean()) if len(nearer) else None,
            "change_auroc": auroc_of(ranked(-shift, is_changed)),
        }
    ]


def measure_beyond_confidence(maps: CellMaps, outcomes: ImageOutcomes, *, is_clean: bool) -> list[Row]:
    """Rows of attention_beyond_confidence for one cell, by score; none of what no map has, nor where none is empty.

    Args:
        maps: its maps.
        outcomes: of its images.
        is_clean: of the clean cell, from which nothing has drifted.
    """
    predicted, clean = maps.of_target("predicted"), maps.of_target("clean")
    sureness = {
        "attention_spread": (predicted, -predicted.numbers("spread")),
        "attention_drift": (clean, -clean.numbers("centroid_shift")),
        "empty_map": (predicted, -predicted.is_empty.astype(np.float32)),
    }
    found = []
    for score, (of_one, values) in sureness.items():
        kept, places = of_one.beside(outcomes)
        values = values[kept]
        is_told = values.any() if score == "empty_map" else not np.isnan(values).all()
        if (score == "attention_drift" and is_clean) or not is_told:
            continue
        within = measure_within_tenths(values, ~outcomes.correct[places], outcomes.tenths[places])
        found.append({"score": score, **within})
    return found


def rankings_of_maps(maps: CellMaps, outcomes: ImageOutcomes, *, is_clean: bool) -> dict[str, Keys]:
    """Images of one cell ranked by each score of attention; those without a map take no part.

    A map without the score (an empty one has none) is the least sure, where another map of the cell has it.

    Args:
        maps: its maps.
        outcomes: of its images.
        is_clean: of the clean cell, from which nothing has drifted.
    """
    found = {}
    for score, (target, name) in OF_ATTENTION.items():
        of_one = maps.of_target(target)
        kept, places = of_one.beside(outcomes)
        sureness = -of_one.numbers(name)[kept]
        if not np.isnan(sureness).all() and not (is_clean and score == "attention_drift"):
            found[score] = ranked(sureness, ~outcomes.correct[places])
    return found


def measure_maps(
    rows: pa.Table, outcomes: ImageOutcomes | None, mask_areas: Values | None, *, is_clean: bool
) -> MapMeasures:
    """All measures of the attention of one cell.

    Args:
        rows: the columns of `attention`.
        outcomes: of its images; None where some have several.
        mask_areas: share of each image that its object mask covers, by image_id; NaN where unknown, None for no masks.
        is_clean: of the clean cell, from which nothing has drifted.
    """
    maps = CellMaps(rows, mask_areas)
    of_maps = measure_attention(maps), measure_on_objects(maps)
    if outcomes is None:
        return MapMeasures(*of_maps, [], [], [], {}, maps.has_repeats)
    return MapMeasures(
        *of_maps,
        [] if is_clean else measure_by_outcome(maps, outcomes),
        [] if outcomes.is_changed is None else measure_by_answer(maps, outcomes),
        measure_beyond_confidence(maps, outcomes, is_clean=is_clean),
        rankings_of_maps(maps, outcomes, is_clean=is_clean),
        maps.has_repeats,
    )
