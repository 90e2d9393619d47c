"""Digits, subsets and specifications."""

import numpy as np
import pytest
from cifar_files import COUNT, IMAGES

from failmodes.ingest.datasets.dataset import ConcatenatedImages, Dataset
from failmodes.warehouse.errors import DataError


def test_labels_must_name_classes() -> None:
    images = np.zeros((2, 8, 8, 3), np.uint8)
    with pytest.raises(DataError, match="label 2 of image 1 is out of range: expected 0 to 1"):
        Dataset("x", "X", "test", images, np.array([0, 2]), ("a", "b"))
    with pytest.raises(DataError, match="2 images but labels"):
        Dataset("x", "X", "test", images, np.array([0]), ("a",))
    with pytest.raises(DataError, match="must be uint8"):
        Dataset("x", "X", "test", images.astype(float), np.array([0, 0]), ("a",))


def test_a_stack_is_one_array() -> None:
    stack = ConcatenatedImages([IMAGES[:7], IMAGES[7:8], IMAGES[8:]])
    assert (stack.shape, stack.dtype, len(stack)) == (IMAGES.shape, IMAGES.dtype, COUNT)
    for rows in (slice(None), slice(5, 9), slice(0, 0), slice(None, None, -3), np.array([19, 7, 6, 7]), np.arange(0)):
        np.testing.assert_array_equal(stack[rows], IMAGES[rows])
    with pytest.raises(IndexError):
        stack[np.array([COUNT])]
