"""Accuracy averaged over severities and corruptions, with intervals over images."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import duckdb
import numpy as np

from failmodes.analysis.once import read_once
from failmodes.analysis.selection import EvaluationInfo, Selection, averaged_severities
from failmodes.analysis.statistics.bootstrap import CorrectnessMatrix, Estimate, read_correctness, stored_resampling
from failmodes.analysis.statistics.paired_difference import mean_difference_interval
from failmodes.warehouse.metrics.intervals import exact_interval
from failmodes.warehouse.schema import CLEAN


class MeanAccuracy(NamedTuple):
    """Accuracy of one evaluation, 0-1 with its interval.

    Attributes:
        clean: on clean images.
        corrupted: the mean over `Selection.averaged` of the mean over whole severities; None where one is missing.
        by_corruption: the mean over whole severities of each corruption that it was evaluated on, extras among them.
    """

    clean: Estimate
    corrupted: Estimate | None
    by_corruption: dict[str, Estimate]

    @property
    def worst(self) -> str:
        """The corruption of the lowest mean accuracy."""
        return min(self.by_corruption, key=lambda corruption: self.by_corruption[corruption].value)


@read_once
def mean_accuracies(con: duckdb.DuckDBPyConnection, selection: Selection) -> dict[EvaluationInfo, MeanAccuracy]:
    """The mean accuracies of each evaluation, with intervals of the stored shapes' level."""
    level, found = stored_resampling(con).interval_level, {}
    for evaluation in selection.evaluations:
        correctness = read_correctness(con, evaluation.evaluation_id)
        curves = {c: curve for c, curve in correctness.curves().items() if c in selection.corruptions and c != CLEAN}
        cells = {c: [curve[s] for s in averaged_severities(curve)] for c, curve in curves.items()}
        clean = next(iter(curves.values()))[0.0]
        averaged = [cells[c] for c in selection.averaged] if cells.keys() >= set(selection.averaged) else []
        found[evaluation] = MeanAccuracy(
            mean_accuracy(correctness, [[clean]], level),
            mean_accuracy(correctness, averaged, level) if averaged else None,
            {c: mean_accuracy(correctness, [columns], level) for c, columns in cells.items()},
        )
    return found


def lowest_first(found: Iterable[MeanAccuracy]) -> list[str]:
    """Corruptions by their mean accuracy over the models that were evaluated on them."""
    values: dict[str, list[float]] = {}
    for one in found:
        for corruption, estimate in one.by_corruption.items():
            values.setdefault(corruption, []).append(estimate.value)
    return sorted(values, key=lambda corruption: sum(values[corruption]) / len(values[corruption]))


def mean_accuracy(correctness: CorrectnessMatrix, cells: Sequence[Sequence[int]], level: float) -> Estimate:
    """The mean over groups of cells of their mean accuracy, 0-1.

    Of a single cell the interval is the exact one, else that of `mean_difference` of right (1) and wrong (-1), whose
    made-up images are one that is right everywhere and one that is wrong everywhere.

    Args:
        correctness: whether each image is right in each cell.
        cells: columns of it, a group a corruption.
        level: of the interval.
    """
    columns = [column for group in cells for column in group]
    if len(columns) == 1:  # the interval that a single accuracy has everywhere
        share, count = float(correctness.accuracy[columns[0]]), len(correctness.correct)
        low, high = exact_interval(round(share * count), count, level=level)
        return Estimate(share, float(low), float(high))
    weights = [1 / len(cells) / len(group) for group in cells for _ in group]
    signed = 2 * correctness.correct[:, columns].astype(np.int8) - 1
    found = mean_difference_interval(signed, weights, paired=correctness.paired, level=level)
    return Estimate(*((1 + value) / 2 for value in found))
