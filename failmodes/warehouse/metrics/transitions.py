"""Metrics of changes since clean: of predictions and correctness, of pixels, and of the severity of failure.

They compare with the clean images, or with the curve from clean on, image by image.
"""

import numpy as np
from numpy.typing import NDArray

from failmodes.warehouse.metrics.accuracy import interval_of_share
from failmodes.warehouse.metrics.cell_rows import CellRows, Undefined
from failmodes.warehouse.metrics.intervals import exact_interval
from failmodes.warehouse.metrics.metric import FEWEST_IMAGES, POSITIVE, define

Flags = NDArray[np.bool_]
Curve = tuple[CellRows, ...]
_LABELS = ("label", "predicted")


@define("share of changed predictions", "mean of [prediction ≠ that on the clean image]", columns=(*_LABELS, "output"),
        higher_is_better=False, interval=interval_of_share)  # fmt: skip
def changed_share(rows: CellRows, clean: CellRows) -> Flags:
    return np.not_equal(rows["output"], clean["output"])


@define("share that stays correct", "mean of [correct when clean and here]", columns=_LABELS,
        interval=interval_of_share)  # fmt: skip
def stayed_correct_share(rows: CellRows, clean: CellRows) -> Flags:
    return clean["correct"] & rows["correct"]


@define("share that becomes incorrect", "mean of [correct when clean, incorrect here]", columns=_LABELS,
        higher_is_better=False, interval=interval_of_share)  # fmt: skip
def became_incorrect_share(rows: CellRows, clean: CellRows) -> Flags:
    return clean["correct"] & ~rows["correct"]


@define("share that becomes correct", "mean of [incorrect when clean, correct here]", columns=_LABELS,
        interval=interval_of_share)  # fmt: skip
def became_correct_share(rows: CellRows, clean: CellRows) -> Flags:
    return ~clean["correct"] & rows["correct"]


@define("share that stays incorrect", "mean of [incorrect when clean and here]", columns=_LABELS,
        higher_is_better=False, interval=interval_of_share)  # fmt: skip
def stayed_incorrect_share(rows: CellRows, clean: CellRows) -> Flags:
    return ~(clean["correct"] | rows["correct"])


def onsets(curve: Curve) -> NDArray[np.intp]:
    """(N,) position on the curve of each image's first incorrect prediction; the curve's length if there is none."""
    found = np.full(len(curve[0]), len(curve))
    for place, rows in reversed(list(enumerate(curve))):
        found = np.where(rows["correct"], found, place)
    return found


def _onsets(curve: Curve) -> NDArray[np.intp]:
    return curve[-1].once(("onsets", len(curve)), lambda: onsets(curve))


@define("severity of the first incorrect prediction", "mean over images of the first severity with an incorrect "
        "prediction: 0 if incorrect when clean, this severity if none up to here", "Royston & Parmar 2013, restricted "
        "mean", columns=_LABELS, unit="severity", range=POSITIVE, image_range=(0.0, 5.0))  # fmt: skip
def onset_severity(curve: Curve) -> NDArray[np.float64]:
    severities = np.array([rows.severity for rows in curve])
    return severities[np.minimum(_onsets(curve), len(curve) - 1)]


def _interval_of_surviving(curve: Curve, value: float, level: float, comparisons: int) -> tuple[float, float]:
    is_correct = curve[0]["correct"]
    count, independent = int(np.count_nonzero(is_correct)), curve[-1].independent_share(is_correct)
    low, high = exact_interval(
        round(value * count) * independent, count * independent, comparisons=comparisons, level=level
    )
    return float(low), float(high)


@define("share that stays correct up to here", "of images correct when clean, those correct at every severity up to "
        "this one", "Kaplan & Meier 1958, without censoring", columns=_LABELS,
        interval=_interval_of_surviving)  # fmt: skip
def surviving_share(curve: Curve) -> NDArray[np.float64]:
    return np.where(curve[0]["correct"], _onsets(curve) == len(curve), np.nan)


def _margin_before(curve: Curve, fails: bool) -> NDArray[np.float32]:
    onset, here = _onsets(curve), len(curve) - 1
    if not here:
        return np.full(len(onset), np.nan, np.float32)
    chosen = onset == here if fails else onset > here
    return np.where(chosen, curve[-2]["margin"], np.float32(np.nan))


@define("margin one severity before failure", "mean margin at the severity before, of images incorrect here for the "
        "first time", columns=(*_LABELS, "margin"), higher_is_better=None, fewest=FEWEST_IMAGES)  # fmt: skip
def failing_mean_margin_before(curve: Curve) -> NDArray[np.float32]:
    return _margin_before(curve, fails=True)


@define("margin one severity before survival", "mean margin at the severity before, of images correct up to here",
        columns=(*_LABELS, "margin"), higher_is_better=None, fewest=FEWEST_IMAGES)  # fmt: skip
def surviving_mean_margin_before(curve: Curve) -> NDArray[np.float32]:
    return _margin_before(curve, fails=False)


@define("RMSE", "mean over images of the root mean square difference from the clean image, values / 255",
        columns=("rmse",), is_continuous=True, higher_is_better=None)  # fmt: skip
def mean_rmse(rows: CellRows) -> NDArray[np.float32]:
    return rows["rmse"]


@define("SSIM", "mean over images of the structural similarity to the clean image, 7x7 window", "Wang et al. 2004",
        columns=("ssim",), range=(-1.0, 1.0), is_continuous=True, higher_is_better=None)  # fmt: skip
def mean_ssim(rows: CellRows) -> NDArray[np.float32]:
    return rows["ssim"]


@define("change of RMSE", "mean over images of RMSE minus that at the severity before", columns=("rmse",),
        range=(-1.0, 1.0), is_continuous=True, higher_is_better=None)  # fmt: skip
def rmse_change(curve: Curve) -> NDArray[np.float32]:
    if len(curve) < 2:
        raise Undefined("there is no severity before")
    return curve[-1]["rmse"] - curve[-2]["rmse"]


@define("RMSE, 5% quantile", "5% quantile over images of the RMSE", columns=("rmse",), higher_is_better=None,
        quantile=0.05)  # fmt: skip
def rmse_q05(rows: CellRows) -> NDArray[np.float32]:
    return rows["rmse"]


@define("RMSE, 95% quantile", "95% quantile over images of the RMSE", columns=("rmse",), higher_is_better=None,
        quantile=0.95)  # fmt: skip
def rmse_q95(rows: CellRows) -> NDArray[np.float32]:
    return rows["rmse"]


@define("SSIM, 5% quantile", "5% quantile over images of the SSIM", columns=("ssim",), higher_is_better=None,
        range=(-1.0, 1.0), quantile=0.05)  # fmt: skip
def ssim_q05(rows: CellRows) -> NDArray[np.float32]:
    return rows["ssim"]


@define("SSIM, 95% quantile", "95% quantile over images of the SSIM", columns=("ssim",), higher_is_better=None,
        range=(-1.0, 1.0), quantile=0.95)  # fmt: skip
def ssim_q95(rows: CellRows) -> NDArray[np.float32]:
    return rows["ssim"]
