"""Images that cannot be corrupted as they are: one line each, with the reason or what to pass instead."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from failmodes.ingest.corruptions.apply import corrupt
from failmodes.runtime.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 12, 16, 3), dtype=np.uint8)

REFUSED: dict[str, tuple[Any, str]] = {
    "floats of 0-1": (IMAGES / 255, r"not float64 \(5, 12, 16, 3\): pass np\.rint\(images \* 255\)\.astype"),
    "floats of 0-255": (IMAGES.astype(np.float32), r": pass np\.rint\(images\)\.astype\(np\.uint8\)"),
    "normalized": ((IMAGES - 128.0) / 64, "from -2 to 1.98: corrupt images first, then normalize"),
    "channels first": (IMAGES.transpose(0, 3, 1, 2), r"shape \(N, height, width, 3\), .* not uint8 \(5, 3, 12, 16\)"),
    "gray": (IMAGES[..., 0], r"not uint8 \(5, 12, 16\)"),
    "one image": (IMAGES[0], r"not uint8 \(12, 16, 3\)"),
    "a PIL image": (Image.fromarray(IMAGES[0]), "not PIL.Image: pass np.asarray"),
    "a path": ("photo.jpg", "values 0-255, not str"),
    "a list": ([IMAGES[0], IMAGES[0, :8]], "not list"),
    "no rows": (IMAGES[:, :0], r"not uint8 \(5, 0, 16, 3\)"),
    "too small": (IMAGES[:, :, :4], "4×12 pixels are too small .* at least 8 pixels"),
}


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED)
def test_other_images_are_refused_in_one_line(given: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        corrupt(given, "fog", 3)
    assert "\n" not in str(caught.value)
