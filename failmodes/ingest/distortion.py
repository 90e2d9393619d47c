"""Distortion of corrupted images: root mean square difference and structural similarity."""

import numpy as np
from numpy.typing import NDArray

WINDOW = 7
DATA_RANGE = 255
K1, K2 = 0.01, 0.03
BLOCK_VALUES = 1 << 18  # values of images that are filtered together, to limit temporary arrays
CACHED_VALUES = 1 << 15  # values of which similarities are computed at once: they fit a core's cache


def rmse(clean: NDArray[np.uint8], corrupted: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Root mean square difference, of values / 255.

    Args:
        clean: (N, H, W, 3) uint8.
        corrupted: (N, H, W, 3) uint8.

    Returns:
        (N,) float32, 0-1.
    """
    import cv2

    _check_shapes(clean, corrupted)
    squares = np.array([cv2.norm(a, b, cv2.NORM_L2SQR) for a, b in zip(clean, corrupted, strict=True)])  # whole numbers
    return (np.sqrt(squares / max(1, int(np.prod(clean.shape[1:])))) / DATA_RANGE).astype(np.float32)


def ssim(clean: NDArray[np.uint8], corrupted: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Structural similarity, mean over channels and all whole 7×7 windows.

    Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE TIP 2004, with a
    uniform window and sample covariance: scikit-image's `structural_similarity(channel_axis=-1)` for uint8. All
    sums are of whole numbers below 2³¹, hence exact; each window's similarity is in single precision, their mean in
    double, within 1e-6 of scikit-image.

    Args:
        clean: (N, H, W, 3) uint8, H and W at least 7.
        corrupted: (N, H, W, 3) uint8.

    Returns:
        (N,) float32, -1 to 1.
    """
    _check_shapes(clean, corrupted)
    count, height, width, channels = clean.shape
    if min(height, width) < WINDOW:
        raise ValueError(f"structural similarity needs images of at least {WINDOW}×{WINDOW} pixels, not {clean.shape}")
    at_once = max(1, BLOCK_VALUES // (height * width * channels))
    blocks = (slice(start, start + at_once) for start in range(0, count, at_once))
    totals = [_ssim_totals(clean[block], corrupted[block]) for block in blocks]
    windows = (height - WINDOW + 1) * (width - WINDOW + 1) * channels
    return np.asarray(np.concatenate([np.empty(0), *totals]) / windows, np.float32)


def _ssim_totals(clean: NDArray[np.uint8], corrupted: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Sum of the similarities of all whole windows of each image, (N,) of (N, H, W, C).

    Images are filtered as one tall image: windows across an edge are computed and discarded.
    """
    import cv2

    count, height, width, channels = clean.shape
    reach = WINDOW // 2
    a, b = (np.ascontiguousarray(images).reshape(count * height, width, channels) for images in (clean, corrupted))
    difference = cv2.absdiff(a, b)
    products, squares = (np.multiply(x, y, dtype=np.uint16) for x, y in ((a, b), (difference, difference)))
    sums = [_window_sums(values) for values in (a, b, products, squares)]
    of_rows = np.empty(count * height)
    step = max(1, CACHED_VALUES // (width * channels))
    for start in range(0, count * height, step):
        rows = slice(start, start + step)
        similarity = _similarity(*(x[rows] for x in sums))
        of_rows[rows] = similarity[:, reach : width - reach].sum((1, 2), dtype=np.float64)
    return np.asarray(of_rows.reshape(count, height)[:, reach : height - reach].sum(1))


def _similarity(
    sums_a: NDArray[np.int32], sums_b: NDArray[np.int32], products: NDArray[np.int32], squares: NDArray[np.int32]
) -> NDArray[np.float32]:
    """Similarity of each window.

    Of windows of n values, with d = a - b, all of it times n²: 2 n² covariance = 2 n Σab - 2 Σa Σb, and the two
    variances are that and n Σd² - (Σa - Σb)². Differences are of whole numbers, so that nothing cancels; arrays are
    used again, which halves the time.

    Args:
        sums_a: Σa; all are (R, W, C).
        sums_b: Σb.
        products: Σab.
        squares: Σd².
    """
    n = WINDOW**2
    c1, c2 = (np.float32((k * DATA_RANGE) ** 2 * n * freedom) for k, freedom in ((K1, n), (K2, n - 1)))
    means = sums_a * sums_b
    means *= 2
    squared_difference = sums_a - sums_b
    squared_difference *= squared_difference
    covariances = products * (2 * n)
    covariances -= means
    variances = squares * n
    variances -= squared_difference
    variances += covariances
    similarity = means.astype(np.float32)
    similarity += c1
    divisor = squared_difference.astype(np.float32)
    divisor += similarity
    for factor, whole in ((similarity, covariances), (divisor, variances)):
        single = whole.astype(np.float32)
        single += c2
        factor *= single
    similarity /= divisor
    return similarity


def _window_sums(values: NDArray[np.unsignedinteger]) -> NDArray[np.int32]:
    """Sums over the 7×7 windows around each value of (H, W, C)."""
    import cv2

    return np.asarray(cv2.boxFilter(values, cv2.CV_32S, (WINDOW, WINDOW), normalize=False), np.int32)


def _check_shapes(clean: NDArray[np.uint8], corrupted: NDArray[np.uint8]) -> None:
    if clean.shape != corrupted.shape or clean.ndim != 4:
        raise ValueError(f"expected two batches (N, H, W, 3) of one shape, not {clean.shape} and {corrupted.shape}")
