"""How far a corrupted image is from the clean one: root mean square difference and structural similarity."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

WINDOW = 7
DATA_RANGE = 255
K1, K2 = 0.01, 0.03
STRIP_ROWS = 32  # rows of windows at a time, so that scratch stays in the cache


def rmse(clean: NDArray[np.uint8], corrupted: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Root mean square difference, of values / 255.

    Args:
        clean: (N, H, W, 3) uint8.
        corrupted: (N, H, W, 3) uint8.

    Returns:
        (N,) float32, 0-1.
    """
    _check_shapes(clean, corrupted)
    squares = np.array([cv2.norm(a, b, cv2.NORM_L2SQR) for a, b in zip(clean, corrupted, strict=True)])  # whole numbers
    return (np.sqrt(squares / max(1, int(np.prod(clean.shape[1:])))) / DATA_RANGE).astype(np.float32)


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
    return np.array([_ssim_of(a, b) for a, b in zip(clean, corrupted, strict=True)], np.float32)


def _ssim_of(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Structural similarity of one image (H, W, 3) to another."""
    product = cv2.multiply(a, b, dtype=cv2.CV_32F)  # at most 255², and 49 times that below 2²⁴: exact in float32
    sums_a, sums_b = _window_sums(cv2.boxFilter, a), _window_sums(cv2.boxFilter, b)
    squares: NDArray[np.float32] = _window_sums(cv2.sqrBoxFilter, a) + _window_sums(cv2.sqrBoxFilter, b)
    products = _window_sums(cv2.boxFilter, product)
    strips = range(0, len(sums_a), STRIP_ROWS)
    total = sum(_ssim_sum(*(x[r : r + STRIP_ROWS] for x in (sums_a, sums_b, squares, products))) for r in strips)
    return total / sums_a.size


def _ssim_sum(
    sums_a: NDArray[np.float32],
    sums_b: NDArray[np.float32],
    squares: NDArray[np.float32],
    products: NDArray[np.float32],
) -> float:
    """The sum over windows, in double precision; written in place, since memory is what it costs."""
    n = WINDOW**2
    c1, c2 = (K1 * DATA_RANGE) ** 2 * n * n, (K2 * DATA_RANGE) ** 2 * n * (n - 1)
    a, b = sums_a.astype(np.float64), sums_b.astype(np.float64)
    top = a * b
    top += top  # 2 Σa Σb
    a *= a
    b *= b
    a += b  # (Σa)² + (Σb)²
    shared = np.multiply(products, 2 * n, dtype=np.float64)
    shared += c2
    shared -= top  # 2 n² covariance + c2
    top += c1
    top *= shared
    spread = np.multiply(squares, n, dtype=np.float64, out=b)
    spread += c2
    spread -= a  # n² (variance of a + variance of b) + c2
    a += c1
    a *= spread
    top /= a
    return float(top.sum())


def _window_sums(filtering: Callable[..., Any], values: Any) -> NDArray[np.float32]:
    """Sums over all whole 7×7 windows, (H-6, W-6, 3)."""
    inner = slice(WINDOW // 2, -(WINDOW // 2))
    sums: NDArray[np.float32] = filtering(values, ddepth=cv2.CV_32F, ksize=(WINDOW, WINDOW), normalize=False)
    return sums[inner, inner]


def _check_shapes(clean: NDArray[np.uint8], corrupted: NDArray[np.uint8]) -> None:
    if clean.shape != corrupted.shape or clean.ndim != 4:
        raise ValueError(f"expected two batches (N, H, W, 3) of one shape, not {clean.shape} and {corrupted.shape}")
