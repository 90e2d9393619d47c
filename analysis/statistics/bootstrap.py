"""The bootstrap over images as one matrix product: resample weights times correctness.

The resample is drawn once per (number of images, resamples, seed) and serves every column, so severities, corruptions
and models over the same images are compared pair by pair. It speaks of the choice of test images alone, never of the
training seed.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

BLOCK_WEIGHTS = 20_000_000  # weights held at a time: 80 MB of float32


def resampled_accuracy(correct: ArrayLike, resamples: int = 1000, seed: int = 0) -> NDArray[np.float64]:
    """Accuracy of every column under `resamples` draws of the images with replacement (Efron 1979).

    Args:
        correct: (N, C) bool or 0/1; one row an image, one column a cell.
        resamples: B, number of draws.
        seed: seed of the draws; the same seed and N give the same draws, whatever the columns.

    Returns:
        (B, C) float64, 0-1. Exact: counts stay whole in float32 up to N = 2**24.

    Raises:
        ValueError: there is no image, or `correct` is not a matrix.
    """
    matrix = np.asarray(correct, dtype=np.float32)
    if matrix.ndim != 2 or not len(matrix):
        raise ValueError(f"correct must be (N, C) with at least one image, not {matrix.shape}")
    sums = [weights @ matrix for weights in _weights(len(matrix), resamples, np.random.default_rng(seed))]
    return np.concatenate(sums).astype(np.float64) / len(matrix)


def resampled_alone(accuracy: ArrayLike, image_counts: ArrayLike, resamples: int = 1000, seed: int = 0) -> NDArray:
    """Like `resampled_accuracy`, for cells that share no images: every cell is drawn on its own.

    The mean of N right-or-wrong images drawn with replacement is a binomial share, so no image is needed.

    Args:
        accuracy: (C,) 0-1.
        image_counts: (C,) images of each cell.
        resamples: B, number of draws.
        seed: seed of the draws.

    Returns:
        (B, C) float64, 0-1.
    """
    counts = np.asarray(image_counts, dtype=np.int64)
    shares = np.asarray(accuracy, dtype=np.float64)
    return np.random.default_rng(seed).binomial(counts, shares, (resamples, len(shares))) / counts


def percentile_interval(values: ArrayLike, level: float = 0.95) -> tuple[NDArray, NDArray]:
    """Percentile interval along the first axis: (B, …) gives lower and upper ends of shape (…)."""
    tail = (1 - level) / 2
    low, high = np.quantile(np.asarray(values), [tail, 1 - tail], axis=0)
    return low, high


def _weights(images: int, resamples: int, rng: np.random.Generator) -> Iterator[NDArray[np.float32]]:
    """Multinomial weights (b, N), how often each image was drawn, in blocks of resamples that fit the memory."""
    block = max(1, BLOCK_WEIGHTS // images)
    for start in range(0, resamples, block):
        weights = np.empty((min(block, resamples - start), images), np.float32)
        for row in weights:  # counting drawn indices is several times as fast as rng.multinomial
            row[:] = np.bincount(rng.integers(0, images, images, dtype=np.int32), minlength=images)
        yield weights
