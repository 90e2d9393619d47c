"""Conformal prediction sets, calibrated on half of the clean images and measured on the other half of every cell.

Split conformal prediction (Vovk et al. 2005): a set holds every class whose conformity score is at most the
⌈(n + 1) COVERAGE⌉-th smallest of the labels of the n calibrating images. Scores: LAC, 1 - p (Sadinle et al. 2019), as
MAPIE computes it; APS without randomization, the probability of the class and of all more probable ones (Romano et al.
2020). Of clean images such a set holds the label with a probability of at least COVERAGE; corrupted ones show how far
that guarantee goes. A set may be empty. This needs the logits of all classes, in a warehouse those of up to ten, or,
while a load has the results, `all_logits`.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.warehouse.metrics.abstention import choosing_half, chosen_on
from failmodes.warehouse.metrics.cell_rows import CellRows, Undefined
from failmodes.warehouse.metrics.intervals import Floats
from failmodes.warehouse.metrics.metric import POSITIVE, ExactShare, Interval, define, usable_images

COVERAGE = 0.9
TOLERANCE = 1e-8  # within which scores count as equal, as in MAPIE: far above the rounding of a sum of probabilities
BLOCK = 2_000_000  # probabilities in memory at a time


class Sets(NamedTuple):
    """Sets of the images of one cell: (N,) whether each holds the label, and its size; NaN for images without one."""

    covered: Floats
    size: Floats


def conformity_scores(logits: NDArray[np.floating], method: str) -> NDArray[np.float64]:
    """(M, C) the conformity score of every class: 0-1, small where the class is probable.

    Args:
        logits: (M, C) of all classes.
        method: 'lac' or 'aps'.
    """
    odds = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = odds / odds.sum(axis=1, keepdims=True)
    if method == "lac":
        return 1 - shares
    order = np.argsort(-shares, axis=1, kind="stable")
    found = np.empty_like(shares)
    np.put_along_axis(found, order, np.cumsum(np.take_along_axis(shares, order, axis=1), axis=1), axis=1)
    return found


def calibrated_bound(of_labels: Floats) -> float:
    """The largest conformity score of a class in a set, of the scores (M,) of labels; inf with too few of them."""
    place = int(np.ceil((len(of_labels) + 1) * COVERAGE))
    return float(np.partition(of_labels, place - 1)[place - 1]) if place <= len(of_labels) else np.inf


def prediction_sets(rows: CellRows, reference: CellRows | None, method: str) -> Sets:
    """Sets of the images of a cell that the bound was not calibrated on.

    Raises:
        Undefined: there are no clean images, or not all logits are stored.
    """
    if reference is None:
        raise Undefined("there are no clean images to calibrate on")
    bound = reference.once(("bound", method), lambda: _bound(reference, method))
    return rows.once(("sets", method), lambda: _sets(rows, method, bound))


def _logits(rows: CellRows) -> NDArray[np.floating]:
    """(N, C) of all classes; not finite for images without."""
    if "all_logits" in rows:
        return np.asarray(rows["all_logits"])
    return np.where(usable_images(rows, "probabilities")[:, None], rows["logits"], np.float32(np.nan))


def _known(rows: CellRows) -> NDArray[np.bool_]:
    logits = rows.once("all logits", lambda: _logits(rows))
    return np.asarray(np.isfinite(logits).all(axis=1) & (rows["label"] < logits.shape[1]))


def _bound(clean: CellRows, method: str) -> float:
    places = np.flatnonzero(_known(clean) & chosen_on(clean))
    return calibrated_bound(np.concatenate([np.empty(0), *(of for of, _ in _of_labels(clean, method, places, np.inf))]))


def _sets(rows: CellRows, method: str, bound: float) -> Sets:
    covered, size = np.full((2, len(rows)), np.nan)
    places = np.flatnonzero(_known(rows) & ~choosing_half(rows))
    if len(places):
        of_labels, sizes = map(np.concatenate, zip(*_of_labels(rows, method, places, bound), strict=True))
        covered[places], size[places] = of_labels - bound <= TOLERANCE, sizes
    return Sets(covered, size)


def _of_labels(rows: CellRows, method: str, places: NDArray[np.intp], bound: float) -> Iterator[tuple[Floats, Floats]]:
    """Block by block, of the images at `places`: the conformity score of the label, and how many classes are within."""
    logits = rows.once("all logits", lambda: _logits(rows))
    step = max(1, BLOCK // logits.shape[1])
    for start in range(0, len(places), step):
        block = places[start : start + step]
        scores = conformity_scores(logits[block], method)
        yield scores[np.arange(len(block)), rows["label"][block]], (scores - bound <= TOLERANCE).sum(axis=1)


_SETS: dict[str, Any] = {
    "columns": ("image_id", "label", "predicted", "finite", "logits", "logit_classes", "all_logits"),
    "refusal": "the error of the calibrated bound is unknown",
}
_OF_COVERAGE: dict[str, Any] = _SETS | {"interval": ExactShare(of_all=False)}
_OF_SIZE: dict[str, Any] = _SETS | {
    "unit": "classes",
    "range": POSITIVE,
    "higher_is_better": False,
    "interval": Interval(image_range=(0.0, 10.0)),  # of pseudo-images: of ten classes all logits are stored
}
_LAC, _APS = "Sadinle et al. 2019", "Romano et al. 2020"


@define("coverage of conformal sets (LAC)", source=_LAC, **_OF_COVERAGE)
def lac_coverage(rows: CellRows, reference: CellRows | None) -> Floats:
    """Share of images whose set of the classes with 1 - p up to the calibrated bound holds the label.

    >>> rows = CellRows.of({"image_id": [0, 1], "label": [0, 1], "logits": [[2, 0]] * 2, "finite": [True] * 2})
    >>> lac_coverage(rows, reference=rows).tolist()  # one calibrating image is too few: all classes are in the set
    [nan, 1.0]
    """
    return prediction_sets(rows, reference, "lac").covered


@define("mean size of conformal sets (LAC)", source=_LAC, **_OF_SIZE)
def lac_set_size(rows: CellRows, reference: CellRows | None) -> Floats:
    """Mean number of classes with 1 - p up to the calibrated bound.

    >>> rows = CellRows.of({"image_id": [0, 1], "label": [0, 1], "logits": [[2, 0]] * 2, "finite": [True] * 2})
    >>> lac_set_size(rows, reference=rows).tolist()
    [nan, 2.0]
    """
    return prediction_sets(rows, reference, "lac").size


@define("coverage of conformal sets (APS)", source=_APS, **_OF_COVERAGE)
def aps_coverage(rows: CellRows, reference: CellRows | None) -> Floats:
    """Share of images whose set of the classes with a cumulative p up to the calibrated bound holds the label.

    >>> rows = CellRows.of({"image_id": [0, 1], "label": [0, 1], "logits": [[2, 0]] * 2, "finite": [True] * 2})
    >>> aps_coverage(rows, reference=rows).tolist()
    [nan, 1.0]
    """
    return prediction_sets(rows, reference, "aps").covered


@define("mean size of conformal sets (APS)", source=_APS, **_OF_SIZE)
def aps_set_size(rows: CellRows, reference: CellRows | None) -> Floats:
    """Mean number of classes whose p and that of all more probable classes add up to at most the calibrated bound.

    >>> rows = CellRows.of({"image_id": [0, 1], "label": [0, 1], "logits": [[2, 0]] * 2, "finite": [True] * 2})
    >>> aps_set_size(rows, reference=rows).tolist()
    [nan, 2.0]
    """
    return prediction_sets(rows, reference, "aps").size
