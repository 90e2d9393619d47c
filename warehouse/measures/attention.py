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


class CellMaps:
    """The maps of one cell: columns as arrays, each read once, and the places of their images among the outcomes.

    Args:
        rows: the columns of `attention`.
    """

    def __init__(self, rows: pa.Table) -> None:
        self.rows = rows
        self.image_ids = whole_numbers(rows, "image_id", np.int32)
        self.targets = targets_of(rows)
        self.is_empty = flags(rows, "empty")
        self._columns: dict[str, Values] = {}
        self._of_targets: dict[str, NDArray[np.intp]] = {}

    @property
    def has_repeats(self) -> bool:
        """Whether an image has several rows for one target."""
        keys = self.image_ids.astype(np.int64) * len(TARGETS) + self.targets
        steps = np.diff(keys)
        return not (steps > 0).all() and bool((np.diff(np.sort(keys)) == 0).any())

    def numbers(self, name: str) -> Values:
        """A column of numbers; NaN in place of nulls."""
        if name not in self._columns:
            self._columns[name] = numbers(self.rows, name)
        return self._columns[name]

    def of_target(self, target: str) -> NDArray[np.intp]:
        """(M,) rows of one target, in the order of their image_ids, so that sums do not depend on that of rows."""
        if target not in self._of_targets:
            kept = np.flatnonzero(self.targets == TARGETS.index(target))
            if (np.diff(self.image_ids[kept]) < 0).any():
                kept = kept[np.argsort(self.image_ids[kept], kind="stable")]
            self._of_targets[target] = kept
        return self._of_targets[target]

    def beside(self, target: str, outcomes: ImageOutcomes) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """(M,) rows of one target whose images have an outcome, and (M,) the place of each among the outcomes."""
        kept = self.of_target(target)
        places = np.searchsorted(outcomes.image_ids, self.image_ids[kept]).clip(max=len(outcomes.image_ids) - 1)
        known = outcomes.image_ids[places] == self.image_ids[kept]
        return kept[known], places[known]


class MapMeasures(NamedTuple):
    """What is measured of the maps of one cell: rows of each table without their keys, and rankings by score."""

    by_target: list[Row]
    on_objects: list[Row]
    by_outcome: list[Row]
    by_answer: list[Row]
    beyond_confidence: list[Row]
    rankings: dict[str, Keys]
    has_repeats: bool


def areas_of(maps: CellMaps, mask_areas: Values | None) -> Values:
    """(R,) share of the image that is object, a row of maps; where rows do not have it, that of the clean image.

    Args:
        maps: of one cell.
        mask_areas: of clean images, by image_id; NaN where unknown, None for no masks.
    """
    here = maps.numbers("mask_area")
    if mask_areas is None:
        return here
    clean = np.take(np.append(mask_areas, np.nan), maps.image_ids, mode="clip")
    return np.where(np.isnan(here), clean, here).astype(np.float32)


def measure_attention(maps: CellMaps, mask_areas: Values | None) -> list[Row]:
    """Rows of cell_attention for the maps of one cell, by target.

    Args:
        maps: its maps.
        mask_areas: share of each image that its object mask covers, by image_id; NaN where unknown, None for no masks.
    """
    has_class = whole_numbers(maps.rows, "target_class", np.int16) != OTHER
    areas = areas_of(maps, mask_areas)
    found = []
    for target in TARGETS:
        kept = maps.of_target(target)
        kept = kept[has_class[kept]]
        if not len(kept):
            continue
        shown = kept[~maps.is_empty[kept]]
        null_shift = maps.numbers("null_centroid_shift")[shown]
        found.append({
            "target": target,
            "image_count": len(kept),
            "empty_count": len(kept) - len(shown),
            "mean_mass": mean(maps.numbers("mass")[kept]),
            "mean_mask_area": mean(areas[kept]),
            **{column: mean(maps.numbers(name)[shown]) for column, name in _OF_MAPS.items()},
            **quantiles(maps.numbers("centroid_shift")[shown], {"median_centroid_shift": 0.5}),
            **quantiles(null_shift, {
                "null_median_centroid_shift": 0.5, "null_q025_centroid_shift": 0.025, "null_q975_centroid_shift": 0.975,
            }),
        })  # fmt: skip
    return found


def measure_on_objects(maps: CellMaps, mask_areas: Values | None) -> list[Row]:
    """Rows of cell_object_attention for the maps of one cell, by target; none where no mask shows an object.

    Args:
        maps: its maps.
        mask_areas: as in `measure_attention`.
    """
    if maps.rows["mask_share"].null_count == maps.rows.num_rows:
        return []
    has_share = ~np.isnan(maps.numbers("mask_share"))
    has_share &= whole_numbers(maps.rows, "target_class", np.int16) != OTHER
    columns = (
        maps.numbers("mask_share"), areas_of(maps, mask_areas), maps.numbers("null_mask_share"),
        maps.numbers("pointing_hit"), maps.numbers("null_pointing_hit"),
    )  # fmt: skip
    of_targets = {target: (kept := maps.of_target(target))[has_share[kept]] for target in TARGETS}
    return [
        {"target": target, **measure_objects(*(column[kept] for column in columns))}
        for target, kept in of_targets.items()
        if len(kept)
    ]


def measure_by_outcome(maps: CellMaps, outcomes: ImageOutcomes) -> list[Row]:
    """The row of attention_by_outcome for one corrupted cell; none without maps of the class predicted when clean.

    Args:
        maps: its maps.
        outcomes: of its images.
    """
    kept, places = maps.beside("clean", outcomes)
    if not len(kept):
        return []
    is_right, is_wrong = kept[outcomes.correct[places]], kept[~outcomes.correct[places]]
    shift, cosine = maps.numbers("centroid_shift"), maps.numbers("cosine")
    return [
        {
            "right_count": len(is_right),
            "wrong_count": len(is_wrong),
            **quantiles(shift[is_right], {"right_median_centroid_shift": 0.5}),
            **quantiles(shift[is_wrong], {"wrong_median_centroid_shift": 0.5}),
            **quantiles(maps.numbers("null_centroid_shift")[kept], {"null_median_centroid_shift": 0.5}),
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
    shift, null = maps.numbers("centroid_shift"), maps.numbers("null_class_centroid_shift")
    kept, places = maps.beside("clean", outcomes)
    kept, places = kept[~np.isnan(shift[kept])], places[~np.isnan(shift[kept])]
    if not len(kept):
        return []
    is_changed = outcomes.is_changed[places]
    stayed = kept[~is_changed]
    compared = stayed[~np.isnan(null[stayed])]
    nearer = (shift[compared] < null[compared]) + (shift[compared] == null[compared]) / 2
    return [
        {
            "stayed_count": len(stayed),
            "changed_count": int(is_changed.sum()),
            **quantiles(shift[stayed], {"stayed_median_centroid_shift": 0.5}),
            **quantiles(shift[kept[is_changed]], {"changed_median_centroid_shift": 0.5}),
            **quantiles(null[kept], {"null_class_median_centroid_shift": 0.5}),
            "stayed_null_count": len(compared),
            "stayed_nearer_share": float(nearer.mean()) if len(compared) else None,
            "change_auroc": auroc_of(ranked(-shift[kept], is_changed)),
        }
    ]


def measure_beyond_confidence(maps: CellMaps, outcomes: ImageOutcomes, *, is_clean: bool) -> list[Row]:
    """Rows of attention_beyond_confidence for one cell, by score; none of what no map has, nor where none is empty.

    Args:
        maps: its maps.
        outcomes: of its images.
        is_clean: of the clean cell, from which nothing has drifted.
    """
    sureness = {
        "attention_spread": ("predicted", -maps.numbers("spread")),
        "attention_drift": ("clean", -maps.numbers("centroid_shift")),
        "empty_map": ("predicted", -maps.is_empty.astype(np.float32)),
    }
    found = []
    for score, (target, values) in sureness.items():
        kept, places = maps.beside(target, outcomes)
        is_told = values[kept].any() if score == "empty_map" else not np.isnan(values[kept]).all()
        if (score == "attention_drift" and is_clean) or not is_told:
            continue
        within = measure_within_tenths(values[kept], ~outcomes.correct[places], outcomes.tenths[places])
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
        kept, places = maps.beside(target, outcomes)
        sureness = -maps.numbers(name)[kept]
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
        mask_areas: as in `measure_attention`.
        is_clean: of the clean cell, from which nothing has drifted.
    """
    maps = CellMaps(rows)
    of_maps = measure_attention(maps, mask_areas), measure_on_objects(maps, mask_areas)
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
