"""The difference of two averages as an exact sum: images, cells, form of the average, labels, classes, predictions.

Two evaluations are brought together one step at a time, and each step changes the average by what it explains: first
the images and cells that only the first has are left out, then its average takes the form of the second, then its
images get the labels of the second, and its predictions those of the second; then images and cells that only the second
has are added. The steps add up to the difference, whatever their order; shares of one step depend on it.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.analysis.statistics.estimate import Estimate
from failmodes.analysis.statistics.model_accuracy import mean_corrupted, severities_of
from failmodes.analysis.statistics.run_rows import CLEAN_CELL, CellKey
from failmodes.warehouse.metrics.cell_rows import OTHER
from failmodes.warehouse.metrics.intervals import mean_with_pseudo_images, normal_quantile
from failmodes.warehouse.metrics.metric import NORMAL

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]
LEVEL = 0.95
MEAN = "mean accuracy"
IMAGES, CELLS, FORM, LABELS, CLASSES, PREDICTIONS = (
    "images", "severities and names", "averaging", "labels", "classes", "predictions"
)  # fmt: skip
FEWEST_MATCHED = 0.5  # share of predictions that a reordering of classes must explain beyond what agrees without


class Averaging(NamedTuple):
    """The form of an average over corrupted cells, which is a constant and a weighted sum of accuracies.

    Attributes:
        name: as protocols name it.
        baseline: for mCE the mean errors of AlexNet by corruption, 0-1; empty for a mean of accuracies.
        is_error: whether the number is an error, which mCE always is.
    """

    name: str = MEAN
    baseline: Mapping[str, float] = {}
    is_error: bool = False

    def averaged(self, cells: Collection[CellKey]) -> list[CellKey]:
        """Those cells that the average is over."""
        return [cell for cell in cells if cell == CLEAN_CELL or not self.baseline or cell[0] in self.baseline]

    def terms(self, cells: Collection[CellKey]) -> tuple[float, dict[CellKey, float]]:
        """The constant, and the weight of each cell: the mean over corruptions of the mean over their severities."""
        known = self.averaged(cells)
        if CLEAN_CELL in known:
            weights = {CLEAN_CELL: 1.0}
        else:
            weights = {term.cell: term.weight for term in mean_corrupted(known, severities_of(known))}
        if not self.is_error:
            return 0.0, weights
        relative = {cell: weight / self.baseline.get(cell[0], 1.0) for cell, weight in weights.items()}
        return sum(relative.values()), {cell: -weight for cell, weight in relative.items()}

    def number(self, accuracies: Mapping[CellKey, float], cells: Collection[CellKey]) -> float:
        """The average, 0-1; mCE 0 to infinity."""
        constant, weights = self.terms(cells)
        return constant + sum(weight * accuracies[cell] for cell, weight in weights.items())


class CellPredictions(NamedTuple):
    """The images of one cell, (N,) each: codes that both sides share, rising; labels and predictions as classes."""

    images: Codes
    label: Codes
    predicted: Codes
    confidence: Floats | None = None

    @property
    def correct(self) -> NDArray[np.bool_]:
        """(N,) whether each image is predicted correctly."""
        return np.equal(self.label, self.predicted)

    def of(self, images: Codes) -> "CellPredictions":
        """The images among some codes."""
        kept = np.isin(self.images, images)
        confidence = None if self.confidence is None else self.confidence[kept]
        return CellPredictions(self.images[kept], self.label[kept], self.predicted[kept], confidence)


class Side(NamedTuple):
    """What one number is the average of.

    Attributes:
        accuracies: by cell, 0-1, clean included if known.
        cells: those that are averaged.
        form: of the average.
        rows: the predictions by cell; None where only accuracies are known.
        stated: the number, where cells are not known.
    """

    accuracies: Mapping[CellKey, float]
    cells: tuple[CellKey, ...]
    form: Averaging
    rows: Mapping[CellKey, CellPredictions] | None = None
    stated: float | None = None

    @property
    def number(self) -> float:
        """The average."""
        return self.form.number(self.accuracies, self.cells) if self.stated is None else self.stated


class Share(NamedTuple):
    """What one respect explains of a difference, in its unit."""

    respect: str
    value: float


class Decomposition:
    """The difference of two averages (second − first) as a sum of shares.

    Args:
        a: the first.
        b: the second, which averages at least one cell, and has at least one image, of the first.
    """

    def __init__(self, a: Side, b: Side) -> None:
        self.a = a
        self.b = b
        known = set(b.cells)
        if a.rows is not None and b.rows is not None:
            known &= {cell for cell, (one, _) in self.pairs.items() if len(one.images)}
        self.shared = tuple(cell for cell in a.cells if cell in known)

    @property
    def sides(self) -> tuple[Side, Side]:
        """Both."""
        return self.a, self.b

    @property
    def difference(self) -> float:
        """The second number minus the first."""
        return self.b.number - self.a.number

    @cached_property
    def common(self) -> Codes:
        """The images that both have, (N,) codes; none where only accuracies are known."""
        return np.intersect1d(self._images(self.a), self._images(self.b))

    def lacking(self) -> tuple[int, int]:
        """How many images only the first has, and only the second."""
        of_a, of_b = (len(self._images(side)) for side in (self.a, self.b))
        return of_a - len(self.common), of_b - len(self.common)

    @staticmethod
    def _images(side: Side) -> Codes:
        every = [cell.images for cell in (side.rows or {}).values()]
        first = every[0] if every else np.empty(0, np.int64)
        is_shared = all(len(images) == len(first) and (images == first).all() for images in every)
        return first if is_shared else np.unique(np.concatenate(every))

    @cached_property
    def pairs(self) -> dict[CellKey, tuple[CellPredictions, CellPredictions]]:
        """The images of each cell that both have, clean included, in one order."""
        assert self.a.rows is not None
        assert self.b.rows is not None
        found = {}
        for cell in self.a.rows.keys() & self.b.rows.keys():
            one, other = self.a.rows[cell], self.b.rows[cell]
            images = np.intersect1d(one.images, other.images)
            found[cell] = (one.of(images), other.of(images))
        return dict(sorted(found.items(), key=lambda item: (item[0][1] > 0, item[0])))

    @cached_property
    def reordered(self) -> Codes | None:
        """(C,) the class that the second predicts for each class of the first, where it reorders them; else None."""
        return _reordered([(one.predicted, other.predicted) for one, other in self.pairs.values()])

    @cached_property
    def relabeled(self) -> Codes | None:
        """(C,) the label of the second for each label of the first, where every image of a class has the same."""
        return _reordered([(one.label, other.label) for one, other in self.pairs.values()], is_exact=True)

    @cached_property
    def shares(self) -> list[Share]:
        """The shares, in the order of respects; they add up to the difference."""
        a, b, shared = self.a, self.b, self.shared
        if a.stated is not None:
            return [share._replace(value=-share.value) for share in Decomposition(b, a).shares]
        if a.rows is None or b.rows is None:
            steps = [
                (CELLS, a.form.number(a.accuracies, shared)),
                (FORM, b.form.number(a.accuracies, shared)),
                (PREDICTIONS, b.number if b.stated is not None else b.form.number(b.accuracies, shared)),
                (CELLS, b.number),
            ]
            return _summed(a.number, steps)
        own, theirs = (
            {cell: self._on_common(rows) for cell, rows in side.rows.items() if cell in side.cells}
            for side in (a, b)
            if side.rows is not None
        )
        both = {cell: pair for cell, pair in self.pairs.items() if cell in shared}
        same = {cell: float(one.correct.mean()) for cell, (one, _) in both.items()}
        labeled = {cell: _agreeing(one.predicted, other.label) for cell, (one, other) in both.items()}
        mapped = self.reordered
        moved = labeled
        if mapped is not None:
            moved = {
                cell: _agreeing(renumbered(mapped, one.predicted), other.label) for cell, (one, other) in both.items()
            }
        last = {cell: float(other.correct.mean()) for cell, (_, other) in both.items()}
        steps = [
            (IMAGES, a.form.number(own, a.cells)),
            (CELLS, a.form.number(own, shared)),
            (IMAGES, a.form.number(same, shared)),  # cells of different images
            (FORM, b.form.number(same, shared)),
            (LABELS if self.relabeled is None else CLASSES, b.form.number(labeled, shared)),
            (CLASSES, b.form.number(moved, shared)),
            (PREDICTIONS, b.form.number(last, shared)),
            (IMAGES, b.form.number(theirs, shared)),
            (CELLS, b.form.number(theirs, b.cells)),
            (IMAGES, b.number),
        ]
        return _summed(a.number, steps)

    def _on_common(self, rows: CellPredictions) -> float:
        """Accuracy of a cell on the images that both have; of all its images if it shows none of these."""
        kept = rows.of(self.common)
        return float((kept if len(kept.images) else rows).correct.mean())

    def interval(self) -> Estimate:
        """The difference with its interval over images; without one where only accuracies are known."""
        parts = _parts(self.a, self.b)
        if not parts:
            return Estimate(self.difference, self.difference, self.difference)
        moments = [mean_with_pseudo_images(values, least, most, 1 / len(parts)) for values, least, most in parts]
        half = normal_quantile(LEVEL) * sum(variance for _, variance in moments) ** 0.5
        count = max(len(values) for values, *_ in parts)
        return Estimate(self.difference, self.difference - half, self.difference + half, LEVEL, count, method=NORMAL)

    def changed(self) -> dict[CellKey, NDArray[np.bool_]]:
        """(N,) of each cell that both have: whether the prediction differs, but for reordered classes."""
        mapped = self.reordered
        found = {}
        for cell, (one, other) in self.pairs.items():
            predicted = one.predicted if mapped is None else renumbered(mapped, one.predicted)
            found[cell] = predicted != other.predicted
        return found


def _summed(start: float, steps: Sequence[tuple[str, float]]) -> list[Share]:
    """What each respect explains, from the numbers after each step."""
    found: dict[str, float] = dict.fromkeys((IMAGES, CELLS, FORM, LABELS, CLASSES, PREDICTIONS), 0.0)
    before = start
    for respect, number in steps:
        found[respect] += number - before
        before = number
    return [Share(respect, value) for respect, value in found.items()]


def _agreeing(predicted: Codes, label: Codes) -> float:
    return float((predicted == label).mean())


def renumbered(classes: Codes, values: Codes) -> Codes:
    """Values with classes renumbered; those beyond the classes stay."""
    inside = (values >= 0) & (values < len(classes))
    return np.where(inside, classes[np.where(inside, values, 0)], values)


def _reordered(pairs: Sequence[tuple[Codes, Codes]], *, is_exact: bool = False) -> Codes | None:
    """(C,) the reordering of classes that takes the first values of each pair to the second; None without one.

    It is found on every second image, and must explain most of what differs on the others.
    """
    from scipy.optimize import linear_sum_assignment  # here: it takes .2 s

    first, second = (np.concatenate([pair[place] for pair in pairs]) for place in (0, 1))
    known = (first != OTHER) & (second != OTHER)
    first, second = first[known], second[known]
    if not len(first) or (first == second).all():
        return None
    size = int(max(first.max(), second.max())) + 1
    counts = np.zeros((size, size))
    halves = [slice(0, None, 1)] * 2 if is_exact else [slice(0, None, 2), slice(1, None, 2)]
    np.add.at(counts, (first[halves[0]], second[halves[0]]), 1)
    _, classes = linear_sum_assignment(counts + np.eye(size) / 2, maximize=True)
    if (classes == np.arange(size)).all():
        return None
    differing = 1 - _agreeing(first[halves[1]], second[halves[1]])
    left = 1 - _agreeing(classes[first[halves[1]]], second[halves[1]])
    is_found = left == 0 if is_exact else left <= FEWEST_MATCHED * differing
    return classes.astype(np.int64) if is_found else None


Sample = tuple[Codes, Floats, float]  # images of one side, what each contributes to the number, and the most of one


def _contributions(side: Side, sign: float) -> dict[object, Sample]:
    """The samples of one side: one of all cells that show the same images, and one of each other cell."""
    found: dict[object, Sample] = {}
    if side.rows is None:
        return found
    for cell, weight in side.form.terms(side.cells)[1].items():
        rows = side.rows[cell]
        images, values, most = found.get("", (rows.images, np.zeros(len(rows.images)), 0.0))
        share = sign * weight / len(rows.images)
        contributed: Floats = share * rows.correct.astype(np.float64)
        if len(images) == len(rows.images) and (images == rows.images).all():
            found[""] = (images, values + contributed, most + share)
        else:
            found[cell] = (rows.images, contributed, share)
    return found


def _parts(a: Side, b: Side) -> list[tuple[Floats, float, float]]:
    """Independent samples of images, whose means add up to the difference, with the least and the most of one image.

    Images that both have are one sample, those of one side another.
    """
    sides = (_contributions(a, -1), _contributions(b, 1))
    parts = []
    for key in dict.fromkeys(key for side in sides for key in side):
        held = [side[key] for side in sides if key in side]
        images = np.unique(np.concatenate([codes for codes, *_ in held]))
        values, owners = np.zeros(len(images)), np.zeros(len(images), np.int64)
        for place, (codes, contributed, _) in enumerate(held):
            at = np.searchsorted(images, codes)
            values[at] += contributed
            owners[at] += 1 << place
        for owner in np.unique(owners).tolist():
            of_owner = values[owners == owner]
            ends = [most * len(of_owner) for place, (*_, most) in enumerate(held) if owner >> place & 1]
            parts.append((of_owner * len(of_owner), sum(min(e, 0) for e in ends), sum(max(e, 0) for e in ends)))
    return parts
