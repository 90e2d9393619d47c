"""Resampled images (Efron 1979): how often each is drawn, the same for all cells, metrics and models of as many.

Of duplicates groups are drawn, and all images of a group that is drawn count.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from failmodes.warehouse.metrics.duplicates import Groups

CHUNK_WEIGHTS = 20_000_000  # in memory at a time: 80 MB of float32


def image_weights(images: int, resamples: int, seed: int) -> NDArray[np.float32]:
    """How often each image is drawn in `resamples` draws of all, (B, N); draws of one image lie side by side."""
    return np.asfortranarray(np.concatenate([*weights_in_chunks(images, resamples, np.random.default_rng(seed))]))


def kept_weights(images: int, resamples: int, seed: int, groups: Groups | None = None) -> NDArray[np.float32]:
    """What `image_weights` gives, kept for the next cell; of duplicates (N,) how often its group is drawn."""
    if groups is None:
        return _kept(images, resamples, seed)
    return _kept_of_groups(resamples, seed, np.ascontiguousarray(groups, np.intp).tobytes())


@lru_cache(maxsize=1)  # every evaluation of the same images asks for the same
def _kept(images: int, resamples: int, seed: int) -> NDArray[np.float32]:
    return image_weights(images, resamples, seed)


@lru_cache(maxsize=1)
def _kept_of_groups(resamples: int, seed: int, content: bytes) -> NDArray[np.float32]:
    groups = np.frombuffer(content, np.intp)
    return np.asfortranarray(image_weights(int(groups.max()) + 1, resamples, seed)[:, groups])


def weights_in_chunks(images: int, resamples: int, rng: np.random.Generator) -> Iterator[NDArray[np.float32]]:
    """Multinomial weights (b, N), how often each image was drawn, in chunks of resamples that fit the memory."""
    chunk = max(1, CHUNK_WEIGHTS // images)
    for start in range(0, resamples, chunk):
        weights = np.empty((min(chunk, resamples - start), images), np.float32)
        for row in weights:  # counting drawn indices is several times as fast as rng.multinomial
            row[:] = np.bincount(rng.integers(0, images, images, dtype=np.int32), minlength=images)
        yield weights
