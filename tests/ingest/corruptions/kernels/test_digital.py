"""Contrast, elastic transform, pixelate, JPEG compression and saturate against references made one image at a time."""

import io

import cv2
import numpy as np
import pytest
from corruption_references import (
    SETTINGS,
    Floats,
    Pixels,
    Reference,
    Setting,
    assert_close,
    both,
    both_at,
    made_images,
    reference_saturate,
    samples_for,
    stored,
)
from encoded_files import encoded
from PIL import Image
from scipy import ndimage

from failmodes.ingest.corruptions.catalog import SEVERITIES
from failmodes.ingest.corruptions.kernels.digital import pixelate
from failmodes.ingest.corruptions.sampling import NoiseMode
from failmodes.ingest.sources import GeneratedSource


def reference_contrast(image: Pixels, factor: float) -> Pixels:
    x = image / 255
    means = x.mean(axis=(0, 1), keepdims=True)
    return stored((x - means) * factor + means)


def reference_pixelate(image: Pixels, share: float) -> Pixels:
    height, width = image.shape[:2]
    small = max(1, int(width * share)), max(1, int(height * share))
    shrunk = Image.fromarray(image).resize(small, Image.Resampling.BOX)
    return np.asarray(shrunk.resize((width, height), Image.Resampling.BOX))


def reference_jpeg(image: Pixels, quality: float) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(encoded(image, "JPEG", quality=int(quality)))))


def affine_matrix(size: tuple[int, int], moved: Floats) -> Floats:
    """OpenCV's (2, 3) matrix that moves three corners of the central square by `moved` (3, 2) pixels."""
    center, reach = np.array(size, np.float32) // 2, min(size) // 3
    corners = center + np.array([(reach, reach), (reach, -reach), (-reach, -reach)], np.float32)
    return np.asarray(cv2.getAffineTransform(corners, corners + moved.astype(np.float32)))


def sampled(image: Floats, rows: Floats, columns: Floats, border: str) -> Floats:
    channels = np.moveaxis(image, -1, 0)
    return np.dstack([ndimage.map_coordinates(channel, [rows, columns], order=1, mode=border) for channel in channels])


def reference_elastic(image: Pixels, *relative: float, corners: Floats, fields: Floats) -> Pixels:
    """SciPy's `mirror` is OpenCV's reflection about the border pixel; its `reflect` repeats that pixel."""
    size = image.shape[:2]
    amplitude, sigma, jitter = (value * min(size) for value in relative)
    forth = np.vstack([affine_matrix(size, (2 * corners - 1) * jitter), [0, 0, 1]])
    rows, columns = np.indices(size)
    x, y, _ = np.einsum("ij,jhw->ihw", np.linalg.inv(forth), np.stack([columns, rows, np.ones(size)]))
    moved = sampled(image.astype(np.float32) / 255, y, x, "mirror")  # published in float32
    across, down = (
        amplitude * ndimage.gaussian_filter(2 * field.astype(float) - 1, sigma, mode="reflect", truncate=3)
        for field in fields
    )
    return stored(sampled(moved, rows + down, columns + across, "reflect"))


EQUAL: dict[str, Reference] = {
    "saturate": reference_saturate,
    "pixelate": reference_pixelate,
    "jpeg_compression": reference_jpeg,
}


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
@pytest.mark.parametrize("name", EQUAL)
def test_digital_equals_its_reference(name: str, setting: Setting, severity: int) -> None:
    np.testing.assert_array_equal(*both_at(name, setting, severity, EQUAL[name]))


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_contrast_equals_its_reference(setting: Setting, severity: int) -> None:
    found, expected = both_at("contrast", setting, severity, reference_contrast)
    # NumPy's mean of equal values is off in its last bit, which is why published images of one color may darken by 1
    of_one_color = (made_images(*setting.size) == made_images(*setting.size)[:, :1, :1]).all(axis=(1, 2, 3))
    np.testing.assert_array_equal(found[~of_one_color], expected[~of_one_color])
    assert np.abs(found[of_one_color].astype(int) - expected[of_one_color]).max() <= 1


def test_pixelate_equals_pillow_at_every_pair_of_sides() -> None:
    rng = np.random.default_rng(0)
    for side in (8, 32, 33):
        images = rng.integers(0, 256, (1, side, side, 3), np.uint8)
        for small in range(1, side + 1):
            share = (small + 0.5) / side if small < side else 1.0
            np.testing.assert_array_equal(pixelate(images, (share,))[0], reference_pixelate(images[0], share))


@pytest.mark.parametrize("size", [(32, 32), (37, 50)])
def test_jpeg_equals_pillow_at_any_quality(size: tuple[int, int]) -> None:
    images = np.random.default_rng(1).integers(0, 256, (2, *size, 3), np.uint8)
    smooth = made_images(*size)[2:4]
    for quality in range(1, 101, 3):
        np.testing.assert_array_equal(
            *both("jpeg_compression", np.concatenate([images, smooth]), (quality,), {}, reference_jpeg)
        )


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_elastic_transform_is_close_to_its_reference(setting: Setting, severity: int) -> None:
    assert_close(*both_at("elastic_transform", setting, severity, reference_elastic))


# Smoothing that reaches past the far border, just to it, or hardly at all; corners that leave the image
@pytest.mark.parametrize("parameters", [(0.3, 0.9, 0), (0.3, 0.32, 0), (0.2, 0.01, 0), (0, 0, 0.25), (0.4, 0.1, 0.2)])
def test_elastic_transform_off_the_published_path(parameters: tuple[float, ...]) -> None:
    images = made_images(37, 50)
    drawn = samples_for("elastic_transform", images, seed=3)
    assert_close(*both("elastic_transform", images, parameters, drawn, reference_elastic))


@pytest.mark.parametrize(("severity", "noise"), [(1, "shared"), (5, "independent")])
def test_masks_move_as_elastic_transform_moves_their_images(severity: int, noise: NoiseMode) -> None:
    """An image that shows its own object: after the corruption it is bright where the moved mask says."""
    masks = np.zeros((6, 32, 32), np.bool_)
    masks[:, 8:22, 5:17] = True
    images = np.repeat(np.where(masks, 255, 0).astype(np.uint8)[..., None], 3, axis=3)
    source, ids = GeneratedSource(seed=7, noise=noise), np.array([3, 9, 4, 0, 77, 1])
    moved = source.moved_masks(masks, "elastic_transform", severity, ids, threads=2)
    bright = source.corrupted(images, "elastic_transform", severity, ids)[..., 0] > 127
    assert (moved == bright).mean() > 0.999
    assert (moved != masks).mean() > 0.01
    np.testing.assert_array_equal(source.moved_masks(masks[4:5], "elastic_transform", severity, ids[4:5]), moved[4:5])
    assert source.moved_masks(masks, "zoom_blur", severity, ids) is masks
