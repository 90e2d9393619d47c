"""Frost, on synthetic photographs, against the weighed sum of an image and its crop; and what is said without any."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from corruption_references import SETTINGS, Floats, Pixels, Setting, both_at, samples_for
from PIL import Image

from failmodes.ingest.corruptions.catalog import SEVERITIES
from failmodes.ingest.corruptions.kernels.frost import (
    FOLDER_VARIABLE,
    FROST_FILES,
    custom_frost_hash,
    frost,
)


@pytest.fixture(scope="module")
def frosted_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five photographs of different sizes, PNG and JPEG."""
    folder = tmp_path_factory.mktemp("frost")
    rng = np.random.default_rng(8)
    for number, name in enumerate(FROST_FILES):
        height, width = 300 - 10 * number, 290 + 20 * number
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(folder / name)
    return folder


def reference_frost_from(folder: Path) -> Callable[..., Pixels]:
    photographs = [np.asarray(Image.open(folder / name)) for name in FROST_FILES]

    def reference(image: Pixels, weight: float, frost_weight: float, scale: float, *, crops: Floats) -> Pixels:
        which, down, across = (float(place) for place in crops)
        photograph = cv2.resize(photographs[int(5 * which)], (0, 0), fx=scale, fy=scale)
        top = int(down * (photograph.shape[0] - image.shape[0]))
        left = int(across * (photograph.shape[1] - image.shape[1]))
        crop = photograph[top : top + image.shape[0], left : left + image.shape[1]]
        return np.clip(weight * image + frost_weight * crop, 0, 255).astype(np.uint8)

    return reference


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_frost_equals_the_weighed_sum(
    frosted_folder: Path, monkeypatch: pytest.MonkeyPatch, setting: Setting, severity: int
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(frosted_folder))
    np.testing.assert_array_equal(*both_at("frost", setting, severity, reference_frost_from(frosted_folder)))


def test_frost_draws_all_five_photographs_and_crops_inside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each photograph is of one gray, with a lighter last row and column that no crop reaches, as published
    for number, name in enumerate(FROST_FILES):
        gray = np.full((40, 50, 3), 40 * number, np.uint8)
        gray[-1], gray[:, -1] = 255, 255
        cv2.imwrite(str(tmp_path / name), gray, [cv2.IMWRITE_JPEG_QUALITY, 100])
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    images = np.zeros((500, 32, 32, 3), np.uint8)
    frosty = frost(images, (1, 1, 1), **samples_for("frost", images)).astype(int)
    middles = np.rint(frosty[:, 16, 16, 0] / 40).astype(int)
    assert np.bincount(middles, minlength=5).min() > 60, "100 of each expected, with a deviation of 9"
    assert (np.abs(frosty - 40 * middles[:, None, None, None]) <= 20).all()


def test_other_photographs_than_the_published_are_distinguished(
    frosted_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in FROST_FILES:
        (tmp_path / name).write_bytes((frosted_folder / name).read_bytes())
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    before = custom_frost_hash()
    Image.new("RGB", (300, 300)).save(tmp_path / "frost1.png")
    assert before is not None
    assert custom_frost_hash() not in (None, before)
