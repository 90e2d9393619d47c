"""Images that cannot be corrupted as they are: one line each, with an expression that mends them."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.corruptions.image_checks import check_image, check_images
from failmodes.warehouse.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 12, 16, 3), dtype=np.uint8)
IMAGES[0, 0, 0] = 0, 0, 255  # so that values in 0-1 are 0-1 whatever is taken of them
FIRST = IMAGES.transpose(0, 3, 1, 2)
GRAY, RGBA = IMAGES[..., 0], np.concatenate([IMAGES, IMAGES[..., :1]], axis=3)
PILLOW = Image.fromarray(IMAGES[0])


def fix_of(refused: str) -> str:
    """The expression that a refusal says to pass."""
    assert "\n" not in refused
    found = re.search(r": pass (.*?)(; failmodes\.CorruptTransform takes tensors)?$", refused)
    assert found, refused
    return found[1]


def fixed(check: Any, argument: str, value: Any) -> np.ndarray:
    """What the expression of the refusal makes of the value."""
    with pytest.raises(DataError, match=f"{argument} must be a uint8 array of shape") as caught:
        check(value, "cifar-c")
    made = eval(fix_of(str(caught.value)), {"np": np}, {argument: value})
    check(made, "cifar-c")
    return made


BATCHES: dict[str, tuple[Any, np.ndarray]] = {
    "floats of 0-1": (IMAGES / 255, IMAGES),
    "floats of 0-255": (IMAGES.astype(np.float32), IMAGES),
    "integers": (IMAGES.astype(np.int64), IMAGES),
    "booleans": (IMAGES > 99, (IMAGES > 99) * np.uint8(255)),
    "channels first": (FIRST, IMAGES),
    "alpha": (RGBA, IMAGES),
    "alpha, channels first": (RGBA.transpose(0, 3, 1, 2), IMAGES),
    "gray": (GRAY, GRAY[..., None].repeat(3, axis=-1)),
    "one gray channel": (GRAY[..., None], GRAY[..., None].repeat(3, axis=-1)),
    "one gray channel, first": (GRAY[:, None], GRAY[..., None].repeat(3, axis=-1)),
    "one image": (IMAGES[0], IMAGES[:1]),
    "one image with alpha": (RGBA[0], IMAGES[:1]),
    "one image, channels first": (FIRST[0], IMAGES[:1]),
    "one gray image": (GRAY[0], GRAY[:1, ..., None].repeat(3, axis=-1)),
    "one gray image with its channel": (GRAY[0][..., None], GRAY[:1, ..., None].repeat(3, axis=-1)),
    "a PIL image": (PILLOW, IMAGES[:1]),
    "a gray PIL image": (PILLOW.convert("L"), np.asarray(PILLOW.convert("L").convert("RGB"))[None]),
    "a list of arrays": (list(IMAGES), IMAGES),
    "a list of PIL images": ([PILLOW, PILLOW], IMAGES[[0, 0]]),
    "nested lists": (IMAGES.tolist(), IMAGES),
}


@pytest.mark.parametrize(("given", "meant"), BATCHES.values(), ids=BATCHES.keys())
def test_what_a_refused_batch_says_to_pass_are_the_images(given: Any, meant: np.ndarray) -> None:
    np.testing.assert_array_equal(fixed(check_images, "images", given), meant)


ONES: dict[str, tuple[Any, np.ndarray]] = {
    "floats of 0-1": (IMAGES[0] / 255, IMAGES[0]),
    "channels first": (FIRST[0], IMAGES[0]),
    "alpha": (RGBA[0], IMAGES[0]),
    "gray": (GRAY[0], GRAY[0][..., None].repeat(3, axis=-1)),
    "one gray channel": (GRAY[0][..., None], GRAY[0][..., None].repeat(3, axis=-1)),
    "one gray channel, first": (GRAY[0][None], GRAY[0][..., None].repeat(3, axis=-1)),
}


@pytest.mark.parametrize(("given", "meant"), ONES.values(), ids=ONES.keys())
def test_what_a_refused_image_says_to_pass_is_the_image(given: Any, meant: np.ndarray) -> None:
    np.testing.assert_array_equal(fixed(check_image, "image", given), meant)


def test_what_a_refused_tensor_says_to_pass_is_the_image() -> None:
    torch = pytest.importorskip("torch")
    first = torch.from_numpy(FIRST.copy())
    np.testing.assert_array_equal(fixed(check_image, "image", first[0]), IMAGES[0])
    for images in (first, (first / 255).requires_grad_(), list(first)):
        np.testing.assert_array_equal(fixed(check_images, "images", images), IMAGES)
    np.testing.assert_array_equal(fixed(check_images, "images", first[0]), IMAGES[:1])
    with pytest.raises(DataError, match="; failmodes.CorruptTransform takes tensors"):
        check_images(first, "cifar-c")
    with pytest.raises(DataError, match=r"not torch.Tensor bfloat16 \(5, 3, 12, 16\)"):
        check_images(first.bfloat16(), "cifar-c")


@settings(max_examples=200, deadline=None)
@given(
    shape=st.lists(st.integers(0, 12), max_size=5).map(tuple),
    dtype=st.sampled_from(["uint8", "bool", "int16", "float32", "float64", "<U3", "object", "complex64"]),
    scale=st.sampled_from([1, 255, 300, -1, float("nan")]),
)
def test_every_array_is_accepted_or_refused_in_one_line_whose_fix_works(shape: Any, dtype: str, scale: float) -> None:
    array = np.full(shape, scale, np.float64)
    with np.errstate(invalid="ignore"):
        array = array.astype(dtype)
    for check, argument, dimensions in ((check_images, "images", 4), (check_image, "image", 3)):
        refused = refusal(check, array)
        assert "\n" not in refused
        if ": pass " in refused:
            made = eval(fix_of(refused), {"np": np}, {argument: array})
            assert (made.dtype, made.ndim, made.shape[-1]) == (np.uint8, dimensions, 3)
        elif not refused:
            assert (array.dtype, array.ndim, array.shape[-1]) == (np.uint8, dimensions, 3)


def refusal(check: Any, images: Any) -> str:
    """Why images are refused; nothing where they are not."""
    try:
        check(images, "cifar-c")
    except DataError as error:
        return str(error)
    return ""


WITHOUT_FIX: dict[str, tuple[Any, str]] = {
    "normalized": ((IMAGES - 128.0) / 64, "not float64 .* from -2 to 1.98: corrupt images first, then normalize them"),
    "a path": ("photo.jpg", "values 0-255, not str"),
    "an empty list": ([], "not list"),
    "nothing": (None, "not NoneType"),
    "several sizes": ([IMAGES[0], IMAGES[0, :8]], "not list"),
    "five dimensions": (IMAGES[None], r"not uint8 \(1, 5, 12, 16, 3\)"),
    "no rows": (IMAGES[:, :0], r"not uint8 \(5, 0, 16, 3\)"),
    "too small": (IMAGES[:, :, :4], "4×12 pixels are too small .* at least 8 pixels"),
}


@pytest.mark.parametrize(("given", "message"), WITHOUT_FIX.values(), ids=WITHOUT_FIX.keys())
def test_what_has_no_fix_is_refused_with_the_reason(given: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        corrupt(given, "fog", 3)
    assert "\n" not in str(caught.value)
