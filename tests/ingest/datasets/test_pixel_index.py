"""Measured properties of images against OpenCV's functions and the published formulas, and their storage."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.pixel_index import MEASURED, measure_images, pixel_index
from failmodes.runtime.hashing import fingerprint_of

RNG = np.random.default_rng(0)
LABELS = np.arange(7)


def photographs(count: int, height: int, width: int) -> NDArray[np.uint8]:
    """Smooth images with noise, of different brightness and color."""
    cv2 = pytest.importorskip("cv2")
    coarse = RNG.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    smooth = np.stack([cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC) for image in coarse])
    return np.clip(smooth + RNG.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(32, 32), (224, 224), (20, 33)])
def test_measures_are_those_of_opencv_and_the_papers(size: tuple[int, int]) -> None:
    cv2 = pytest.importorskip("cv2")
    images = photographs(5, *size)
    found = dict(zip(MEASURED, measure_images(images), strict=True))
    for number, image in enumerate(images):
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        red, green, blue = image.astype(float).transpose(2, 0, 1)
        rg, yb = red - green, (red + green) / 2 - blue
        expected = {
            "image_luminance": gray.mean() / 255,
            "image_contrast": gray.std() / 255,
            "image_sharpness": cv2.Laplacian(gray, cv2.CV_64F).var(),
            "image_colorfulness": np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()),
        }
        for name, value in expected.items():
            assert found[name][number] == pytest.approx(value, rel=1e-2), name  # OpenCV rounds gray differently


def test_limits_of_each_measure() -> None:
    gray = np.full((12, 16, 3), 51, np.uint8)
    black_and_white = np.zeros((12, 16, 3), np.uint8)
    black_and_white[::2] = 255
    red = np.zeros((12, 16, 3), np.uint8)
    red[..., 0] = 255
    luminance, contrast, sharpness, colorfulness = measure_images(np.stack([gray, black_and_white, red]))
    assert luminance == pytest.approx([0.2, 0.5, 76 / 255])
    assert contrast.tolist() == [0, 0.5, 0]
    assert sharpness.tolist() == [0, 510**2, 0]
    assert colorfulness == pytest.approx([0, 0, 0.3 * np.hypot(255, 127.5)])


def test_blocks_and_identity_do_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    images = photographs(7, 24, 24)
    whole = pixel_index(images, LABELS)
    monkeypatch.setattr("failmodes.runtime.hashing.BLOCK_BYTES", 3 * images[0].nbytes)
    monkeypatch.setattr("failmodes.ingest.datasets.pixel_index.BLOCK_BYTES", 2 * images[0].nbytes)
    parts = pixel_index(images, LABELS)
    assert parts.dataset_id == whole.dataset_id == fingerprint_of([images, LABELS])
    assert parts.measured.equals(whole.measured)
    np.testing.assert_array_equal(np.stack(parts.measured.columns), measure_images(images))


class Counted:
    """Images that know a file for facts about them, and count how often they are read."""

    dtype = np.dtype(np.uint8)

    def __init__(self, pixels: NDArray[np.uint8], index_path: Path) -> None:
        self.pixels, self.shape, self.index_path, self.reads = pixels, pixels.shape, index_path, 0

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: slice) -> NDArray[np.uint8]:
        self.reads += 1
        return self.pixels[rows]


def test_pixels_are_read_once_also_by_later_commands(tmp_path: Path) -> None:
    def opened(labels: NDArray[np.int64]) -> tuple[Counted, Dataset]:
        images = Counted(pixels, tmp_path / "a.index")
        return images, Dataset("x", "X", "test", images, labels, tuple("abcdefg"))

    pixels = photographs(7, 24, 24)
    images, dataset = opened(LABELS)
    found = dataset.dataset_id, dataset.pixel_hashes.tolist(), dataset.measured
    assert images.reads == 1
    again, same = opened(LABELS)
    assert (same.dataset_id, same.pixel_hashes.tolist(), same.measured) == found
    assert again.reads == 0
    assert opened(LABELS[::-1].copy())[1].dataset_id != dataset.dataset_id, "labels are part of it"
    (path,) = [path for path in tmp_path.iterdir() if fingerprint_of([LABELS]) in path.name]
    path.write_bytes(path.read_bytes()[:-9])
    damaged, same = opened(LABELS)
    assert same.dataset_id == dataset.dataset_id
    assert damaged.reads == 1
