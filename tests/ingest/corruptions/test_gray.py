"""Gray images stay gray whatever the corruption, and nothing changes for those that are not said to be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from failmodes.ingest.corruptions import apply as engine
from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.ingest.corruptions.custom import CustomCorruption
from failmodes.ingest.corruptions.gray import in_gray
from failmodes.ingest.corruptions.transform import CorruptImage
from failmodes.warehouse.errors import DataError

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (3, 40, 36, 3), dtype=np.uint8)
GRAY = np.repeat(COLOR[..., :1], 3, axis=-1)
PER_CHANNEL_NOISE = ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise")


@pytest.mark.parametrize("recipe", ["cifar-c", "imagenet-c"])
@pytest.mark.parametrize("severity", [1, 3, 5])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_channels_stay_equal(name: str, severity: int, recipe: str) -> None:
    result = corrupt(GRAY, name, severity, recipe=recipe, gray=True)
    assert (result == result[..., :1]).all()
    assert np.ptp(result.astype(int) - GRAY) > 0 or name == "saturate"
    without = corrupt(GRAY, name, severity, recipe=recipe)
    if name not in PER_CHANNEL_NOISE:
        np.testing.assert_array_equal(result, in_gray(without), err_msg="of what is no noise a channel, the luma")
    else:
        np.testing.assert_array_equal(result[..., 0], without[..., 0], err_msg="the noise is that of the first channel")
        assert (without != without[..., :1]).any()


@pytest.mark.parametrize("severity", [0, 0.5, 2.25, 4.75])
def test_between_severities_too(severity: float) -> None:
    for name in CORRUPTIONS:
        result = corrupt(GRAY, name, severity, recipe="cifar-c", gray=True, across_switches=True, noise="independent")
        assert (result == result[..., :1]).all(), name


def test_a_users_own_corruption_is_seen_in_gray() -> None:
    def redden(images: np.ndarray, parameters: tuple[float, ...]) -> np.ndarray:
        red = images.copy()
        red[..., 0] = 255
        return red

    own = CustomCorruption("redden", redden, levels=((1,), (2,), (3,), (4,), (5,)))
    result = corrupt(GRAY, own, 1, gray=True)
    assert (result == result[..., :1]).all()
    assert (result >= GRAY).all()


def test_nothing_changes_for_images_that_are_not_said_to_be_gray(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("check_gray", "same_in_channels", "in_gray"):
        monkeypatch.setattr(engine, name, lambda *_: pytest.fail("called"))
    for name in CORRUPTIONS:
        assert corrupt(GRAY, name, 3, recipe="cifar-c").shape == GRAY.shape


@settings(max_examples=50, deadline=None)
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
    with pytest.raises(DataError, match="image 1 is not gray, its channels differ: make it gray, or leave out `gray`"):
        corrupt(tinged, "fog", 1, gray=True)


@pytest.mark.parametrize("name", ["gaussian_noise", "frost", "saturate"])
def test_the_transform_of_one_image_keeps_it_gray(name: str) -> None:
    transform = CorruptImage(name, 3, recipe="cifar-c", gray=True)
    expected = corrupt(GRAY[:1], name, 3, recipe="cifar-c", gray=True, image_ids=[transform.image_id_of(GRAY[0])])[0]
    np.testing.assert_array_equal(transform(GRAY[0]), expected)
    one_channel = transform(Image.fromarray(GRAY[0, ..., 0]))
    assert one_channel.mode == "L"
    np.testing.assert_array_equal(np.asarray(one_channel), expected[..., 0])
    assert "gray=True" in repr(transform)


def test_the_transform_refuses_an_image_with_colors() -> None:
    with pytest.raises(DataError, match="image 0 is not gray, its channels differ"):
        CorruptImage("fog", 3, gray=True)(COLOR[0])
    with pytest.raises(DataError, match=r"not a PIL image of mode 'L': give image.convert\('RGB'\)"):
        CorruptImage("fog", 3)(Image.fromarray(GRAY[0, ..., 0]))
