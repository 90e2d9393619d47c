"""Contrast, elastic transform, pixelate, JPEG compression and saturate against references made one image at a time."""

import io

import cv2
import numpy as np
import pytest
from corruption_references import (
    FULL_SIZE,
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
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from failmodes.ingest.corruptions.catalog import SEVERITIES
from failmodes.ingest.corruptions.kernels.digital import contrast, elastic_transform, pixelate
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
    content = io.BytesIO()
    Image.fromarray(image).save(content, "JPEG", quality=int(quality))
    return np.asarray(Image.open(content))


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


@pytest.mark.parametrize("name", EQUAL)
def test_digital_at_full_size(name: str) -> None:
    np.testing.assert_array_equal(*both_at(name, FULL_SIZE, 5, EQUAL[name]))


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_contrast_equals_its_reference(setting: Setting, severity: int) -> None:
    found, expected = both_at("contrast", setting, severity, reference_contrast)
    # NumPy's mean of equal values is off in its last bit, which is why published images of one color may darken by 1
    of_one_color = (made_images(*setting.size) == made_images(*setting.size)[:, :1, :1]).all(axis=(1, 2, 3))
    np.testing.assert_array_equal(found[~of_one_color], expected[~of_one_color])
    assert np.abs(found[of_one_color].astype(int) - expected[of_one_color]).max() <= 1


@settings(max_examples=20, deadline=None)
@given(factor=st.floats(0, 1), height=st.integers(8, 20), width=st.integers(8, 20), seed=st.integers(0, 99))
def test_contrast_shrinks_about_the_mean_and_truncates(factor: float, height: int, width: int, seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (2, height, width, 3), np.uint8)
    mean = images.mean(axis=(1, 2), keepdims=True)
    exact = (images - mean) * factor + mean
    found = contrast(images, (factor,))
    assert (found <= exact + 1e-9).all()
    assert (found > exact - 1 - 1e-9).all()


@settings(max_examples=30, deadline=None)
@given(share=st.floats(0.02, 1), height=st.integers(8, 70), width=st.integers(8, 70), seed=st.integers(0, 99))
def test_pixelate_is_pillows_box_both_ways(share: float, height: int, width: int, seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (2, height, width, 3), np.uint8)
    np.testing.assert_array_equal(*both("pixelate", images, (share,), {}, reference_pixelate))


def test_pixelate_equals_pillow_at_every_pair_of_sides() -> None:
    rng = np.random.default_rng(0)
    for side in (8, 31, 32, 33, 64, 96):
        images = rng.integers(0, 256, (1, side, side, 3), np.uint8)
        for small in range(1, side + 1):
            share = (small + 0.5) / side if small < side else 1.0
            np.testing.assert_array_equal(pixelate(images, (share,))[0], reference_pixelate(images[0], share))


@pytest.mark.parametrize("size", [(32, 32), (37, 50), (8, 9), (65, 64)])
def test_jpeg_equals_pillow_at_every_quality(size: tuple[int, int]) -> None:
    images = np.random.default_rng(1).integers(0, 256, (2, *size, 3), np.uint8)
    smooth = made_images(*size)[2:4]
    for quality in range(1, 101):
        np.testing.assert_array_equal(
            *both("jpeg_compression", np.concatenate([images, smooth]), (quality,), {}, reference_jpeg)
        )


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_elastic_transform_is_close_to_its_reference(setting: Setting, severity: int) -> None:
    assert_close(*both_at("elastic_transform", setting, severity, reference_elastic))


# Smoothing that reaches past the far border, just to it, or hardly at all; corners that leave the image
@pytest.mark.parametrize("size", [(32, 32), (37, 50)])
@pytest.mark.parametrize(
    "parameters",
    [(0.3, 0.9, 0), (0.3, 0.34, 0), (0.3, 0.32, 0), (0.3, 0.3, 0), (0.2, 0.01, 0), (0, 0, 0.25), (0.4, 0.1, 0.2)],
)
def test_elastic_transform_off_the_published_path(size: tuple[int, int], parameters: tuple[float, ...]) -> None:
    images = made_images(*size)
    drawn = samples_for("elastic_transform", images, seed=3)
    assert_close(*both("elastic_transform", images, parameters, drawn, reference_elastic))


@pytest.mark.parametrize("amplitude", [0.3, 1.2, 5.0])
def test_elastic_transform_reflects_as_often_as_it_must(amplitude: float) -> None:
    images = made_images(37, 50)
    # Displacements that are the same everywhere survive smoothing: a shift by the whole amplitude
    fields = np.zeros((len(images), 2, 37, 50), np.float32)
    fields[::2] = 1
    fields[:3, 0] = 0.75
    drawn = {"corners": np.full((len(images), 3, 2), 0.5, np.float32), "fields": fields}
    found, expected = both("elastic_transform", images, (amplitude, 0.1, 0), drawn, reference_elastic)
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_elastic_transform_maps_the_corners_as_opencv_does() -> None:
    # On a smooth image, where OpenCV's steps of 1/32 of a pixel do not matter
    images = np.repeat(made_images(32, 32)[2:3], 20, axis=0)
    drawn = samples_for("elastic_transform", images)
    found = elastic_transform(images, (0, 0, 0.08), **drawn)
    for image, corners, result in zip(images, drawn["corners"], found, strict=True):
        matrix = affine_matrix((32, 32), (2 * corners - 1) * 0.08 * 32)
        warped = cv2.warpAffine(image.astype(np.float32) / 255, matrix, (32, 32), borderMode=cv2.BORDER_REFLECT_101)
        assert np.abs(result.astype(int) - stored(np.asarray(warped))).max() <= 1


def test_elastic_transform_moves_down_and_across_as_drawn() -> None:
    rows, columns = np.indices((32, 32), np.uint8)
    image = np.dstack([rows, columns, rows])[None]
    fields = np.full((1, 2, 32, 32), 0.5, np.float32)
    fields[0, 0], fields[0, 1] = 0.75, 1  # half the amplitude across, all of it down
    corners = np.full((1, 3, 2), 0.5, np.float32)
    moved = elastic_transform(image, (4 / 32, 0.05, 0), corners=corners, fields=fields)
    np.testing.assert_allclose(moved[0, 8, 8], [12, 10, 12], atol=1)


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("noise", ["shared", "independent"])
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
