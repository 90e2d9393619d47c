"""What a data set is, whatever its layout on disk."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from failmodes.warehouse.errors import DataError
from failmodes.warehouse.hashing import fingerprint_of

MAX_CLASSES = 2**15 - 1  # the record keeps class indices in 16 bits


class ImageArray(Protocol):
    """Images (N, H, W, 3) uint8 that need not lie in memory: sliced, or indexed with an array of whole numbers."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, 3)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Always uint8."""

    def __len__(self) -> int:
        """N."""

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]:
        """The images of a slice or of an array of whole numbers."""


@dataclass(frozen=True)
class Dataset:
    """Clean images with labels, in their full order.

    Attributes:
        name: kind of data set, such as cifar10.
        label: its name on charts, which says what is special about this copy.
        split: train or test.
        images: (N, H, W, 3) uint8, memory-mapped where possible.
        labels: (N,) int64, class indices.
        class_names: a name a class.
        note: what a reader must know, or None.
        files: an image's path within its folder, where images are files.
        masks: (N, H, W) bool, where the object is, if that is known.
    """

    name: str
    label: str
    split: str
    images: ImageArray
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    note: str | None = None
    files: tuple[str, ...] | None = None
    masks: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        shape = self.images.shape
        if len(shape) != 4 or shape[3] != 3 or self.images.dtype != np.uint8:
            raise DataError(f"{self.label}: images must be uint8 (N, H, W, 3), not {self.images.dtype} {shape}")
        if self.labels.shape != (shape[0],) or not shape[0]:
            raise DataError(f"{self.label}: {shape[0]} images but labels of shape {self.labels.shape}")
        if len(self.class_names) > MAX_CLASSES:
            raise DataError(f"{self.label} has {len(self.class_names):,} classes: at most {MAX_CLASSES:,} are recorded")
        check_labels(self.labels, len(self.class_names), self.label)

    @cached_property
    def dataset_id(self) -> str:
        """Hash of images and labels in their full order; the first call reads every pixel once."""
        return fingerprint_of([self.images, self.labels])


class ConcatenatedImages:
    """Several image arrays one after the other, as one, without copying them together."""

    def __init__(self, parts: list[ImageArray]) -> None:
        self._parts = parts
        self._ends = np.cumsum([len(part) for part in parts])
        self.shape = (int(self._ends[-1]), *parts[0].shape[1:])
        self.dtype = parts[0].dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]:
        wanted = np.arange(len(self))[rows]
        found = np.empty((*wanted.shape, *self.shape[1:]), self.dtype)
        owners = np.searchsorted(self._ends, wanted, side="right")
        for number, part in enumerate(self._parts):
            mine = owners == number
            if mine.any():
                found[mine] = part[wanted[mine] - (self._ends[number] - len(part))]
        return found


def check_labels(labels: NDArray[np.integer], class_count: int, where: str) -> None:
    """Check that labels name classes.

    Raises:
        DataError: a label is outside 0 … class_count-1.
    """
    wrong = np.flatnonzero((labels < 0) | (labels >= class_count))
    if len(wrong):
        raise DataError(
            f"{where}: label {labels[wrong[0]]} of image {wrong[0]} is out of range: expected 0 to {class_count - 1}"
            f" ({len(wrong):,} such labels)"
        )
