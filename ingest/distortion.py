"""How far an image is from its clean twin: root mean square difference and structural similarity."""

import numpy as np
from numpy.typing import NDArray

WINDOW = 7
DATA_RANGE = 255
K1, K2 = 0.01, 0.03
BLOCK_VALUES = 1 << 20  # values at a time, so that scratch stays in tens of megabytes


def rmse(clean: NDArray[np.uint8], corrupted: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Root mean square difference, of values / 255.

    Args:
        clean: (N, H, W, 3) uint8.
        corrupted: (N, H, W, 3) uint8.

    Returns:
        (N,) float32, 0-1.
    """
    _check_shapes(clean, corrupted)
    result = np.empty(len(clean), np.float32)
    for rows in _blocks(clean.shape):
        difference = (clean[rows].astype(np.int32) - corrupted[rows]).reshape(len(clean[rows]), -1)
        mean_square = (difference * difference).mean(axis=1, dtype=np.float64)
        result[rows] = np.sqrt(mean_square) / DATA_RANGE
    return result


def ssim(clean: NDArray[np.uint8], corrupted: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Structural similarity, mean over channels and all whole 7×7 windows.

    Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE TIP 2004, with a
    uniform window and sample covariance: scikit-image's `structural_similarity(channel_axis=-1)` for uint8. Window
    sums are whole numbers below 2³¹, hence exact.

    Args:
        clean: (N, H, W, 3) uint8, H and W at least 7.
        corrupted: (N, H, W, 3) uint8.

    Returns:
        (N,) float32, -1 to 1.
    """
    _check_shapes(clean, corrupted)
    if min(clean.shape[1:3]) < WINDOW:
        raise ValueError(f"structural similarity needs images of at least {WINDOW}×{WINDOW} pixels, not {clean.shape}")
    result = np.empty(len(clean), np.float32)
    for rows in _blocks(clean.shape):
        result[rows] = _ssim_block(clean[rows].astype(np.int32), corrupted[rows].astype(np.int32))
    return result


def _ssim_block(a: NDArray[np.int32], b: NDArray[np.int32]) -> NDArray[np.float64]:
    n = WINDOW**2
    sum_a, sum_b = _window_sums(a), _window_sums(b)
    product = sum_a * sum_b
    squares = sum_a * sum_a + sum_b * sum_b  # at most 2 · 12,495² < 2³¹
    spread = n * _window_sums(a * a + b * b) - squares  # n² (variance of a + variance of b), exact
    shared = n * _window_sums(a * b) - product
    c1, c2 = (K1 * DATA_RANGE) ** 2 * n * n, (K2 * DATA_RANGE) ** 2 * n * (n - 1)
    top = (2.0 * product + c1) * (2.0 * shared + c2)
    bottom = (squares + c1) * (spread + c2)
    return (top / bottom).mean(axis=(1, 2, 3))


def _window_sums(values: NDArray[np.int32]) -> NDArray[np.int32]:
    """Sums over all whole 7×7 windows, (N, H-6, W-6, 3)."""
    for axis in (1, 2):
        values = np.moveaxis(values, axis, 0)
        pairs = values[:-1] + values[1:]
        fours = pairs[:-2] + pairs[2:]
        values = np.moveaxis(fours[:-3] + pairs[4:-1] + values[6:], 0, axis)
    return values


def _blocks(shape: tuple[int, ...]) -> list[slice]:
    step = max(1, BLOCK_VALUES // int(np.prod(shape[1:])))
    return [slice(start, start + step) for start in range(0, shape[0], step)]


def _check_shapes(clean: NDArray[np.uint8], corrupted: NDArray[np.uint8]) -> None:
    if clean.shape != corrupted.shape or clean.ndim != 4:
        raise ValueError(f"expected two batches (N, H, W, 3) of one shape, not {clean.shape} and {corrupted.shape}")
