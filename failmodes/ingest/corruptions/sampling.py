"""Random samples, one stream per image: Philox counters keyed by seed and corruption, so order never matters.

The key is a hash of (seed, corruption), and of the severity too for independent sampling; the image_id is the top 64
bits of the 256-bit counter, so streams of two images are 2¹⁹² blocks apart. Without the severity in the key an image
has the same samples along its whole curve (common random numbers); which variables a corruption samples never depends
on severity.

Philox's output is the same on every machine. So are uniforms and uint32s, made from it by fixed arithmetic; normals are
NumPy's ziggurat, which NumPy may change from one version to another: versions are part of a source's identity.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

NoiseMode = Literal["shared", "independent"]
NOISE_MODES: tuple[NoiseMode, ...] = ("shared", "independent")
MAX_SEED = MAX_IMAGE_ID = 2**63 - 1  # the type of stored seeds, and of Philox's counter

# Part of every key: another letter would change every random pixel
STREAM_FAMILY = "h"
Size = tuple[int, int]  # height and width
Samples = dict[str, NDArray[Any]]


class Stream(NamedTuple):
    """Identifies a family of streams, one per image; `severity` is None if all severities share it."""

    seed: int
    corruption: str
    severity: str | None

    @property
    def key(self) -> NDArray[np.uint64]:
        """The Philox key, two uint64."""
        text = f"{STREAM_FAMILY}|{self.seed}|{self.corruption}|{self.severity or ''}"
        return np.frombuffer(hashlib.blake2b(text.encode(), digest_size=16).digest(), dtype="<u8").astype(np.uint64)


class RandomVariable(NamedTuple):
    """One random variable that a corruption samples for an image.

    Attributes:
        kind: how it is distributed.
        shape: its shape for an image of a size (H, W).
    """

    kind: Literal["normal", "uniform", "uint32"]
    shape: Callable[[Size], tuple[int, ...]]


def normal(shape: Callable[[Size], tuple[int, ...]]) -> RandomVariable:
    """Standard normal values, float32."""
    return RandomVariable("normal", shape)


def uniform(shape: Callable[[Size], tuple[int, ...]]) -> RandomVariable:
    """Uniform values in 0 (included) to 1 (excluded), multiples of 2⁻²⁴, float32."""
    return RandomVariable("uniform", shape)


def uint32(shape: Callable[[Size], tuple[int, ...]]) -> RandomVariable:
    """Random whole numbers of 32 bits, uint32: the basis of discrete distributions."""
    return RandomVariable("uint32", shape)


DTYPES = {"normal": np.float32, "uniform": np.float32, "uint32": np.uint32}


def sample(
    stream: Stream, image_ids: NDArray[np.int64], size: Size, variables: Mapping[str, RandomVariable]
) -> Samples:
    """Sample for every image, in the order of `variables`.

    Args:
        stream: the family of streams.
        image_ids: (N,) whole numbers from 0.
        size: height and width of the images.
        variables: the variables by name.

    Returns:
        By name (N, *shape) float32 (normal, uniform) or uint32.
    """
    samples: Samples = {
        name: np.empty((len(image_ids), *variable.shape(size)), DTYPES[variable.kind])
        for name, variable in variables.items()
    }
    if not variables:
        return samples
    bits = np.random.Philox(key=stream.key)
    generator = np.random.Generator(bits)
    state = bits.state
    for row, image_id in enumerate(image_ids.tolist()):
        state["state"]["counter"][:] = (0, 0, 0, image_id)
        bits.state = state  # seven times faster than a new generator per image
        for name, variable in variables.items():
            _fill(generator, bits, variable.kind, samples[name][row : row + 1])
    return samples


def _fill(generator: np.random.Generator, bits: np.random.Philox, kind: str, out: NDArray[Any]) -> None:
    if kind == "normal":
        generator.standard_normal(out=out, dtype=np.float32)
    elif kind == "uniform":
        generator.random(out=out, dtype=np.float32)
    else:
        uint32s = bits.random_raw((out.size + 1) // 2).astype("<u8", copy=False).view("<u4")
        out[...] = uint32s[: out.size].reshape(out.shape)
