"""Each corruption against an independent reference, on images made to meet its edge cases."""

import io
import math
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from skimage import color

from ingest.corruptions import CORRUPTIONS, STUDY_CORRUPTIONS, corrupt
from ingest.corruptions.blur import motion_blur, streak
from ingest.corruptions.draws import Stream, normals, plasma_field, shallow_angles
from ingest.corruptions.noise import gaussian_noise
from ingest.corruptions.recipes import CIFAR_C, SEVERITIES
from ingest.corruptions.weather import fog, plasma


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Noise, smooth colour, greys with ties between channels, black, white."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    y, x = np.mgrid[0:32, 0:32] * 8
    smooth = np.stack([y, x, (y + x) // 2], axis=-1)[None].astype(np.uint8)
    ties = rng.choice(np.array([0, 100, 255], np.uint8), (2, 32, 32, 3))
    flat = np.stack([np.zeros((32, 32, 3), np.uint8), np.full((32, 32, 3), 255, np.uint8)])
    return np.concatenate([noise, smooth, ties, flat])


def reference_brightness(image: np.ndarray, added: float) -> np.ndarray:
    hsv = color.rgb2hsv(image / 255.0)
    hsv[:, :, 2] = np.clip(hsv[:, :, 2] + added, 0, 1)
    return np.uint8(np.clip(color.hsv2rgb(hsv), 0, 1) * 255)


def reference_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(io.BytesIO(buffer.getvalue())))


@pytest.mark.parametrize(
    ("name", "reference"), [("brightness", reference_brightness), ("jpeg_compression", reference_jpeg)]
)
def test_deterministic_corruptions_equal_their_reference(
    images: np.ndarray, name: str, reference: Callable[[np.ndarray, float], np.ndarray]
) -> None:
    for severity in SEVERITIES:
        expected = np.stack([reference(image, CIFAR_C[name][severity - 1][0]) for image in images])
        np.testing.assert_array_equal(corrupt(images, name, severity), expected)


def test_contrast_shrinks_about_the_mean_of_each_channel(images: np.ndarray) -> None:
    for severity, (factor,) in zip(SEVERITIES, CIFAR_C["contrast"], strict=True):
        for image, found in zip(images, corrupt(images, "contrast", severity), strict=True):
            x = image / 255.0
            mean = x.mean(axis=(0, 1), keepdims=True)
            exact = np.clip((x - mean) * factor + mean, 0, 1) * 255
            assert (found <= exact + 1e-9).all(), "truncated, not rounded"
            assert (found > exact - 1 - 1e-9).all()


def test_gaussian_noise_adds_the_given_draws() -> None:
    images = np.array([[[[0, 128, 255]]]], np.uint8)
    drawn = np.array([[[[-1.0, 0.5, 1.0]]]])
    # 0 - 0.1 is clipped; 128/255 + 0.05 = 0.55196 → 140.75 is truncated; 1 + 0.1 is clipped
    np.testing.assert_array_equal(gaussian_noise(images, (0.1,), drawn), [[[[0, 140, 255]]]])


def reference_plasma(field: np.ndarray, decay: float) -> np.ndarray:
    """Diamond-square element by element, for one map."""
    side = len(field)
    heights = np.zeros((side, side))
    step, wibble = side, 100.0
    while step >= 2:
        half = step // 2
        grid = range(0, side, step)
        for y in grid:
            for x in grid:
                around = [heights[a % side, b % side] for a in (y, y + step) for b in (x, x + step)]
                heights[y + half, x + half] = sum(around) / 4 + wibble**2 * field[y + half, x + half]
        for y in grid:
            for x in grid:
                corner, right, below = heights[y, x], heights[y, (x + step) % side], heights[(y + step) % side, x]
                centre = heights[y + half, x + half]
                above, before = heights[y - half, x + half], heights[y + half, x - half]
                top = (centre + above + corner + right) / 4 + wibble**2 * field[y, x + half]
                left = (centre + before + corner + below) / 4 + wibble**2 * field[y + half, x]
                heights[y, x + half], heights[y + half, x] = top, left
        step, wibble = half, wibble / decay
    heights -= heights.min()
    return heights / heights.max()


@pytest.mark.parametrize("decay", [3.0, 1.75])
def test_plasma_is_diamond_square(decay: float) -> None:
    field = np.random.default_rng(1).uniform(-1, 1, (2, 16, 16))
    found = plasma(field, decay)
    np.testing.assert_allclose(found, [reference_plasma(one, decay) for one in field], atol=1e-12)


def test_fog_keeps_the_largest_value_and_black(images: np.ndarray) -> None:
    field = plasma_field(Stream(0, "fog", None), np.arange(len(images)), (32, 32))
    foggy = fog(images, (0.5, 3), field)
    assert (foggy.max(axis=(1, 2, 3)) <= images.max(axis=(1, 2, 3))).all()
    assert not foggy[-2].any(), "a black image's largest value is 0"
    x, brightest = images[0] / 255.0, images[0].max() / 255.0
    expected = (x + 0.5 * reference_plasma(field[0], 3)[..., None]) * brightest / (brightest + 0.5)
    np.testing.assert_array_equal(foggy[0], np.uint8(np.clip(expected, 0, 1) * 255))


def reference_motion_blur(image: np.ndarray, radius: float, sigma: float, angle_deg: float) -> np.ndarray:
    """One image, value by value, with the whole streak in float64."""
    width = 2 * math.ceil(radius) + 1
    weights = np.exp(-(np.arange(width) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    rows, columns = np.indices(image.shape[:2])
    blurred = np.zeros(image.shape)
    for tap, weight in enumerate(weights):
        down = math.ceil(tap * math.sin(math.radians(angle_deg)) - 0.5)
        across = math.ceil(tap * math.cos(math.radians(angle_deg)) - 0.5)
        blurred += weight * image[np.clip(rows + down, 0, 31), np.clip(columns + across, 0, 31)]
    return np.floor(np.rint(blurred * 257) / 257)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_motion_blur_follows_each_images_own_angle(images: np.ndarray, severity: int) -> None:
    parameters = CIFAR_C["motion_blur"][severity - 1]
    angles = np.array([-45.0, 44.9, 0.0, 13.0, -13.0, 30.0, 7.0, 8.0])
    found = motion_blur(images, parameters, angles).astype(int)
    expected = np.stack([reference_motion_blur(i, *parameters, a) for i, a in zip(images, angles, strict=True)])
    assert np.abs(found - expected).max() <= 1
    assert (found == expected).mean() > 0.999
    np.testing.assert_array_equal(found[-2:], images[-2:], "one colour stays what it is")


def test_streak_sums_to_one() -> None:
    for radius, sigma in CIFAR_C["motion_blur"]:
        assert streak(radius, sigma).sum() == pytest.approx(1, abs=1e-6)


def test_draws_have_the_published_distributions() -> None:
    ids = np.arange(400)
    stream = Stream(5, "any", None)
    assert stats.kstest(normals(stream, ids, (6, 6)).ravel(), "norm").pvalue > 0.001
    angles = shallow_angles(stream, ids, (6, 6))
    assert stats.kstest(angles, "uniform", args=(-45, 90)).pvalue > 0.001
    field = plasma_field(stream, ids[:20], (6, 6))
    assert field.shape == (20, 32, 32)
    assert stats.kstest(field.ravel(), "uniform", args=(-1, 2)).pvalue > 0.001
    assert plasma_field(stream, ids[:1], (33, 20)).shape == (1, 64, 64)


def test_catalogue_has_the_published_order() -> None:
    names = list(CORRUPTIONS)
    assert [c.order for c in CORRUPTIONS.values()] == list(range(1, 20))
    assert names[0] == "gaussian_noise"
    assert names[14] == "jpeg_compression"
    assert sum(c.headline for c in CORRUPTIONS.values()) == 15
    assert {c.group for c in CORRUPTIONS.values()} == {"noise", "blur", "weather", "digital"}
    assert set(STUDY_CORRUPTIONS) == set(CIFAR_C) < set(names)
