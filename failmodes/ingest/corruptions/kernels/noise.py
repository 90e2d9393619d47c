"""Noise: Gaussian, shot, impulse and speckle."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corruptions.corruption import corruption
from failmodes.ingest.corruptions.pixels import Images, Parameters, from_unit, to_unit32
from failmodes.ingest.corruptions.sampling import normal, uint32

LARGEST_UINT32 = np.uint32(2**32 - 2)  # the very last one would be beyond every count
GUIDE_BITS = 12  # a random number's top bits point into the guide of the Poisson table
NORMAL_ABOVE_PHOTONS = 2000.0  # from here a photon is below 1/7 of a stored value

NORMALS = {"normals": normal(lambda size: (*size, 3))}
UINT32S = {"uint32s": uint32(lambda size: (*size, 3))}


@corruption(
    order=1,
    group="noise",
    samples=NORMALS,
    levels={
        "cifar-c": ((0,), (0.04,), (0.06,), (0.08,), (0.09,), (0.10,)),
        "imagenet-c": ((0,), (0.08,), (0.12,), (0.18,), (0.26,), (0.38,)),
    },
)
def gaussian_noise(images: Images, parameters: Parameters, *, normals: NDArray[np.float32]) -> Images:
    """Add `normals` (N, H, W, 3) times the parameter, sigma of values / 255."""
    (sigma,) = parameters
    noisy = normals * np.float32(sigma)
    noisy += to_unit32(images)
    return from_unit(noisy)


@corruption(
    order=16,
    group="noise",
    samples=NORMALS,
    levels={
        "cifar-c": ((0,), (0.06,), (0.1,), (0.12,), (0.16,), (0.2,)),
        "imagenet-c": ((0,), (0.15,), (0.2,), (0.35,), (0.45,), (0.6,)),
    },
)
def speckle_noise(images: Images, parameters: Parameters, *, normals: NDArray[np.float32]) -> Images:
    """Add to each value itself times `normals` (N, H, W, 3) times the parameter, sigma as a share of the value."""
    (sigma,) = parameters
    noisy = normals * np.float32(sigma)
    noisy += 1
    noisy *= to_unit32(images)
    return from_unit(noisy)


@corruption(
    order=2,
    group="noise",
    samples=UINT32S,
    between="inverse roots",
    levels={
        "cifar-c": ((float("inf"),), (500,), (250,), (100,), (75,), (50,)),
        "imagenet-c": ((float("inf"),), (60,), (25,), (12,), (5,), (3,)),
    },
)
def shot_noise(images: Images, parameters: Parameters, *, uint32s: NDArray[np.uint32]) -> Images:
    """Replace each value by a Poisson count of its photons, at the quantile that `uint32s` (N, H, W, 3) stand for.

    The parameter is the number of photons at white. The same random number is the same quantile at every severity:
    that is what an image's curve shares.
    """
    (photons,) = parameters
    if photons > NORMAL_ABOVE_PHOTONS:
        return _normal_shot_noise(images, photons, uint32s)
    values, guide, thresholds = _poisson_table(photons)
    levels = len(thresholds) // 256
    start = images.astype(np.int32) << GUIDE_BITS
    start += (uint32s >> np.uint32(32 - GUIDE_BITS)).astype(np.int32)
    counts = guide[start.ravel()]
    row = images.ravel().astype(np.int32) * levels
    flat = np.minimum(uint32s.ravel(), LARGEST_UINT32)
    late = np.flatnonzero(flat >= thresholds[row + counts])
    while late.size:  # the guide is exact for most; the rest climb count by count
        counts[late] += 1
        late = late[flat[late] >= thresholds[row[late] + counts[late]]]
    return np.asarray(values[counts].reshape(images.shape))


def _normal_shot_noise(images: Images, photons: float, uint32s: NDArray[np.uint32]) -> Images:
    """The Poisson quantile by its Cornish-Fisher expansion, whose error is far below one photon here."""
    from scipy.special import ndtri  # here: it takes .05 s, and what only names corruptions does not need it

    z = ndtri((uint32s + 0.5) / 2**32)
    mean = images * (photons / 255)
    counts = np.floor(mean + np.sqrt(mean) * z + (z * z - 1) / 6 + 0.5)
    return from_unit(counts / photons)


@lru_cache(maxsize=8)
def _poisson_table(photons: float) -> tuple[Images, NDArray[np.int32], NDArray[np.uint32]]:
    """For Poisson means photons·v/255, v = 0 … 255: how a uniform uint32 becomes a count.

    Returns:
        The stored value of each count; for each v and each of 2¹² equal ranges of uint32s the least count in the
        range; and for each v and count the first uint32 that belongs to a larger count.
    """
    from scipy.special import pdtr  # here: as above

    levels = int(np.ceil(photons + 8 * np.sqrt(photons) + 16))
    counts = np.arange(levels)
    upper = np.floor(pdtr(counts, np.arange(256)[:, None] * (photons / 255)) * 2**32)
    thresholds = np.minimum(upper, 2**32 - 1).astype(np.uint32)
    first_of_range = np.arange(1 << GUIDE_BITS, dtype=np.uint64) << np.uint64(32 - GUIDE_BITS)
    guide = np.stack([np.searchsorted(row, first_of_range.astype(np.uint32), side="right") for row in thresholds])
    guide = np.minimum(guide, levels - 1)
    thresholds[:, -1] = 2**32 - 1
    return from_unit(counts / photons), guide.astype(np.int32).ravel(), thresholds.ravel()


@corruption(
    order=3,
    group="noise",
    samples=UINT32S,
    levels={
        "cifar-c": ((0,), (0.01,), (0.02,), (0.03,), (0.05,), (0.07,)),
        "imagenet-c": ((0,), (0.03,), (0.06,), (0.09,), (0.17,), (0.27,)),
    },
)
def impulse_noise(images: Images, parameters: Parameters, *, uint32s: NDArray[np.uint32]) -> Images:
    """Set a share of values, the parameter, to 0 or 255: 31 bits of `uint32s` (N, H, W, 3) say which, the last to what.

    Values replaced at one share stay so at every larger one.
    """
    (share,) = parameters
    replaced = (uint32s >> np.uint32(1)) < np.uint32(round(share * 2**31))
    extremes = (uint32s & np.uint32(1)).astype(np.uint8) * np.uint8(255)
    return np.where(replaced, extremes, images)
