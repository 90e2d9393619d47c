"""Calibration of one cell by measures that need every image: ECE of equal mass, SmoothECE, and the noise floor of ECE.

They are of the largest softmax probability, over images whose confidence is known.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from failmodes.warehouse.measures.columns import BINS, Row, bins_of
from failmodes.warehouse.measures.ranking import Keys, certainty_of

POINTS = 256  # of [0, 1], on which SmoothECE smooths
WIDTHS = 2.0 ** (np.arange(-32, 1) / 4)  # 1/256 to 1 by quarters of a doubling
_NORMAL_95 = 1.6448536269514722
Floats = NDArray[np.float64]


def measure_calibration(confidence: Floats, correct: NDArray[np.bool_], keys: Keys) -> list[Row]:
    """The row of cell_calibration; none without images.

    Args:
        confidence: (N,), 0-1.
        correct: (N,) bool.
        keys: (N,) the images by confidence, from `ranked`.
    """
    if not len(confidence):
        return []
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):  # of rows that a check will find
        value, width = smooth_ece(confidence, correct)
        return [
            {
                "image_count": len(confidence),
                "equal_mass_ece": equal_mass_ece(keys),
                "smooth_ece": value,
                "smooth_width": width,
                "ece_noise_floor": ece_noise_floor(confidence),
            }
        ]


def equal_mass_ece(keys: Keys) -> float:
    """Expected calibration error in BINS bins of equally many images by rising confidence; ties share the lowest bin.

    In which order the images of a bin are added does not count: double precision holds the sum of 2^20 gaps without
    rounding, for confidences are of single precision, and where none is below 1/1024.

    Args:
        keys: (N,) the images by confidence, 0-1, from `ranked`, N ≥ 1.
    """
    ordered, count = certainty_of(keys)[::-1], len(keys)
    last = -(-np.arange(1, BINS) * count // BINS) - 1  # the image before each edge, and with it those that tie
    edges = np.searchsorted(ordered, ordered[last], side="right")
    starts, ends = np.append(0, edges), np.append(edges, count)
    filled = np.flatnonzero(starts < ends)
    gaps = ordered.astype(np.float64) - (keys[::-1] & np.uint64(1) == 0)
    sums = np.bincount(filled, np.add.reduceat(gaps, starts[filled]))
    return float(np.abs(sums).sum()) / count


def ece_of_bins(bins: NDArray[np.int64], confidence: Floats, correct: NDArray[np.bool_]) -> float:
    """Expected calibration error: the mean over images of the gap of their bin, without its sign.

    Args:
        bins: (N,) the bin of each image, from 0, N ≥ 1.
        confidence: (N,), 0-1.
        correct: (N,) bool.
    """
    return float(np.abs(np.bincount(bins, confidence - correct)).sum()) / len(confidence)


def ece_noise_floor(confidence: Floats) -> float:
    """95 % quantile of the ECE of equal width that a calibrated model of these confidences would show.

    That is the ECE of answers that are right with a probability of their confidence (consistency resampling, Bröcker
    and Smith 2007), here without drawing: the sum of a bin's gaps is nearly normal, so the ECE is a sum of absolute
    values of normal variables, whose quantile follows from its first three cumulants (Cornish and Fisher 1938).

    Args:
        confidence: (N,), 0-1, N ≥ 1.
    """
    variances = np.bincount(bins_of(confidence), np.maximum(confidence * (1 - confidence), 0), BINS)
    mean = float(np.sqrt(variances).sum()) * (2 / np.pi) ** 0.5
    spread = (float(variances.sum()) * (1 - 2 / np.pi)) ** 0.5
    if not spread:
        return 0.0
    third = float((variances**1.5).sum()) * (2 / np.pi) ** 0.5 * (4 / np.pi - 1)
    skewness = third / spread**3
    return float(mean + spread * (_NORMAL_95 + skewness * (_NORMAL_95**2 - 1) / 6)) / len(confidence)


def smooth_ece(confidence: Floats, correct: NDArray[np.bool_]) -> tuple[float, float]:
    """SmoothECE (Błasiok and Nakkiran 2023, arXiv 2309.12236), and the width of its kernel.

    It is the mean absolute gap after smoothing by a Gaussian, reflected at 0 and 1, whose width is the error itself:
    the width at which they are equal, between two of WIDTHS on a straight line. An error below the narrowest is taken
    at that one. Gaps are summed in POINTS equal bins.

    Args:
        confidence: (N,), 0-1, N ≥ 1.
        correct: (N,) bool.
    """
    gaps = np.bincount(bins_of(confidence, POINTS), correct - confidence, POINTS) / len(confidence)
    cosines, decays = _cosines()
    waves = np.einsum("kt,t->k", cosines, gaps)

    @cache
    def error(place: int) -> float:
        let_through = decays[place][decays[place] > 0]  # of a wide kernel a few
        few = len(let_through)
        return float(np.abs(np.einsum("kt,k->t", cosines[:few], waves[:few] * let_through)).mean())

    last = len(WIDTHS) - 1
    rough = float(np.abs(gaps.reshape(16, -1).sum(axis=1)).sum())  # from where it is not far
    wide = int(np.searchsorted(WIDTHS[:last], rough))
    while wide < last and error(wide) > WIDTHS[wide]:  # the error falls as the kernel widens, and is 1 at most
        wide += 1
    while wide and error(wide - 1) <= WIDTHS[wide - 1]:
        wide -= 1
    if not wide:
        return error(0), float(WIDTHS[0])
    narrow = wide - 1
    excess, lack = error(narrow) - WIDTHS[narrow], WIDTHS[wide] - error(wide)
    width = float(WIDTHS[narrow] + (WIDTHS[wide] - WIDTHS[narrow]) * excess / (excess + lack))
    return width, width


@cache
def _cosines() -> tuple[Floats, Floats]:
    """Cosines (K, POINTS) of the bins' centers, and (W, K) how much of each a kernel of each width lets through.

    A Gaussian that is reflected at both ends is a sum of cosines (the heat kernel of an interval without loss).
    """
    waves = np.arange(POINTS)
    cosines = np.cos(np.pi * waves[:, None] * (np.arange(POINTS) + 0.5) / POINTS)
    decays = np.exp(-((np.pi * waves * WIDTHS[:, None]) ** 2) / 2) * np.where(waves, 2, 1)
    return cosines, decays
