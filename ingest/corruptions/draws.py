"""Random draws, one stream an image: Philox counters keyed by seed and corruption, so that order never matters.

The key is a hash of (seed, corruption), and of the severity too for independent draws; the image's number is the top
word of the 256-bit counter, so streams of two images lie 2¹⁹² blocks apart. Without the severity in the key an image
meets the same draws all along its curve (common random numbers).
"""

import hashlib
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Draws = Literal["paired", "independent"]
DRAWS: tuple[Draws, ...] = ("paired", "independent")

Draw = Callable[["Stream", NDArray[np.int64], tuple[int, int]], NDArray[np.float64]]


class Stream(NamedTuple):
    """What names a family of streams, one an image; `severity` is None where all severities share it."""

    seed: int
    corruption: str
    severity: int | None

    @property
    def key(self) -> NDArray[np.uint64]:
        """The Philox key, two words."""
        text = f"{self.seed}|{self.corruption}|{'' if self.severity is None else self.severity}"
        return np.frombuffer(hashlib.blake2b(text.encode(), digest_size=16).digest(), dtype="<u8").astype(np.uint64)


def normals(stream: Stream, image_ids: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Standard normal values (N, H, W, 3), one for every value of every image of `size` (H, W)."""
    return _filled(stream, image_ids, (*size, 3), lambda generator, out: generator.standard_normal(out=out))


def shallow_angles(stream: Stream, image_ids: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Angles (N,), uniform in -45 to 45 degrees."""
    uniforms = _filled(stream, image_ids, (1,), lambda generator, out: generator.random(out=out))
    return uniforms[:, 0] * 90 - 45


def plasma_field(stream: Stream, image_ids: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Values (N, S, S), uniform in -1 to 1; S is the smallest power of two that covers `size` (H, W), at least 32."""
    side = max(32, 1 << (max(size) - 1).bit_length())
    return _filled(stream, image_ids, (side, side), lambda generator, out: generator.random(out=out)) * 2 - 1


def _filled(
    stream: Stream,
    image_ids: NDArray[np.int64],
    shape: tuple[int, ...],
    fill: Callable[[np.random.Generator, NDArray[np.float64]], object],
) -> NDArray[np.float64]:
    values = np.empty((len(image_ids), *shape))
    key = stream.key
    for row, image_id in zip(values, image_ids.tolist(), strict=True):
        counter = np.array([0, 0, 0, image_id], dtype=np.uint64)
        fill(np.random.Generator(np.random.Philox(key=key, counter=counter)), row)
    return values
