"""Two models compared: overall, by corruption, cell, class and image, each difference with its interval."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from failmodes.analysis.selection import averaged_severities, corruption_labels
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.changed_images import changed_images
from failmodes.analysis.statistics.class_differences import class_differences
from failmodes.analysis.statistics.measured_pair import MeasuredPair
from failmodes.analysis.statistics.measured_value import MeasuredValue, Undefined
from failmodes.analysis.statistics.model_comparison import (
    CellComparison,
    ComparedModel,
    Comparison,
    CorruptionComparison,
    Crossover,
    Decision,
    MetricComparison,
    Winner,
)
from failmodes.analysis.statistics.opened_models import OpenedModel
from failmodes.analysis.statistics.run_rows import CellKey
from failmodes.analysis.statistics.shares import exact_mcnemar, holm
from failmodes.warehouse.errors import StudyError, did_you_mean
from failmodes.warehouse.metrics.metric import Metric
from failmodes.warehouse.metrics.registry import all_metrics
from failmodes.warehouse.schema import CLEAN

LEVEL, MARGIN = 0.95, 0.01
CLEAN_CELL: CellKey = (CLEAN, 0.0)
COMPARED = ("ece", "augrc", "worst_class_accuracy")  # beside accuracy, clean and corrupted
ONSET = "onset_severity"  # at the last severity, averaged over corruptions
SCORE = "confidence"  # that failures are predicted by


class ComparedCells(NamedTuple):
    """Which cells are compared: those of each corruption that both have, and those that only one has.

    Attributes:
        by_corruption: whole severities above clean, rising, of each corruption in the order of publication.
        averaged: corruptions that averages are over: without the extras, unless there is nothing else.
        every: all cells of both, clean first, fractional severities among them.
        missing: cells that only one has.
    """

    by_corruption: dict[str, list[CellKey]]
    averaged: list[str]
    every: list[CellKey]
    missing: tuple[CellKey, ...]

    @property
    def corrupted(self) -> dict[CellKey, float]:
        """The weight of each cell in the mean over corruptions of the mean over their whole severities."""
        return {
            cell: 1 / len(self.averaged) / len(self.by_corruption[corruption])
            for corruption in self.averaged
            for cell in self.by_corruption[corruption]
        }


def compare_models(
    a: OpenedModel,
    b: OpenedModel,
    *,
    level: float = LEVEL,
    margin: float = MARGIN,
    corruptions: Sequence[str] = (),
    metrics: Sequence[Metric] = (),
) -> Comparison:
    """Compare two models; every difference is the second minus the first.

    Args:
        a: the one that is compared with.
        b: the other.
        level: of intervals and tests, 0.5-1.
        margin: difference of mean corrupted accuracy that would matter, 0-1.
        corruptions: only these; all that both have if not given.
        metrics: compared beside those that always are.

    Raises:
        StudyError: they are the same evaluations, or share no corrupted cell; or a corruption is in neither.
        WarehouseError: a cell is incomplete.
    """
    if a.path.resolve() == b.path.resolve() and set(a.selection.ids) & set(b.selection.ids):
        raise StudyError(f"{a.label} is compared with itself: name two models")
    pair = MeasuredPair(b.rows(), a.rows(), metrics={**all_metrics(), **{metric.name: metric for metric in metrics}})
    cells = _compared_cells(pair, a, b, corruptions)
    overall_row, overall = _compared(pair, "accuracy", cells.corrupted, level)
    clean, _ = _compared(pair, "accuracy", {CLEAN_CELL: 1.0}, level)
    assert isinstance(overall, MeasuredValue), "accuracy is always defined"
    names = corruption_labels(a.con) | corruption_labels(b.con)
    is_single = len(a.model.runs) == len(b.model.runs) == 1
    lost, gained = changed_images(a, b, pair, cells.every) if is_single and pair.pairing.is_paired else (None, None)
    low, high = overall.low(level), overall.high(level)
    not_worse = _decision(low > -margin, overall.high(level) < -margin)
    return Comparison(
        *_sides(a, b),
        level=level,
        margin=margin,
        pairing=pair.pairing,
        averaged=tuple(cells.averaged),
        missing_cells=cells.missing,
        overall=overall_row,
        bounds=(low, high),
        is_about_training=pair.is_about_training,
        not_worse=not_worse,
        equivalent=_decision(low > -margin and high < margin, high < -margin or low > margin),
        images_needed=overall.images_needed(-margin, level) if not_worse == "inconclusive" else None,
        clean=clean,
        metrics=tuple(_other_metrics(pair, cells, level, [metric.name for metric in metrics])),
        corruptions=tuple(_by_corruption(pair, cells, names, level)),
        cells=tuple(_by_cell(pair, cells, level, is_single=is_single)),
        classes=tuple(class_differences(a.con, a.selection.shared["dataset_id"], pair, cells.corrupted, level)),
        newly_incorrect=lost,
        newly_correct=gained,
    )


def _compared_cells(pair: MeasuredPair, a: OpenedModel, b: OpenedModel, corruptions: Sequence[str]) -> ComparedCells:
    """The cells that are compared.

    Raises:
        StudyError: there is none, or a corruption is in neither model.
    """
    of_a, of_b = set(pair.baseline.cells if pair.baseline else ()), set(pair.candidate.cells)
    known = [c for c in dict.fromkeys([*a.selection.corruptions, *b.selection.corruptions]) if c != CLEAN]
    for corruption in corruptions:
        if corruption not in known:
            hint = did_you_mean(corruption, known, f"there are {', '.join(known)}")
            raise StudyError(f"neither model was evaluated under {corruption!r}: {hint}")
    wanted = [c for c in known if not corruptions or c in corruptions]
    every = sorted((cell for cell in of_a & of_b if cell[0] in (CLEAN, *wanted)), key=lambda cell: (cell[1] > 0, cell))
    by_corruption = {}
    for corruption in wanted:
        severities = averaged_severities([severity for name, severity in every if name == corruption])
        if severities:
            by_corruption[corruption] = [(corruption, severity) for severity in severities]
    if not by_corruption:
        raise StudyError(f"{a.label} and {b.label} share no corruption and severity: there is nothing to compare")
    extras = {*a.selection.extras, *b.selection.extras}
    averaged = [corruption for corruption in by_corruption if corruption not in extras] or list(by_corruption)
    missing = tuple(sorted(cell for cell in of_a ^ of_b if cell[0] in (CLEAN, *wanted)))
    return ComparedCells(by_corruption, averaged, every, missing)


def _sides(a: OpenedModel, b: OpenedModel) -> tuple[ComparedModel, ComparedModel]:
    """Both models, with names that tell them apart."""
    labels = [a.label, b.label]
    if a.label == b.label:
        same_file = a.path.resolve() == b.path.resolve()
        labels = [f"{x.label} ({x.model.runs[0].evaluation_id if same_file else x.path.name})" for x in (a, b)]
    if labels[0] == labels[1]:
        labels = [f"{x.label} ({x.path})" for x in (a, b)]
    one, other = (
        ComparedModel(label, tuple(x.selection.ids), x.model.seeds, x.selection.image_count,
                        x.selection.source_line)
        for label, x in zip(labels, (a, b), strict=True)
    )  # fmt: skip
    return one, other


def _compared(
    pair: MeasuredPair, name: str, cells: Mapping[CellKey, float], level: float, score: str | None = None
) -> tuple[MetricComparison, MeasuredValue | Undefined]:
    """One metric over some cells: the values of both and their difference."""
    what = pair.metrics[name]
    which: Literal["clean", "corrupted"] = "clean" if CLEAN_CELL in cells else "corrupted"
    found = pair.compared(name, list(cells), score, list(cells.values()))
    title = what.title if score is None or score == SCORE else f"{what.title} by {score}"
    if isinstance(found, Undefined):
        row = MetricComparison(name, title, what.unit, what.better, which, None, None, None, score, found.reason)
        return row, found
    interval = found.difference.interval(level)
    row = MetricComparison(name, title, what.unit, what.better, which, found.baseline, found.candidate, interval, score)
    return row, found.difference


def _other_metrics(
    pair: MeasuredPair, cells: ComparedCells, level: float, more: Sequence[str]
) -> Iterator[MetricComparison]:
    names = [*COMPARED, *(name for name in more if name not in (*COMPARED, "accuracy"))]
    for name in names:
        what = pair.metrics[name]
        for score in [SCORE] if SCORE in what.scores else what.scores or [None]:
            if CLEAN_CELL in cells.every and not what.needs_pairs:
                yield _compared(pair, name, {CLEAN_CELL: 1.0}, level, score)[0]
            yield _compared(pair, name, cells.corrupted, level, score)[0]
    last = {cells.by_corruption[corruption][-1]: 1 / len(cells.averaged) for corruption in cells.averaged}
    yield _compared(pair, ONSET, last, level)[0]


def _by_corruption(
    pair: MeasuredPair, cells: ComparedCells, names: Mapping[str, str], level: float
) -> list[CorruptionComparison]:
    found = []
    for corruption, own in cells.by_corruption.items():
        row, _ = _compared(pair, "accuracy", dict.fromkeys(own, 1 / len(own)), level)
        assert row.difference is not None
        assert row.a is not None
        assert row.b is not None
        curve = [cell for cell in cells.every if cell[0] in (CLEAN, corruption)]
        crossover = _crossover(pair, curve, level, len(cells.every))
        label = names.get(corruption, corruption)
        found.append(CorruptionComparison(corruption, label, row.a, row.b, row.difference, crossover))
    return sorted(found, key=lambda row: row.difference.value)


def _crossover(pair: MeasuredPair, curve: Sequence[CellKey], level: float, comparisons: int) -> Crossover | None:
    """Where first one, then the other is shown ahead, by intervals that hold for all cells of the comparison."""
    points: list[tuple[float, Estimate]] = []
    for cell in sorted(curve, key=lambda cell: cell[1]):
        value = pair.difference("accuracy", [cell])
        assert isinstance(value, MeasuredValue)
        points.append((cell[1], value.interval(level, comparisons=comparisons)))
    shown = [
        (place, point.above_zero) for place, (_, point) in enumerate(points) if point.above_zero or point.below_zero
    ]
    for (low, is_above), (high, then_above) in pairwise(shown):
        if is_above != then_above:
            between = [(severity, point.value) for severity, point in points[low : high + 1]]
            ahead: Literal["a", "b"] = "b" if is_above else "a"
            return Crossover(_zero_between(between), points[low][0], points[high][0], ahead)
    return None


def _zero_between(points: Sequence[tuple[float, float]]) -> float:
    """Where straight lines between (severity, difference) first cross 0."""
    for (start, before), (end, after) in pairwise(points):
        if before and before * after <= 0:
            return start + (end - start) * before / (before - after)
    return points[-1][0]


def _by_cell(pair: MeasuredPair, cells: ComparedCells, level: float, *, is_single: bool) -> Iterator[CellComparison]:
    """Every cell; exact McNemar tests where images are paired and of one run each, else of the differences."""
    compared = [found for cell in cells.every if not isinstance(found := pair.compared("accuracy", [cell]), Undefined)]
    is_exact = is_single and pair.pairing.is_paired
    counts = [pair.discordant(cell) if is_exact else (None, None) for cell in cells.every]
    if is_exact:
        p_values = exact_mcnemar(*zip(*counts, strict=True)).tolist()
    else:
        p_values = [found.difference.p_value for found in compared]
    for cell, (value, a, b), (only_a, only_b), p in zip(cells.every, compared, counts, holm(p_values), strict=True):
        winner: Winner = "" if p >= 1 - level or not value.value else "b" if value.value > 0 else "a"
        yield CellComparison(*cell, a, b, value.interval(level), only_a, only_b, p, winner)


def _decision(is_shown: bool, is_contradicted: bool) -> Decision:
    return "supported" if is_shown else "contradicted" if is_contradicted else "inconclusive"
