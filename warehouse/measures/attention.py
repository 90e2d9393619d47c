"""Measures of the attention of one cell, from the rows of its shard and the outcomes of its images."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from failmodes.warehouse.measures.columns import (
    OTHER,
    Row,
    Values,
    flags,
    mean,
    numbers,
    quantiles,
    targets_of,
    whole_numbers,
)
from failmodes.warehouse.measures.ranking import Keys, measure_ranking, measure_within_tenths, ranked, ties_of
from failmodes.warehouse.measures.scores import rankings_of_maps
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


class ImageOutcomes(NamedTuple):
    """What maps of one cell are measured with.

    Attributes:
        image_ids: (N,) int32, rising, each once.
        correct: (N,) bool.
        tenths: (N,) the tenth of the images that each is in by its confidence.
        is_changed: (N,) bool, whether the answer is another than to the clean image; None of the clean cell, and where
            cells hold other images.
    """

    image_ids: NDArray[np.int32]
    correct: NDArray[np.bool_]
    tenths: NDArray[np.uint64]
    is_changed: NDArray[np.bool_] | None = None


class MapMeasures(NamedTuple):
    """What is measured of the maps of one cell: rows of each table without their keys, and rankings by score."""

    by_target: list[Row]
    by_outcome: list[Row]
    by_answer: list[Row]
    beyond_confidence: list[Row]
    rankings: dict[str, Keys]


def measure_attention(rows: pa.Table, mask_areas: Values | None) -> list[Row]:
    """Rows of cell_attention for the maps of one cell, by target.

    Args:
        rows: the columns of `attention`.
        mask_areas: share of each image that its object mask covers, by image_id; NaN where unknown, None for no masks.
    """
    targets, is_empty = targets_of(rows), flags(rows, "empty")
    has_class = whole_numbers(rows, "target_class", np.int16) != OTHER
    image_ids = whole_numbers(rows, "image_id", np.int32)
    areas = None if mask_areas is None else np.take(np.append(mask_areas, np.nan), image_ids, mode="clip")
    values = {name: numbers(rows, name) for name in (*_OF_MAPS.values(), "null_centroid_shift")}
    found = []
    for target in TARGETS:
        kept = _by_image(np.flatnonzero((targets == TARGETS.index(target)) & has_class), image_ids)
        if not len(kept):
            continue
        shown = kept[~is_empty[kept]]
        null_shift = values["null_centroid_shift"][shown]
        found.append({
            "target": target,
            "image_count": len(kept),
            "empty_count": len(kept) - len(shown),
            "mean_mass": mean(numbers(rows, "mass")[kept]),
            "mean_mask_area": None if areas is None else mean(areas[kept]),
            **{column: mean(values[name][shown]) for column, name in _OF_MAPS.items()},
            **quantiles(values["centroid_shift"][shown], {"median_centroid_shift": 0.5}),
            **quantiles(null_shift, {
                "null_median_centroid_shift": 0.5, "null_q025_centroid_shift": 0.025, "null_q975_centroid_shift": 0.975,
            }),
        })  # fmt: skip
    return found


def measure_by_outcome(rows: pa.Table, outcomes: ImageOutcomes) -> list[Row]:
    """The row of attention_by_outcome for one corrupted cell; none without maps of the class predicted when clean.

    Args:
        rows: the columns of `attention`.
        outcomes: of its images.
    """
    kept, places = _of_target(rows, "clean", outcomes.image_ids)
    if not len(kept):
        return []
    is_right, is_wrong = kept[outcomes.correct[places]], kept[~outcomes.correct[places]]
    shift, cosine = numbers(rows, "centroid_shift"), numbers(rows, "cosine")
    return [
        {
            "right_count": len(is_right),
            "wrong_count": len(is_wrong),
            **quantiles(shift[is_right], {"right_median_centroid_shift": 0.5}),
            **quantiles(shift[is_wrong], {"wrong_median_centroid_shift": 0.5}),
            **quantiles(numbers(rows, "null_centroid_shift")[kept], {"null_median_centroid_shift": 0.5}),
            "right_mean_cosine": mean(cosine[is_right]),
            "wrong_mean_cosine": mean(cosine[is_wrong]),
        }
    ]


def measure_by_answer(rows: pa.Table, outcomes: ImageOutcomes) -> list[Row]:
    """The row of attention_by_answer for one corrupted cell; none without a drift.

    Args:
        rows: the columns of `attention`.
        outcomes: of its images, with what has changed.
    """
    assert outcomes.is_changed is not None
    shift, null = numbers(rows, "centroid_shift"), numbers(rows, "null_class_centroid_shift")
    kept, places = _of_target(rows, "clean", outcomes.image_ids)
    kept, places = kept[~np.isnan(shift[kept])], places[~np.isnan(shift[kept])]
    if not len(kept):
        return []
    is_changed = outcomes.is_changed[places]
    stayed = kept[~is_changed]
    compared = stayed[~np.isnan(null[stayed])]
    nearer = (shift[compared] < null[compared]) + (shift[compared] == null[compared]) / 2
    ties = ties_of(ranked(-shift[kept], is_changed))
    return [
        {
            "stayed_count": len(stayed),
            "changed_count": int(is_changed.sum()),
            **quantiles(shift[stayed], {"stayed_median_centroid_shift": 0.5}),
            **quantiles(shift[kept[is_changed]], {"changed_median_centroid_shift": 0.5}),
            **quantiles(null[kept], {"null_class_median_centroid_shift": 0.5}),
            "stayed_null_count": len(compared),
            "stayed_nearer_share": float(nearer.mean()) if len(compared) else None,
            "change_auroc": measure_ranking(ties)["auroc"],
        }
    ]


def measure_beyond_confidence(rows: pa.Table, outcomes: ImageOutcomes, *, is_clean: bool) -> list[Row]:
    """Rows of attention_beyond_confidence for one cell, by score; none of a score that no map has.

    Args:
        rows: the columns of `attention`.
        outcomes: of its images.
        is_clean: of the clean cell, from which nothing has drifted.
    """
    sureness = {
        "attention_spread": ("predicted", -numbers(rows, "spread")),
        "attention_drift": ("clean", -numbers(rows, "centroid_shift")),
        "empty_map": ("predicted", -flags(rows, "empty").astype(np.float32)),
    }
    found = []
    for score, (target, values) in sureness.items():
        kept, places = _of_target(rows, target, outcomes.image_ids)
        if (score == "attention_drift" and is_clean) or np.isnan(values[kept]).all():
            continue
        within = measure_within_tenths(values[kept], ~outcomes.correct[places], outcomes.tenths[places])
        found.append({"score": score, **within})
    return found


def measure_maps(
    rows: pa.Table, outcomes: ImageOutcomes | None, mask_areas: Values | None, *, is_clean: bool
) -> MapMeasures:
    """All measures of the attention of one cell.

    Args:
        rows: the columns of `attention`.
        outcomes: of its images; None where some have several.
        mask_areas: as in `measure_attention`.
        is_clean: of the clean cell, from which nothing has drifted.
    """
    by_target = measure_attention(rows, mask_areas)
    if outcomes is None:
        return MapMeasures(by_target, [], [], [], {})
    return MapMeasures(
        by_target,
        [] if is_clean else measure_by_outcome(rows, outcomes),
        [] if outcomes.is_changed is None else measure_by_answer(rows, outcomes),
        measure_beyond_confidence(rows, outcomes, is_clean=is_clean),
        rankings_of_maps(rows, outcomes.image_ids, outcomes.correct, is_clean=is_clean),
    )


def repeats_maps(rows: pa.Table) -> bool:
    """Whether an image of a cell has several rows of `attention` for one target."""
    keys = np.sort(whole_numbers(rows, "image_id", np.int32).astype(np.int64) * len(TARGETS) + targets_of(rows))
    return bool((np.diff(keys) == 0).any())


def _of_target(rows: pa.Table, target: str, image_ids: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(M,) rows of one target in the order of their image_ids, and (M,) the place of each of these in `image_ids`."""
    mine = whole_numbers(rows, "image_id", np.int32)
    kept = _by_image(np.flatnonzero(targets_of(rows) == TARGETS.index(target)), mine)
    places = np.searchsorted(image_ids, mine[kept]).clip(max=len(image_ids) - 1)
    known = image_ids[places] == mine[kept]
    return kept[known], places[known]


def _by_image(places: NDArray[np.intp], image_ids: NDArray[np.int32]) -> NDArray[np.intp]:
    """Places in the order of their image_ids, so that sums do not depend on the order of rows."""
    ordered = image_ids[places]
    return places if (np.diff(ordered) >= 0).all() else places[np.argsort(ordered, kind="stable")]
