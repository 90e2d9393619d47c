"""The maps of one cell as columns of numbers, by the class that they explain, beside the outcomes of their images."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from failmodes.warehouse.measures.columns import OTHER, Places, Values, flags, numbers, whole_numbers
from failmodes.warehouse.schema import TARGETS

pc: Any = pyarrow.compute  # its functions are made as it is imported: no checker knows them


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
    tenths: NDArray[np.uint8]
    is_changed: NDArray[np.bool_] | None = None


class TargetMaps:
    """The maps of one cell for one target, by rising image_id, so that sums do not depend on the order of rows.

    Args:
        maps: all maps of the cell.
        places: (M,) which of them.
    """

    def __init__(self, maps: "CellMaps", places: Places) -> None:
        self._maps = maps
        self._places = places
        self._columns: dict[str, Values] = {}
        self._beside: tuple[ImageOutcomes, Places, Places] | None = None
        self.image_ids = maps.image_ids[places]
        self.is_empty = maps.is_empty[places]
        self.has_class = maps.has_class[places]

    def numbers(self, name: str) -> Values:
        """(M,) a column of numbers; NaN in place of nulls."""
        if name not in self._columns:
            self._columns[name] = np.ascontiguousarray(self._maps.numbers(name)[self._places])
        return self._columns[name]

    @property
    def areas(self) -> Values:
        """(M,) share of the image that is object; where rows do not have it, that of the clean image."""
        here = self.numbers("mask_area")
        if self._maps.mask_areas is None or not np.isnan(here).any():
            return here
        clean = np.take(np.append(self._maps.mask_areas, np.nan), self.image_ids, mode="clip")
        return np.where(np.isnan(here), clean, here).astype(np.float32)

    def beside(self, outcomes: ImageOutcomes) -> tuple[Places, Places]:
        """Maps whose images have an outcome, and the place of each among the outcomes."""
        if self._beside is None or self._beside[0] is not outcomes:
            self._beside = outcomes, *self._places_beside(outcomes.image_ids)
        return self._beside[1:]

    def _places_beside(self, image_ids: NDArray[np.int32]) -> tuple[Places, Places]:
        if np.array_equal(image_ids, self.image_ids):
            return slice(None), slice(None)
        places = np.searchsorted(image_ids, self.image_ids).clip(max=len(image_ids) - 1)
        known = np.flatnonzero(image_ids[places] == self.image_ids)
        return known, places[known]


class CellMaps:
    """The maps of one cell, columns as arrays, each read once.

    Args:
        rows: the columns of `attention`.
        mask_areas: share of each clean image that is object, by image_id; NaN where unknown, None for no masks.
    """

    def __init__(self, rows: pa.Table, mask_areas: Values | None) -> None:
        self.rows = rows
        self.mask_areas = mask_areas
        self.image_ids: NDArray[np.int32] = whole_numbers(rows, "image_id", np.int32)
        self.is_empty = flags(rows, "empty")
        self.has_class: NDArray[np.bool_] = whole_numbers(rows, "target_class", np.int16) != OTHER
        self._columns: dict[str, Values] = {}
        is_first = np.asarray(pc.equal(rows["target"], TARGETS[0]))
        self._of_targets = {
            target: TargetMaps(self, _places_of(self.image_ids, is_chosen))
            for target, is_chosen in zip(TARGETS, (is_first, ~is_first), strict=True)
        }

    def numbers(self, name: str) -> Values:
        """(R,) a column of numbers; NaN in place of nulls."""
        if name not in self._columns:
            self._columns[name] = numbers(self.rows, name)
        return self._columns[name]

    def of_target(self, target: str) -> TargetMaps:
        """The maps for one target; there may be none."""
        return self._of_targets[target]

    @property
    def has_repeats(self) -> bool:
        """Whether an image has several rows for one target."""
        return any(bool((np.diff(of_one.image_ids) == 0).any()) for of_one in self._of_targets.values())


def _places_of(image_ids: NDArray[np.int32], is_chosen: NDArray[np.bool_]) -> Places:
    """Rows of one target by rising image_id; a slice where they lie evenly, as rows that a run has written do."""
    chosen = np.flatnonzero(is_chosen)
    steps = np.diff(chosen)
    is_even = len(steps) > 0 and (steps == steps[0]).all()
    places: Places = slice(int(chosen[0]), int(chosen[-1]) + 1, int(steps[0])) if is_even else chosen
    ordered = image_ids[places]
    if (ordered[1:] >= ordered[:-1]).all():
        return places
    return chosen[np.argsort(ordered, kind="stable")]
