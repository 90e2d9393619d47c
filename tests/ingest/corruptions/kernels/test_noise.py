"""Gaussian, shot, impulse and speckle noise against references that are handed the same draws."""

import numpy as np
import pytest
from corruption_references import SETTINGS, Floats, Pixels, Reference, Setting, assert_close, both_at, stored
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from failmodes.ingest.corruptions.catalog import SEVERITIES
from failmodes.ingest.corruptions.kernels.noise import (
    NORMAL_ABOVE_PHOTONS,
    shot_noise,
)

Uint32s = NDArray[np.uint32]
LAST_UINT32 = 2**32 - 1


def reference_gaussian(image: Pixels, sigma: float, *, normals: Floats) -> Pixels:
    return stored(image / 255 + normals.astype(float) * sigma)


def reference_speckle(image: Pixels, sigma: float, *, normals: Floats) -> Pixels:
    x = image / 255
    return stored(x + x * normals.astype(float) * sigma)


def photon_counts(values: NDArray[np.integer], photons: float, uint32s: Uint32s) -> Floats:
    """The Poisson quantile: a value w is the range of probability up to (w + 1) / 2³²."""
    return stats.poisson.ppf((uint32s + 1.0) / 2**32, values / 255 * photons)


def reference_shot(image: Pixels, photons: float, *, uint32s: Uint32s) -> Pixels:
    return stored(photon_counts(image, photons, uint32s) / photons)


def reference_impulse(image: Pixels, share: float, *, uint32s: Uint32s) -> Pixels:
    noisy = image.copy()
    for place in zip(*np.nonzero(uint32s // 2 / 2**31 < share), strict=True):
        noisy[place] = 255 if uint32s[place] % 2 else 0
    return noisy


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
@pytest.mark.parametrize(
    ("name", "reference"), [("gaussian_noise", reference_gaussian), ("speckle_noise", reference_speckle)]
)
def test_gaussian_and_speckle_are_the_published_sums(
    name: str, reference: Reference, setting: Setting, severity: int
) -> None:
    assert_close(*both_at(name, setting, severity, reference))


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
@pytest.mark.parametrize(("name", "reference"), [("shot_noise", reference_shot), ("impulse_noise", reference_impulse)])
def test_shot_and_impulses_equal_their_distributions_quantiles(
    name: str, reference: Reference, setting: Setting, severity: int
) -> None:
    np.testing.assert_array_equal(*both_at(name, setting, severity, reference))


# 86 pixels, every value at least once
EVERY_VALUE = np.arange(258).clip(max=255).astype(np.uint8).reshape(1, 1, 86, 3)


@pytest.mark.test_all
@settings(max_examples=15)
@given(
    photons=st.floats(0.5, NORMAL_ABOVE_PHOTONS),
    value=st.one_of(st.integers(0, LAST_UINT32 - 1), st.sampled_from([0, 1, 2**20 - 1, 2**20, 2**31, LAST_UINT32 - 1])),
)
def test_shot_noise_is_the_quantile_at_any_photons_and_word(photons: float, value: int) -> None:
    uint32s = np.full(EVERY_VALUE.shape, value, np.uint32)
    found = shot_noise(EVERY_VALUE, (photons,), uint32s=uint32s)
    np.testing.assert_array_equal(found[0], reference_shot(EVERY_VALUE[0], photons, uint32s=uint32s[0]))


@pytest.mark.parametrize("photons", [3.0, NORMAL_ABOVE_PHOTONS, NORMAL_ABOVE_PHOTONS + 1])
def test_shot_noise_knows_the_last_word(photons: float) -> None:
    last, before = (
        shot_noise(EVERY_VALUE, (photons,), uint32s=np.full(EVERY_VALUE.shape, value, np.uint32))
        for value in (LAST_UINT32, LAST_UINT32 - 1)
    )
    assert (last >= before).all()
    assert last[0, 0, 0, 0] == 0, "no photons come from black"


@pytest.mark.parametrize("photons", [NORMAL_ABOVE_PHOTONS + 1, 1e5])
def test_shot_noise_of_many_photons_is_the_quantile_within_one(photons: float) -> None:
    images = np.repeat(EVERY_VALUE, 12, axis=1)
    uint32s = np.random.default_rng(4).integers(0, 2**32, images.shape, np.uint32)
    uint32s[0, 0], uint32s[0, 1], uint32s[0, 2] = 0, LAST_UINT32, 2**31
    found = shot_noise(images, (photons,), uint32s=uint32s)
    # a value is a range of probability, from w / 2³² to (w + 1) / 2³²: wide in terms of photons only at either end
    least, most = (stats.poisson.ppf((uint32s + end) / 2**32, images / 255 * photons) for end in (0.0, 1.0))
    assert (found >= stored((least - 1) / photons)).all()
    assert (found <= stored((most + 1) / photons)).all()
