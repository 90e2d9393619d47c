"""Measures of the attention of one cell, from the rows of its shard and the outcomes of its images."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from failmodes.warehouse.measures.columns import Row, Values, mean, places_of, quantiles
from failmodes.warehouse.measures.maps import CellMaps, ImageOutcomes
from failmodes.warehouse.measures.object_attention import measure_objects
from failmodes.warehouse.measures.ranking import Keys, Ranking, auroc_of, rank, reranked
from failmodes.warehouse.measures.scores import OF_ATTENTION
from failmodes.warehouse.measures.tenths import measure_within_tenths
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
    by_prediction: list[Row]
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
        kept = places_of(of_one.has_class)
        shown = places_of(of_one.has_class & ~of_one.is_empty)
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
        kept = places_of(has_share)
        if has_share.any():
            columns = (
                of_one.numbers("mask_share"), of_one.areas, of_one.numbers("null_mask_share"),
                of_one.numbers("pointing_hit"), of_one.numbers("null_pointing_hit"),
            )  # fmt: skip
            found.append({"target": target, **measure_objects(*(column[kept] for column in columns))})
    return found


def rank_maps(maps: CellMaps, outcomes: ImageOutcomes, *, is_clean: bool) -> dict[str, Ranking]:
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
        certainty = -of_one.numbers(name)[kept]
        if not np.isnan(certainty).all() and not (is_clean and score == "attention_drift"):
            found[score] = rank(certainty, ~outcomes.correct[places])
    return found


def measure_by_outcome(maps: CellMaps, outcomes: ImageOutcomes, drift: Ranking | None) -> list[Row]:
    """The row of attention_by_outcome for one corrupted cell; none without maps of the class predicted when clean.

    Args:
        maps: its maps.
        outcomes: of its images.
        drift: these ranked by it, from `rank_maps`; None where no map has drifted.
    """
    of_one = maps.of_target("clean")
    kept, places = of_one.beside(outcomes)
    is_correct = outcomes.correct[places]
    if not len(is_correct):
        return []
    correct, incorrect = np.flatnonzero(is_correct), np.flatnonzero(~is_correct)
    cosine = of_one.numbers("cosine")[kept]
    order = slice(None) if drift is None else drift.order
    shift, is_correct = of_one.numbers("centroid_shift")[kept][order], is_correct[order]
    return [
        {
            "correct_count": len(correct),
            "incorrect_count": len(incorrect),
            **quantiles(shift[np.flatnonzero(is_correct)], {"correct_median_centroid_shift": 0.5}),
            **quantiles(shift[np.flatnonzero(~is_correct)], {"incorrect_median_centroid_shift": 0.5}),
            **quantiles(of_one.numbers("null_centroid_shift")[kept], {"null_median_centroid_shift": 0.5}),
            "correct_mean_cosine": mean(cosine[correct]),
            "incorrect_mean_cosine": mean(cosine[incorrect]),
        }
    ]


def measure_by_prediction(maps: CellMaps, outcomes: ImageOutcomes, drift: Ranking | None) -> list[Row]:
    """The row of attention_by_prediction for one corrupted cell; none without a drift.

    Args:
        maps: its maps.
        outcomes: of its images, with what has changed.
        drift: these ranked by it, from `rank_maps`; None where no map has drifted.
    """
    assert outcomes.is_changed is not None
    if drift is None:
        return []
    of_one = maps.of_target("clean")
    kept, places = of_one.beside(outcomes)
    shift = of_one.numbers("centroid_shift")[kept][drift.order]
    has_drift = places_of(~np.isnan(shift))
    order, shift = drift.order[has_drift], shift[has_drift]
    null, is_changed = of_one.numbers("null_class_centroid_shift")[kept][order], outcomes.is_changed[places][order]
    stayed = ~is_changed
    compared_count = np.count_nonzero(stayed & ~np.isnan(null))
    nearer_count = np.count_nonzero(stayed & (shift < null)) + np.count_nonzero(stayed & (shift == null)) / 2
    return [
        {
            "stayed_count": np.count_nonzero(stayed),
            "changed_count": np.count_nonzero(is_changed),
            **quantiles(shift[np.flatnonzero(stayed)], {"stayed_median_centroid_shift": 0.5}),
            **quantiles(shift[np.flatnonzero(is_changed)], {"changed_median_centroid_shift": 0.5}),
            **quantiles(null, {"null_class_median_centroid_shift": 0.5}),
            "stayed_null_count": compared_count,
            "stayed_nearer_share": nearer_count / compared_count if compared_count else None,
            "change_auroc": auroc_of(reranked(drift.keys[has_drift], is_changed)),
        }
    ]


def measure_beyond_confidence(maps: CellMaps, outcomes: ImageOutcomes, rankings: Mapping[str, Ranking]) -> list[Row]:
    """Rows of attention_beyond_confidence for one cell, by score; none of what no map has, nor where none is empty.

    Args:
        maps: its maps.
        outcomes: of its images.
        rankings: of these, from `rank_maps`.
    """
    rankings = dict(rankings)
    places = {score: maps.of_target(target).beside(outcomes)[1] for score, (target, _) in OF_ATTENTION.items()}
    predicted = maps.of_target("predicted")
    kept, places["empty_map"] = predicted.beside(outcomes)
    is_empty = predicted.is_empty[kept]
    if is_empty.any():
        rankings["empty_map"] = rank(-is_empty.astype(np.float32), ~outcomes.correct[places["empty_map"]])
    return [
        {"score": score, **measure_within_tenths(ranking, outcomes.tenths[places[score]])}
        for score, ranking in rankings.items()
    ]


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
    rankings = rank_maps(maps, outcomes, is_clean=is_clean)
    drift = rankings.get("attention_drift")
    return MapMeasures(
        *of_maps,
        [] if is_clean else measure_by_outcome(maps, outcomes, drift),
        [] if outcomes.is_changed is None else measure_by_prediction(maps, outcomes, drift),
        measure_beyond_confidence(maps, outcomes, rankings),
        {score: ranking.keys for score, ranking in rankings.items()},
        maps.has_repeats,
    )
