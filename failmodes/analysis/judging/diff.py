"""Why two numbers differ: what explains the difference, exactly, and which recorded facts differ."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from failmodes.analysis.judging.diff_factors import CORRUPTED, OF_PREDICTIONS, Factor, factors_of
from failmodes.analysis.judging.diff_sides import (
    Matched,
    Numbered,
    averaged_cells,
    averaging_of,
    class_names,
    match,
    open_numbers,
    side_of,
)
from failmodes.analysis.judging.published_check import is_of
from failmodes.analysis.statistics.decomposition import (
    CELLS,
    CLASSES,
    IMAGES,
    LABELS,
    MEAN,
    PREDICTIONS,
    Averaging,
    Decomposition,
    Share,
)
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.analysis.statistics.run_rows import CLEAN_CELL, CellKey
from failmodes.runtime.errors import StudyError, shown

Outcome = Literal["equal", "differs", "not comparable"]
NOISE = 1e-9  # of sums of floats
ROUNDING = 5e-5  # of published numbers, which have two digits of percent


class Cause(NamedTuple):
    """What explains a part of a difference.

    Attributes:
        factors: the factors that differ; several if rows cannot separate them.
        share: the part, in the unit of the difference.
    """

    factors: tuple[Factor, ...]
    share: float


class Changed(NamedTuple):
    """Predictions that differ in a cell or class, on the images that both have.

    Attributes:
        name: of the class; '' of a cell.
        cell: the cell; None of a class.
        differing: predictions that differ.
        total: predictions of both.
        a: accuracy of the first, 0-1.
        b: of the second.
    """

    name: str
    cell: CellKey | None
    differing: int
    total: int
    a: float
    b: float


class DifferingImage(NamedTuple):
    """An image whose predictions differ.

    Attributes:
        image_a: its image_id in the dataset of the first.
        image_b: likewise of the second.
        label: its class in the first.
        cell_count: cells in which predictions differ, clean counted as one.
        cell: the mildest of them.
        confidence_change: mean absolute difference of confidence in these, 0-1; None if it is not stored.
    """

    image_a: int
    image_b: int
    label: str
    cell_count: int
    cell: CellKey
    confidence_change: float | None


class Number(NamedTuple):
    """One of two numbers: 0-1, mCE 0 to infinity.

    Attributes:
        label: its name.
        value: the number; None if they cannot be compared.
        form: of the average.
        evaluation_id: of an evaluation; None for a published row.
        path: the warehouse of an evaluation.
    """

    label: str
    value: float | None
    form: str
    evaluation_id: str | None = None
    path: Path | None = None


@dataclass(frozen=True)
class Diff:
    """Why two numbers differ.

    Attributes:
        a: the first.
        b: the second.
        factors: every respect in which they may differ.
        reason: why they cannot be compared; '' if they can.
        difference: second − first with its interval over images; None if they cannot be compared.
        shares: what each respect explains, in the unit of the difference, which they add up to.
        causes: the factors that differ and explain a part, the largest part first; never one that is unknown.
        changed: all predictions on the images that both have, and how many of them differ; None without rows.
        cells: where predictions differ, the largest change of accuracy first.
        classes: likewise.
        images: whose predictions differ, in most cells first.
    """

    a: Number
    b: Number
    factors: tuple[Factor, ...]
    reason: str = ""
    difference: Estimate | None = None
    shares: tuple[Share, ...] = ()
    causes: tuple[Cause, ...] = ()
    changed: Changed | None = None
    cells: tuple[Changed, ...] = ()
    classes: tuple[Changed, ...] = ()
    images: tuple[DifferingImage, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """Whether the numbers, and the predictions behind them, are equal."""
        if self.difference is None:
            return "not comparable"
        limit = ROUNDING if self.changed is None else NOISE
        is_equal = abs(self.difference.value) <= limit and not (self.changed and self.changed.differing)
        return "equal" if is_equal else "differs"

    @property
    def unknown(self) -> list[str]:
        """Names of the factors that were not recorded."""
        return [factor.name for factor in self.factors if factor.status == "unknown"]


def diff_named(a: str, b: str, where: str | Path | None = None, *, extras: bool = False) -> Diff:
    """Explain the difference of two numbers, second − first.

    Each number is the average that its protocol states; without one, the mean over corruptions of the mean over their
    severities. Numbers of clean images are compared if one of both has no others.

    Args:
        a: a name for `named_model`, FILE.duckdb, FILE.duckdb::LABEL; or a published row: robustbench:NAME, timm:NAME,
            FILE.csv::NAME or FILE.json::NAME.
        b: likewise; at most one is a published row.
        where: the warehouse of names without a file.
        extras: average corruptions outside the 15 headline ones too.

    Raises:
        StudyError: a name matches nothing, or several models, or a model of several training runs.
        WarehouseError: a warehouse cannot be read.
        DataError: a file of published rows is damaged.
    """
    for name in (a, b):
        if not isinstance(name, str):
            raise StudyError(f"a number's name must be a string, such as a label (given: {shown(name)})")
    with open_numbers((a, b), where) as (first, second):
        return _diff(first, second, extras=extras)


def _diff(a: Numbered, b: Numbered, *, extras: bool) -> Diff:
    con = (a if a.row is None else b).con
    matched = match(a, b) if a.row is None and b.row is None else None
    cells = [averaged_cells(one, extras=extras) for one in (a, b)]
    is_clean = not all(cells)
    if is_clean:
        cells = [(CLEAN_CELL,) if CLEAN_CELL in _held(one) else () for one in (a, b)]
    forms = [averaging_of(one, con) for one in (a, b)]
    averagings = _averagings([Averaging() if is_clean else Averaging(form or MEAN, errors) for form, errors in forms])
    numbered = list(zip((a, b), cells, averagings, strict=True))
    sides = [side_of(*one, matched, is_first=place == 0) for place, one in enumerate(numbered)]
    parts = Decomposition(*sides)
    stated = (MEAN, MEAN) if is_clean else (forms[0][0], forms[1][0])
    factors = tuple(factors_of(a, b, parts, stated, matched))
    reason = _incomparable(a, b, parts, matched)
    numbers = [
        Number(
            one.label, None if reason else side.number, side.form.name,
            one.facts["evaluation_id"] if one.facts else None, one.opened.path if one.opened else None,
        )
        for one, side in zip((a, b), parts.sides, strict=True)
    ]  # fmt: skip
    first, second = _distinct(*numbers)
    if reason:
        return Diff(first, second, factors, reason)
    shares = tuple(parts.shares)
    known = Diff(first, second, factors, "", parts.interval(), shares)
    if matched is None:
        return replace(known, causes=tuple(_causes(shares, factors, parts, None)))
    flags = parts.changed()
    changed = _changed("", None, list(flags.items()), parts)
    return replace(
        known,
        causes=tuple(_causes(shares, factors, parts, changed)),
        changed=changed,
        cells=tuple(_by_cell(flags, parts)),
        classes=tuple(_by_class(a, flags, parts)),
        images=tuple(_images(a, flags, parts, matched)),
    )


def _held(one: Numbered) -> Sequence[CellKey]:
    """The cells that are known of a number."""
    if one.run is not None:
        return one.run.cells
    assert one.row is not None
    return [(corruption, float(severity)) for corruption, severity in one.row.model.accuracies]


def _averagings(forms: Sequence[Averaging]) -> list[Averaging]:
    """The forms of both, errors if one of them is: mCE without the errors of AlexNet is a mean."""
    known = [form if form.baseline or form.name == MEAN else Averaging() for form in forms]
    return [form._replace(is_error=any(one.baseline for one in known)) for form in known]


def _incomparable(a: Numbered, b: Numbered, parts: Decomposition, matched: Matched | None) -> str:
    """Why two numbers cannot be compared; '' if they can."""
    for one, side in zip((a, b), parts.sides, strict=True):
        if not side.cells:
            return f"{one.label} was not evaluated on the images of the other number"
    if matched is not None and not matched.by:
        return "no pixel hash, file name or label shows that they have an image in common"
    if matched is not None and not len(parts.common):
        return "they have no image in common"
    if not parts.shared:
        return "they have no corruption and severity in common"
    row = a.row or b.row
    if row is not None and row.protocol is not None:
        facts = a.facts or b.facts
        if facts is not None and not is_of(facts, row.protocol.dataset):
            return f"the images are of another dataset than those of {row.protocol.title}"
    return ""


def _distinct(a: Number, b: Number) -> tuple[Number, Number]:
    """Both numbers with distinct labels."""
    if a.label != b.label:
        return a, b
    marks = ((one.path and one.path.name, str(one.path), str(one.evaluation_id), letter)
             for one, letter in zip((a, b), "AB", strict=True))  # fmt: skip
    of_a, of_b = next(pair for pair in zip(*marks, strict=True) if pair[0] != pair[1])
    return a._replace(label=f"{a.label} ({of_a})"), b._replace(label=f"{b.label} ({of_b})")


def _causes(
    shares: Sequence[Share], factors: Sequence[Factor], parts: Decomposition, changed: Changed | None
) -> Iterator[Cause]:
    """The factors that differ and explain a part, the largest part first."""
    differing = {factor.name: factor for factor in factors if factor.status == "differs"}
    found = []
    for respect, share in shares:
        if respect == PREDICTIONS:
            beyond = () if all(side.stated is None for side in parts.sides) else (CELLS,)
            names = OF_PREDICTIONS if changed is not None else (IMAGES, *beyond, LABELS, CLASSES, *OF_PREDICTIONS)
            candidates = [differing[name] for name in _likeliest_first(names, parts, changed) if name in differing]
            if (changed.differing if changed is not None else abs(share) > ROUNDING) and candidates:
                found.append(Cause(tuple(candidates), share))
        elif abs(share) > NOISE and respect in differing:
            found.append(Cause((differing[respect],), share))
    yield from sorted(found, key=lambda cause: -abs(cause.share))


def _likeliest_first(names: Sequence[str], parts: Decomposition, changed: Changed | None) -> list[str]:
    """The factors that may change predictions; corrupted pixels first where no prediction of a clean image differs."""
    flags = {} if changed is None else parts.changed()
    is_clean_same = CLEAN_CELL in flags and not flags[CLEAN_CELL].any()
    return sorted(names, key=lambda name: name != CORRUPTED if is_clean_same else name == CORRUPTED)


def _changed(
    name: str, cell: CellKey | None, flags: Sequence[tuple[CellKey, np.ndarray]], parts: Decomposition,
    label: int | None = None,
) -> Changed:  # fmt: skip
    """Predictions that differ, and accuracies, over some cells; of one class if `label` is given."""
    of_cells = []
    for key, differs in flags:
        one, other = parts.pairs[key]
        kept = np.ones(len(differs), np.bool_) if label is None else one.label == label
        of_cells.append((differs[kept], one.correct[kept], other.correct[kept]))
    differs, correct, other_correct = (np.concatenate(columns) for columns in zip(*of_cells, strict=True))
    total = len(differs)
    return Changed(
        name, cell, int(differs.sum()), total, float(correct.sum() / total), float(other_correct.sum() / total)
    )


def _by_cell(changed: Mapping[CellKey, np.ndarray], parts: Decomposition) -> list[Changed]:
    found = [_changed("", cell, [(cell, flags)], parts) for cell, flags in changed.items() if flags.any()]
    return sorted(found, key=lambda row: (-abs(row.b - row.a), -row.differing))


def _by_class(a: Numbered, changed: Mapping[CellKey, np.ndarray], parts: Decomposition) -> list[Changed]:
    names = class_names(a)
    flags = [(cell, changed[cell]) for cell in parts.shared]
    labels = np.unique(np.concatenate([parts.pairs[cell][0].label for cell in parts.shared])).tolist()
    found = [_changed(names.get(label, str(label)), None, flags, parts, label) for label in labels]
    return sorted((row for row in found if row.differing), key=lambda row: (-abs(row.b - row.a), -row.differing))


def _images(
    a: Numbered, changed: Mapping[CellKey, np.ndarray], parts: Decomposition, matched: Matched
) -> list[DifferingImage]:
    """The images whose predictions differ, in most cells first, then by the change of confidence."""
    names = class_names(a)
    others = {image_a: image_b for image_b, image_a in matched.images.items()}
    counts: dict[int, list[tuple[CellKey, float]]] = {}
    labels: dict[int, int] = {}
    for cell, flags in changed.items():
        one, other = parts.pairs[cell]
        change = (
            np.full(len(flags), np.nan)
            if one.confidence is None or other.confidence is None
            else abs(one.confidence - other.confidence)
        )
        for place in np.flatnonzero(flags).tolist():
            image = int(one.images[place])
            counts.setdefault(image, []).append((cell, float(change[place])))
            labels[image] = int(one.label[place])
    found = []
    for image, cells in counts.items():
        mean = float(np.mean([change for _, change in cells]))
        mildest = min((cell for cell, _ in cells), key=lambda cell: (cell[1], cell[0]))
        label = names.get(labels[image], str(labels[image]))
        of_confidence = None if np.isnan(mean) else mean
        found.append(DifferingImage(image, others.get(image, image), label, len(cells), mildest, of_confidence))
    return sorted(found, key=lambda row: (-row.cell_count, -(row.confidence_change or 0.0), row.image_a))
