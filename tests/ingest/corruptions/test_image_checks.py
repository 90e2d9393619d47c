"""Images that cannot be corrupted as they are: one line each, with an expression that mends them."""

import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.corruptions.image_checks import check_images
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
    "booleans": (IMAGES > 99, (IMAGES > 99) * np.uint8(255)),
    "channels first": (FIRST, IMAGES),
    "alpha": (RGBA, IMAGES),
    "gray": (GRAY, GRAY[..., None].repeat(3, axis=-1)),
    "one gray channel": (GRAY[..., None], GRAY[..., None].repeat(3, axis=-1)),
    "one image": (IMAGES[0], IMAGES[:1]),
    "one gray image": (GRAY[0], GRAY[:1, ..., None].repeat(3, axis=-1)),
    "a PIL image": (PILLOW, IMAGES[:1]),
    "a list of PIL images": ([PILLOW, PILLOW], IMAGES[[0, 0]]),
}


@pytest.mark.parametrize(("given", "meant"), BATCHES.values(), ids=BATCHES.keys())
def test_what_a_refused_batch_says_to_pass_are_the_images(given: Any, meant: np.ndarray) -> None:
    np.testing.assert_array_equal(fixed(check_images, "images", given), meant)


WITHOUT_FIX: dict[str, tuple[Any, str]] = {
    "normalized": ((IMAGES - 128.0) / 64, "corrupt images first, then normalize"),
    "a path": ("photo.jpg", "values 0-255, not str"),
    "several sizes": ([IMAGES[0], IMAGES[0, :8]], "not list"),
    "no rows": (IMAGES[:, :0], r"not uint8 \(5, 0, 16, 3\)"),
    "too small": (IMAGES[:, :, :4], "4×12 pixels are too small .* at least 8 pixels"),
}


@pytest.mark.parametrize(("given", "message"), WITHOUT_FIX.values(), ids=WITHOUT_FIX.keys())
def test_what_has_no_fix_is_refused_with_the_reason(given: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        corrupt(given, "fog", 3)
    assert "\n" not in str(caught.value)
