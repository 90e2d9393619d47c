"""Metrics of changes since clean: of predictions and correctness, of pixels, and of the severity of failure.

They compare with the clean images, or with the curve from clean on, image by image.
"""

import numpy as np
from numpy.typing import NDArray

from failmodes.warehouse.metrics.cell_rows import CellRows, Undefined
from failmodes.warehouse.metrics.metric import (
    CONTINUOUS,
    FEWEST_IMAGES,
    POSITIVE,
    ExactShare,
    Interval,
    OrderStatistic,
    define,
)

Flags = NDArray[np.bool_]
Curve = tuple[CellRows, ...]
_LABELS = ("label", "predicted")


@define("share of changed predictions", columns=(*_LABELS, "output"), higher_is_better=False, interval=ExactShare())
def changed_share(rows: CellRows, clean: CellRows) -> Flags:
    """Mean of [prediction ≠ that on the clean image].

    >>> clean, rows = (CellRows.of({"label": [0, 0], "predicted": classes}) for classes in ([0, 1], [0, 2]))
    >>> changed_share(rows, clean).tolist()
    [False, True]
    """
    return np.not_equal(rows["output"], clean["output"])


@define("share that stays correct", columns=_LABELS, interval=ExactShare())
def stayed_correct_share(rows: CellRows, clean: CellRows) -> Flags:
    """Mean of [correct when clean and here].

    >>> clean, rows = (CellRows.of({"correct": flags}) for flags in ([1, 1, 0, 0], [1, 0, 1, 0]))
    >>> stayed_correct_share(rows, clean).tolist()
    [True, False, False, False]
    """
    return clean["correct"] & rows["correct"]


@define("share that becomes incorrect", columns=_LABELS, higher_is_better=False, interval=ExactShare())
def became_incorrect_share(rows: CellRows, clean: CellRows) -> Flags:
    """Mean of [correct when clean, incorrect here].

    >>> clean, rows = (CellRows.of({"correct": flags}) for flags in ([1, 1, 0, 0], [1, 0, 1, 0]))
    >>> became_incorrect_share(rows, clean).tolist()
    [False, True, False, False]
    """
    return clean["correct"] & ~rows["correct"]


@define("share that becomes correct", columns=_LABELS, interval=ExactShare())
def became_correct_share(rows: CellRows, clean: CellRows) -> Flags:
    """Mean of [incorrect when clean, correct here].

    >>> clean, rows = (CellRows.of({"correct": flags}) for flags in ([1, 1, 0, 0], [1, 0, 1, 0]))
    >>> became_correct_share(rows, clean).tolist()
    [False, False, True, False]
    """
    return ~clean["correct"] & rows["correct"]


@define("share that stays incorrect", columns=_LABELS, higher_is_better=False, interval=ExactShare())
def stayed_incorrect_share(rows: CellRows, clean: CellRows) -> Flags:
    """Mean of [incorrect when clean and here].

    >>> clean, rows = (CellRows.of({"correct": flags}) for flags in ([1, 1, 0, 0], [1, 0, 1, 0]))
    >>> stayed_incorrect_share(rows, clean).tolist()
    [False, False, False, True]
    """
    return ~(clean["correct"] | rows["correct"])


def onsets(correct: Flags) -> NDArray[np.intp]:
    """(N,) position on the curve of each image's first incorrect prediction; the curve's length if there is none.

    Args:
        correct: (S, N), clean first, in ascending order of severity.
    """
    return np.where(correct.all(axis=0), len(correct), (~correct).argmax(axis=0))


def _onsets(curve: Curve) -> NDArray[np.intp]:
    return curve[-1].once(("onsets", len(curve)), lambda: onsets(np.stack([rows["correct"] for rows in curve])))


@define(
    "severity of the first incorrect prediction",
    source="Royston & Parmar 2013, restricted mean",
    columns=_LABELS,
    unit="severity",
    range=POSITIVE,
    interval=Interval(image_range=(0.0, 5.0)),
)
def onset_severity(curve: Curve) -> NDArray[np.float64]:
    """Mean over images of the severity of the first incorrect prediction, 0 when clean; this severity if there is none.

    >>> curve = tuple(CellRows.of({"correct": flags}, s) for s, flags in enumerate(([0, 1, 1], [1, 0, 1])))
    >>> onset_severity(curve).tolist()
    [0, 1, 1]
    """
    severities = np.array([rows.severity for rows in curve])
    return severities[np.minimum(_onsets(curve), len(curve) - 1)]


@define(
    "share that stays correct up to here",
    source="Kaplan & Meier 1958, without censoring",
    columns=_LABELS,
    interval=ExactShare(of_all=False),
)
def surviving_share(curve: Curve) -> NDArray[np.float64]:
    """Of images correct when clean, those correct at every severity up to this one.

    >>> curve = tuple(CellRows.of({"correct": flags}, s) for s, flags in enumerate(([0, 1, 1], [1, 0, 1])))
    >>> surviving_share(curve).tolist()
    [nan, 0.0, 1.0]
    """
    return np.where(curve[0]["correct"], _onsets(curve) == len(curve), np.nan)


def _margin_before(curve: Curve, fails: bool) -> NDArray[np.float32]:
    onset, here = _onsets(curve), len(curve) - 1
    if not here:
        return np.full(len(onset), np.nan, np.float32)
    chosen = onset == here if fails else onset > here
    return np.where(chosen, curve[-2]["margin"], np.float32(np.nan))


@define(
    "margin one severity before failure",
    columns=(*_LABELS, "margin"),
    higher_is_better=None,
    interval=Interval(minimum=FEWEST_IMAGES),
)
def failing_mean_margin_before(curve: Curve) -> NDArray[np.float32]:
    """Mean margin at the severity before, of images incorrect here for the first time.

    >>> clean = CellRows.of({"correct": [1, 1], "margin": [0.25, 0.75]}, severity=0)
    >>> failing_mean_margin_before((clean, CellRows.of({"correct": [0, 1]}))).tolist()
    [0.25, nan]
    """
    return _margin_before(curve, fails=True)


@define(
    "margin one severity before survival",
    columns=(*_LABELS, "margin"),
    higher_is_better=None,
    interval=Interval(minimum=FEWEST_IMAGES),
)
def surviving_mean_margin_before(curve: Curve) -> NDArray[np.float32]:
    """Mean margin at the severity before, of images correct up to here.

    >>> clean = CellRows.of({"correct": [1, 1], "margin": [0.25, 0.75]}, severity=0)
    >>> surviving_mean_margin_before((clean, CellRows.of({"correct": [0, 1]}))).tolist()
    [nan, 0.75]
    """
    return _margin_before(curve, fails=False)


@define("RMSE", columns=("rmse",), interval=CONTINUOUS, higher_is_better=None)
def mean_rmse(rows: CellRows) -> NDArray[np.float32]:
    """Mean over images of the root mean square difference from the clean image, values / 255.

    >>> mean_rmse(CellRows.of({"rmse": [0.125, 0.25]})).tolist()
    [0.125, 0.25]
    """
    return rows["rmse"]


@define(
    "SSIM", source="Wang et al. 2004", columns=("ssim",), range=(-1.0, 1.0), interval=CONTINUOUS, higher_is_better=None
)
def mean_ssim(rows: CellRows) -> NDArray[np.float32]:
    """Mean over images of the structural similarity to the clean image, 7x7 window.

    >>> mean_ssim(CellRows.of({"ssim": [0.5, 0.75]})).tolist()
    [0.5, 0.75]
    """
    return rows["ssim"]


@define("change of RMSE", columns=("rmse",), range=(-1.0, 1.0), interval=CONTINUOUS, higher_is_better=None)
def rmse_change(curve: Curve) -> NDArray[np.float32]:
    """Mean over images of RMSE minus that at the severity before.

    >>> rmse_change((CellRows.of({"rmse": [0.125]}), CellRows.of({"rmse": [0.25]}))).tolist()
    [0.125]
    """
    if len(curve) < 2:
        raise Undefined("there is no severity before")
    return curve[-1]["rmse"] - curve[-2]["rmse"]


@define("RMSE, 5% quantile", columns=("rmse",), higher_is_better=None, interval=OrderStatistic(quantile=0.05))
def rmse_q05(rows: CellRows) -> NDArray[np.float32]:
    """5% quantile over images of the RMSE.

    >>> rmse_q05(CellRows.of({"rmse": [0.125, 0.25]})).tolist()
    [0.125, 0.25]
    """
    return rows["rmse"]


@define("RMSE, 95% quantile", columns=("rmse",), higher_is_better=None, interval=OrderStatistic(quantile=0.95))
def rmse_q95(rows: CellRows) -> NDArray[np.float32]:
    """95% quantile over images of the RMSE.

    >>> rmse_q95(CellRows.of({"rmse": [0.125, 0.25]})).tolist()
    [0.125, 0.25]
    """
    return rows["rmse"]


@define(
    "SSIM, 5% quantile",
    columns=("ssim",),
    higher_is_better=None,
    range=(-1.0, 1.0),
    interval=OrderStatistic(quantile=0.05),
)
def ssim_q05(rows: CellRows) -> NDArray[np.float32]:
    """5% quantile over images of the SSIM.

    >>> ssim_q05(CellRows.of({"ssim": [0.5, 0.75]})).tolist()
    [0.5, 0.75]
    """
    return rows["ssim"]


@define(
    "SSIM, 95% quantile",
    columns=("ssim",),
    higher_is_better=None,
    range=(-1.0, 1.0),
    interval=OrderStatistic(quantile=0.95),
)
def ssim_q95(rows: CellRows) -> NDArray[np.float32]:
    """95% quantile over images of the SSIM.

    >>> ssim_q95(CellRows.of({"ssim": [0.5, 0.75]})).tolist()
    [0.5, 0.75]
    """
    return rows["ssim"]
