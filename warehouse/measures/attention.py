"""Measures of the attention of one cell, from the rows of its shard and the outcomes of its images."""

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


def measure_by_outcome(rows: pa.Table, image_ids: NDArray[np.int32], correct: NDArray[np.bool_]) -> Row | None:
    """The row of attention_by_outcome for one corrupted cell; None without maps of the class predicted when clean.

    Args:
        rows: the columns of `attention`.
        image_ids: (N,) of the cell's outcomes, rising, each once.
        correct: (N,) bool, in their order.
    """
    mine = whole_numbers(rows, "image_id", np.int32)
    kept = _by_image(np.flatnonzero(targets_of(rows) == TARGETS.index("clean")), mine)
    places = np.searchsorted(image_ids, mine[kept]).clip(max=len(image_ids) - 1)
    known = image_ids[places] == mine[kept]
    kept, places = kept[known], places[known]
    if not len(kept):
        return None
    is_right, is_wrong = kept[correct[places]], kept[~correct[places]]
    shift, cosine = numbers(rows, "centroid_shift"), numbers(rows, "cosine")
    return {
        "right_count": len(is_right),
        "wrong_count": len(is_wrong),
        **quantiles(shift[is_right], {"right_median_centroid_shift": 0.5}),
        **quantiles(shift[is_wrong], {"wrong_median_centroid_shift": 0.5}),
        **quantiles(numbers(rows, "null_centroid_shift")[kept], {"null_median_centroid_shift": 0.5}),
        "right_mean_cosine": mean(cosine[is_right]),
        "wrong_mean_cosine": mean(cosine[is_wrong]),
    }


def repeats_maps(rows: pa.Table) -> bool:
    """Whether an image of a cell has several rows of `attention` for one target."""
    keys = np.sort(whole_numbers(rows, "image_id", np.int32).astype(np.int64) * len(TARGETS) + targets_of(rows))
    return bool((np.diff(keys) == 0).any())


def _by_image(places: NDArray[np.intp], image_ids: NDArray[np.int32]) -> NDArray[np.intp]:
    """Places in the order of their image_ids, so that sums do not depend on the order of rows."""
    ordered = image_ids[places]
    return places if (np.diff(ordered) >= 0).all() else places[np.argsort(ordered, kind="stable")]
