"""Handwritten digits of scikit-learn: 1,797 real images of 8×8 pixels, upsampled to 32×32."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.layout import Request, layout
from failmodes.runtime.packages import require

SIDE = 32
FULL_INK = 16  # largest value of the 8×8 images
TEST_PER_CLASS = 50
INK = 128  # half of full ink: the digit without its soft edge

NOTE = (
    "8×8 images, enlarged by linear interpolation to 32×32; train and test share writers, so accuracy is for"
    " known writers"
)


def open_digits(split: str) -> Dataset:
    """The digits of one split: 50 test images per class, the others for training.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    require("images", "the dataset of digits", ["sklearn"])
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    labels = bunch.target.astype(np.int64)
    chosen = _chosen(labels, split)
    images = upsample(bunch.images[chosen].astype(np.int64))
    return Dataset(
        name="digits",
        label="Handwritten digits (8×8, shown at 32×32)",
        split=split,
        images=np.repeat(images[..., None], 3, axis=3),
        labels=labels[chosen],
        class_names=("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
        note=NOTE,
        masks=images >= INK,
    )


@layout("digits", takes={"gray"}, expected=None)
def _open(request: Request) -> Dataset:
    return open_digits(request.split)


def upsample(small: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Upsample (N, 8, 8) of 0-16 to (N, 32, 32) uint8 by linear interpolation with constant edges.

    Convolutions trained on photographs expect smooth strokes, and blocks of 4×4 would align with the grid of JPEG. All
    arithmetic is in whole numbers (weights are eighths), so that pixels and dataset_id are the same on every machine.
    """
    eighths = _interpolation(small.shape[1])
    scaled = np.einsum("yi,nij,xj->nyx", eighths, small, eighths)
    most = FULL_INK * 64
    return np.asarray((scaled * 255 + most // 2) // most, np.uint8)


def _interpolation(side: int) -> NDArray[np.int64]:
    weights = np.zeros((SIDE, side), dtype=np.int64)
    for row in range(SIDE):
        position = (2 * row + 1) * side * 4 // SIDE - 4  # of the pixel's center, in eighths of a source pixel
        low, part = divmod(position, 8)
        weights[row, max(low, 0)] += 8 - part
        weights[row, min(low + 1, side - 1)] += part
    return weights


def _chosen(labels: NDArray[np.int64], split: str) -> NDArray[np.int64]:
    """Indices of a split's images, ascending; chosen by a hash, the same on every machine."""
    shuffled = sorted(range(len(labels)), key=lambda index: hashlib.blake2b(str(index).encode()).digest())
    order = np.array(shuffled, dtype=np.int64)
    test = np.concatenate([order[labels[order] == digit][:TEST_PER_CLASS] for digit in np.unique(labels)])
    return np.sort(test if split == "test" else np.setdiff1d(order, test))
