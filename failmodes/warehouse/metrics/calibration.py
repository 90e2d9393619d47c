"""Metrics of probabilities: proper scores, calibration errors and overconfidence."""

from bisect import bisect_left
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from failmodes.warehouse.metrics.accuracy import drawn, of_images, totals
from failmodes.warehouse.metrics.cell_rows import BINS, CellRows, Undefined, bins_of
from failmodes.warehouse.metrics.intervals import Floats, exact_interval, normal_quantile
from failmodes.warehouse.metrics.metric import (
    CLOPPER_PEARSON,
    NORMAL,
    PLAUSIBLE,
    POSITIVE,
    Bootstrap,
    Formula,
    Interval,
    SamplingBias,
    Unstored,
    Value,
    Weights,
    define,
)

POINTS = 256  # of [0, 1], on which SmoothECE smooths
WIDTHS = 2.0 ** (np.arange(-32, 1) / 4)  # 1/256 to 1 by quarters of a doubling
NO_CONFIDENCE = "no image has a confidence"
NOISE_DRAWS = 2_000
P_VALUE_DRAWS = 20_000  # so that p values of one in a thousand are known to a fifth
LOSS_RANGE = (0.0, 10.0)  # nats, of pseudo-images: the loss of a confident failure
UNKNOWN_BIAS = "a sample's value is too large by an unknown amount: use ece"
ROUNDING = 1e-9  # with few uncertain images errors tie except for rounding
_CONFIDENCE = ("confidence", "label", "predicted")


def has_confidence(rows: CellRows) -> NDArray[np.bool_]:
    """(N,) which images have a confidence: those with finite logits."""
    return np.isfinite(rows["confidence"])


@define(
    "negative log-likelihood",
    source="Murphy 2012",
    columns=("confidence", "loss_nats"),
    unit="nats",
    range=POSITIVE,
    interval=Interval(image_range=LOSS_RANGE),
    higher_is_better=False,
)
def nll_nats(rows: CellRows) -> NDArray[np.float32]:
    """Mean of -ln p of the label.

    >>> nll_nats(CellRows.of({"confidence": [0.5, np.nan], "loss_nats": [0.25, np.nan]})).tolist()
    [0.25, nan]
    """
    return np.where(has_confidence(rows), rows["loss_nats"], np.float32(np.nan))


@define(
    "Brier score",
    source="Brier 1950",
    columns=("confidence", "sum_p2", "label_probability"),
    unit="score",
    range=(0.0, 2.0),
    higher_is_better=False,
)
def brier(rows: CellRows) -> Floats:
    """Mean over images of Σ over classes of (p - [class = label])².

    >>> brier(CellRows.of({"confidence": [0.75], "sum_p2": [0.625], "label_probability": [0.75]})).tolist()
    [0.125]
    """
    values = rows["sum_p2"].astype(np.float64) - 2 * rows["label_probability"].astype(np.float64) + 1
    return np.where(has_confidence(rows), values, np.nan)


def bias_of_ece(rows: CellRows) -> SamplingBias:
    """Bias of the calibration error: E|gap + error| - |gap| of bins, for the smallest plausible gaps."""
    from scipy.special import ndtr  # here: it takes 0.2 s, and most charts do not need it

    confidence, correct = _known(rows)
    bins, count = bins_of(confidence), len(confidence)
    of_images = correct - confidence
    gaps = np.abs(np.bincount(bins, of_images, BINS)) / count
    squares = np.bincount(bins, of_images**2, BINS), np.bincount(bins, confidence * (1 - confidence), BINS)
    errors = np.sqrt(np.maximum(*squares)) / count  # at least those of calibrated images, if all are correct
    errors = errors / np.sqrt(rows.independent_share(has_confidence(rows)))
    least = np.maximum(gaps - PLAUSIBLE * errors, 0)[errors > 0]
    errors = errors[errors > 0]
    place = least / errors
    folded = errors * np.sqrt(2 / np.pi) * np.exp(-(place**2) / 2) + least * (1 - 2 * ndtr(-place))
    return SamplingBias(high=float((folded - least).sum()))


@define(
    "calibration error (ECE)",
    source="Naeini et al. 2015; Guo et al. 2017",
    columns=_CONFIDENCE,
    higher_is_better=False,
    interval=Bootstrap(bias=bias_of_ece, taking_part=has_confidence),
)
def ece(rows: CellRows, weights: Weights) -> Floats:
    """Σ over 15 bins of equal width of (images / N) |mean confidence - accuracy|.

    >>> rows = CellRows.of({"confidence": [0.75, 0.75], "label": [0, 0], "predicted": [0, 1]})
    >>> ece(rows, weights=np.ones((1, 2))).tolist()  # |0.75 - 0.5|
    [0.25]
    """
    confidence, correct = _known(rows)
    kept = of_images(weights, has_confidence(rows))
    gaps = totals(kept, bins_of(confidence), correct - confidence, BINS)
    found: Floats = np.abs(gaps).sum(axis=1, dtype=np.float64) / drawn(kept)
    return found


def overconfidence_interval(
    mean_confidence: float,
    correct: float,
    count: float,
    spread: float = 0.0,
    *,
    comparisons: int = 1,
    level: float = 0.95,
) -> tuple[float, float]:
    """Mean confidence minus accuracy: the wider of two intervals on each side.

    One is mean confidence minus the exact interval of accuracy: predictions that are each correct with a probability of
    their own vary less, in number, than those of one probability (Hoeffding 1956), so that it is valid if confidence is
    that probability. The other is of the images' differences: far too narrow if few predictions are incorrect, and the
    wider one if confidence is unrelated to correctness and both vary.

    Args:
        mean_confidence: of the images, 0-1.
        correct: how many are correct.
        count: of all.
        spread: standard deviation of confidence minus correctness (0 or 1) over images.
        comparisons: Bonferroni's correction: how many intervals hold at once.
        level: with this chance.
    """
    low, high = exact_interval(correct, count, comparisons=comparisons, level=level)
    half, value = normal_quantile(level, comparisons) * spread / count**0.5, mean_confidence - correct / count
    return min(mean_confidence - float(high), value - half), max(mean_confidence - float(low), value + half)


def _interval_of_overconfidence(rows: CellRows, value: float, level: float, comparisons: int) -> tuple[float, float]:
    known = has_confidence(rows)
    count, correct, independent = int(known.sum()), int(rows["correct"][known].sum()), rows.independent_share(known)
    counts = correct * independent, count * independent
    spread = float((rows["confidence"][known].astype(np.float64) - rows["correct"][known]).std())
    return overconfidence_interval(value + correct / count, *counts, spread, comparisons=comparisons, level=level)


@define(
    "overconfidence",
    source="interval: Hoeffding 1956; Clopper & Pearson 1934; or normal",
    columns=_CONFIDENCE,
    range=(-1.0, 1.0),
    higher_is_better=None,
    interval=Formula(formula=_interval_of_overconfidence, named=f"{CLOPPER_PEARSON} or {NORMAL}, the wider"),
)
def overconfidence(rows: CellRows) -> Floats:
    """Mean confidence - accuracy.

    >>> overconfidence(CellRows.of({"confidence": [0.75, 0.75], "label": [0, 0], "predicted": [0, 1]})).tolist()
    [-0.25, 0.75]
    """
    return rows["confidence"].astype(np.float64) - rows["correct"]


@define(
    "calibration error in bins of equal mass",
    source="Nguyen & O'Connor 2015",
    columns=_CONFIDENCE,
    higher_is_better=False,
    refusal=UNKNOWN_BIAS,
    interval=Unstored(),
)
def equal_mass_ece(rows: CellRows) -> Value:
    """As ECE, in 15 bins of equally many images; ties share the lowest bin.

    >>> equal_mass_ece(CellRows.of({"confidence": [0.75, 0.75], "label": [0, 0], "predicted": [0, 1]})).value
    0.25
    """
    confidence, correct = _known(rows)
    count = len(confidence)
    order = np.argsort(confidence, kind="stable")
    ordered = confidence[order]
    last = -(-np.arange(1, BINS) * count // BINS) - 1  # the image before each edge, with its ties
    edges = np.concatenate([[0], np.searchsorted(ordered, ordered[last], side="right"), [count]])
    sums = np.append(0.0, np.cumsum(ordered - correct[order]))
    return Value(float(np.abs(np.diff(sums[edges])).sum()) / count, count)


@define(
    "95% quantile of the ECE of a calibrated model",
    source="Bröcker & Smith 2007",
    columns=_CONFIDENCE,
    higher_is_better=None,
    refusal="it falls with the number of images",
    interval=Unstored(),
)
def ece_noise_floor(rows: CellRows) -> Value:
    """Of ECE where predictions are correct with the mean confidence of their bin.

    Drawn (NOISE_DRAWS times, seed 0): a quantile from moments falls short where most confidences are nearly 1.

    >>> ece_noise_floor(CellRows.of({"confidence": [0.5] * 4, "label": [0] * 4, "predicted": [0] * 4})).value
    0.5
    """
    confidence, _ = _known(rows)
    independent = rows.independent_share(has_confidence(rows))
    bins = bins_of(confidence)
    counts, expected = np.bincount(bins, minlength=BINS), np.bincount(bins, confidence, BINS)
    filled = counts > 0
    sums = np.asarray(expected[filled], np.float64)
    return Value(error_of_chance(counts[filled], sums, independent=independent), len(confidence))


def error_of_chance(
    counts: NDArray[np.integer[Any]], confidence_sums: Floats, level: float = 0.95, *, independent: float = 1.0
) -> float:
    """The `level` quantile of the ECE of a calibrated model (consistency resampling).

    Args:
        counts: (K,) images of each bin.
        confidence_sums: (K,) sums of their confidence.
        level: of the quantile.
        independent: share of the images that are independent, 0-1 (see `duplicates`); copies are correct together.
    """
    errors = _errors_of_chance(counts, confidence_sums, NOISE_DRAWS, independent)
    return float(np.quantile(errors, level, method="higher"))


def p_of_error(
    error: float, counts: NDArray[np.integer[Any]], confidence_sums: Floats, independent: float = 1.0
) -> float:
    """The p value of consistency resampling: how often a calibrated model has an ECE of at least `error`.

    Args:
        error: ECE, 0-1.
        counts: (K,) images of each bin that has some.
        confidence_sums: (K,) sums of their confidence.
        independent: share of the images that are independent, 0-1 (see `duplicates`); copies are correct together.
    """
    errors = _errors_of_chance(counts, confidence_sums, P_VALUE_DRAWS, independent)
    return float(1 + (errors >= error - ROUNDING).sum()) / (1 + P_VALUE_DRAWS)


def _errors_of_chance(
    counts: NDArray[np.integer[Any]], confidence_sums: Floats, draws: int, independent: float
) -> Floats:
    """(D,) ECE of calibrated models with these confidences."""
    chances = np.clip(confidence_sums / counts, 0, 1)
    drawn_counts = np.maximum(1, np.round(counts * independent)).astype(np.int64)
    drawn_correct = np.random.default_rng(0).binomial(drawn_counts, chances, (draws, len(counts)))
    correct = drawn_correct * (counts / drawn_counts)
    found: Floats = np.abs(correct - confidence_sums).sum(axis=1) / counts.sum()
    return found


@define(
    "SmoothECE",
    source="Błasiok & Nakkiran 2024",
    columns=_CONFIDENCE,
    higher_is_better=False,
    refusal=UNKNOWN_BIAS,
    interval=Unstored(),
)
def smooth_ece(rows: CellRows) -> Value:
    """Mean absolute gap of confidence and accuracy, smoothed by a reflected Gaussian as wide as itself.

    >>> rows = CellRows.of({"confidence": [0.75, 0.75], "label": [0, 0], "predicted": [0, 1]})
    >>> round(smooth_ece(rows).value, 3)
    0.25
    """
    confidence, correct = _known(rows)
    return Value(smoothed_error(confidence, correct), len(confidence))


def smoothed_error(confidence: Floats, correct: NDArray[np.bool_]) -> float:
    """SmoothECE of (N,) confidences, 0-1, and of whether each prediction is correct.

    The width at which error and width are equal lies between two of WIDTHS, taken on a straight line; an error below
    the narrowest is taken at that one. Gaps are summed in POINTS equal bins.
    """
    gaps = np.bincount(bins_of(confidence, POINTS), correct - confidence, POINTS) / len(confidence)
    cosines, decays = _cosines()
    waves = np.einsum("kt,t->k", cosines, gaps)

    def error(place: int) -> float:
        let_through = decays[place][decays[place] > 0]  # few for a wide kernel
        few = len(let_through)
        return float(np.abs(np.einsum("kt,k->t", cosines[:few], waves[:few] * let_through)).mean())

    # The error falls as the kernel widens, and is at most 1
    wide = bisect_left(range(len(WIDTHS) - 1), True, key=lambda place: error(place) <= WIDTHS[place])
    if not wide:
        return error(0)
    low, high = WIDTHS[wide - 1], WIDTHS[wide]
    excess, lack = error(wide - 1) - low, high - error(wide)
    return float(low + (high - low) * excess / (excess + lack))


def binned_error(confidence: Floats, correct: NDArray[np.bool_]) -> float:
    """ECE in bins of equal width of (N,) confidences, 0-1, N ≥ 1, and of whether each prediction is correct."""
    return float(np.abs(np.bincount(bins_of(confidence), confidence - correct)).sum()) / len(confidence)


def _known(rows: CellRows) -> tuple[Floats, NDArray[np.bool_]]:
    """Confidence and correctness of the images with finite logits."""
    known = has_confidence(rows)
    if not known.any():
        raise Undefined(NO_CONFIDENCE)
    return rows["confidence"][known].astype(np.float64), rows["correct"][known]


@cache
def _cosines() -> tuple[Floats, Floats]:
    """Cosines (K, POINTS) of the bins' centers, and (W, K) how much of each a kernel of each width lets through.

    A Gaussian that is reflected at both ends is a sum of cosines (the heat kernel of an interval without loss).
    """
    waves = np.arange(POINTS)
    cosines = np.cos(np.pi * waves[:, None] * (np.arange(POINTS) + 0.5) / POINTS)
    decays = np.exp(-((np.pi * waves * WIDTHS[:, None]) ** 2) / 2) * np.where(waves, 2, 1)
    return cosines, decays
