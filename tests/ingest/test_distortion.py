"""Distortion against scikit-image and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from failmodes.ingest import distortion
from failmodes.ingest.distortion import rmse, ssim


def pairs(seed: int, size: tuple[int, int], noise: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    clean = rng.integers(0, 256, (5, *size, 3), dtype=np.uint8)
    noisy = np.clip(clean + rng.normal(0, noise, clean.shape), 0, 255).astype(np.uint8)
    return clean, noisy


@settings(max_examples=15)
@given(seed=st.integers(0, 999), height=st.integers(7, 40), width=st.integers(7, 40), noise=st.floats(0, 200))
def test_ssim_is_scikit_images(seed: int, height: int, width: int, noise: float) -> None:
    clean, noisy = pairs(seed, (height, width), noise)
    expected = [structural_similarity(a, b, channel_axis=-1, data_range=255) for a, b in zip(clean, noisy, strict=True)]
    np.testing.assert_allclose(ssim(clean, noisy), expected, atol=2e-6)


def test_ssim_at_the_ends_of_the_range() -> None:
    black, white = np.zeros((1, 32, 32, 3), np.uint8), np.full((1, 32, 32, 3), 255, np.uint8)
    checks = ((np.indices((32, 32)).sum(0) % 2) * 255).astype(np.uint8)[None, :, :, None].repeat(3, 3)
    for a, b in ((black, white), (white, white), (checks, 255 - checks), (checks, white)):
        expected = structural_similarity(a[0], b[0], channel_axis=-1, data_range=255)
        assert ssim(a, b)[0] == pytest.approx(expected, abs=1e-6)
    assert ssim(white, white)[0] == 1
    assert ssim(checks, 255 - checks)[0] < -0.9


def test_rmse_by_hand() -> None:
    clean = np.zeros((2, 8, 8, 3), np.uint8)
    other = clean.copy()
    other[0] = 255
    other[1, 0, 0, 0] = 255  # one value of 192
    np.testing.assert_allclose(rmse(clean, other), [1, np.sqrt(1 / 192)], rtol=1e-6)
    assert rmse(clean, other).dtype == ssim(clean, other).dtype == np.float32


def test_ssim_of_one_image_is_that_of_it_among_others() -> None:
    clean, noisy = pairs(2, (32, 24), 30)
    together = ssim(clean, noisy)
    np.testing.assert_array_equal(
        together, np.concatenate([ssim(a[None], b[None]) for a, b in zip(clean, noisy, strict=True)])
    )
    assert ssim(clean[:0], noisy[:0]).shape == (0,)


@pytest.mark.parametrize("values", [1, 500, 3_000], ids=["a row", "some rows", "some images"])
def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch, values: int) -> None:
    clean, noisy = pairs(1, (16, 16), 30)
    whole = ssim(clean, noisy)
    monkeypatch.setattr(distortion, "BLOCK_VALUES", values)
    np.testing.assert_array_equal(ssim(clean, noisy), whole)


def test_ssim_is_the_value_that_the_formula_has_in_whole_numbers() -> None:
    """Within 1e-7: the sums are exact, and errors of the windows' single precision cancel in their mean."""
    clean, noisy = pairs(3, (12, 9), 40)
    n, c1, c2 = 49, (0.01 * 255) ** 2, (0.03 * 255) ** 2
    for a, b, found in zip(clean, noisy, ssim(clean, noisy), strict=True):
        of_windows = []
        for y, x, channel in np.ndindex(6, 3, 3):
            one, other = (v[y : y + 7, x : x + 7, channel].astype(int).ravel().tolist() for v in (a, b))
            mean_a, mean_b = sum(one) / n, sum(other) / n
            covariance = (sum(p * q for p, q in zip(one, other, strict=True)) - n * mean_a * mean_b) / (n - 1)
            variances = sum(
                (sum(p * p for p in v) - n * m * m) / (n - 1) for v, m in ((one, mean_a), (other, mean_b))
            )  # fmt: skip
            top = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
            of_windows.append(top / ((mean_a**2 + mean_b**2 + c1) * (variances + c2)))
        assert found == pytest.approx(np.mean(of_windows), abs=1e-7)


def test_shapes_are_checked() -> None:
    clean, noisy = pairs(0, (8, 8), 1)
    with pytest.raises(ValueError, match="one shape"):
        rmse(clean, noisy[:2])
    with pytest.raises(ValueError, match="at least 7"):
        ssim(clean[:, :6], noisy[:, :6])
