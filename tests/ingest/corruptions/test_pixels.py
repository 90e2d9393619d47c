"""Gray images stay gray whatever the corruption, and nothing changes for those that are not said to be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.ingest.corruptions.pixels import in_gray
from failmodes.runtime.errors import DataError

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (3, 40, 36, 3), dtype=np.uint8)
GRAY = np.repeat(COLOR[..., :1], 3, axis=-1)
PER_CHANNEL_NOISE = ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise")


@pytest.mark.parametrize(("recipe", "severity"), [("cifar-c", 5), ("imagenet-c", 1)])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_channels_stay_equal(name: str, recipe: str, severity: int) -> None:
    result = corrupt(GRAY, name, severity, recipe=recipe, gray=True)
    assert (result == result[..., :1]).all()
    assert np.ptp(result.astype(int) - GRAY) > 0 or name == "saturate"
    without = corrupt(GRAY, name, severity, recipe=recipe)
    if name not in PER_CHANNEL_NOISE:
        np.testing.assert_array_equal(result, in_gray(without), err_msg="of what is no noise a channel, the luma")
    else:
        np.testing.assert_array_equal(result[..., 0], without[..., 0], err_msg="the noise is that of the first channel")
        assert (without != without[..., :1]).any()


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_luma_is_that_of_pillow(seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (1, 9, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(in_gray(pixels)[0, ..., 0], np.asarray(Image.fromarray(pixels[0]).convert("L")))
    every = np.repeat(np.arange(256, dtype=np.uint8)[None, None, :, None], 3, axis=-1)
    tinged = np.concatenate([every, pixels[:, :1, :1].repeat(256, axis=2)])
    np.testing.assert_array_equal(in_gray(tinged)[0], every[0])


def test_an_image_that_is_not_gray_is_reported() -> None:
    tinged = GRAY.copy()
    tinged[1, 3, 4, 2] ^= 1
    with pytest.raises(DataError, match=r"image 1 is not gray \(its channels differ\): convert it, or leave out"):
        corrupt(tinged, "fog", 1, gray=True)
