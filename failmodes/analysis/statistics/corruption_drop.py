"""Which corruption costs most, and whether it can be told from the second, over the same images."""

from collections.abc import Sequence
from typing import NamedTuple

import duckdb

from failmodes.analysis.once import read_once
from failmodes.analysis.selection import EvaluationInfo, Selection, averaged_severities
from failmodes.analysis.statistics.bootstrap import (
    CorrectnessMatrix,
    Estimate,
    read_correctness,
    stored_resampling,
)
from failmodes.analysis.statistics.paired_difference import (
    count_pairs,
    mean_difference_interval,
    newcombe_interval,
)
from failmodes.analysis.statistics.sufficiency import non_finite_cells
from failmodes.warehouse.schema import CLEAN


class CorruptionDrop(NamedTuple):
    """Accuracy that a corruption costs: at its last severity, and on average over its whole severities; 0-1."""

    corruption: str
    last_severity: float
    at_last: Estimate
    on_average: Estimate


class DropRanking(NamedTuple):
    """Corruptions by cost at the last severity and by average cost, costliest first; the extras, unranked, apart.

    Of the corruptions `withheld` too many predictions are no finite numbers; they might cost more. A lead is the cost
    of the first minus that of another one, for each of the others in their order. That all of them are above 0 needs
    no correction for their number (Berger 1982). Intervals at the last severity are Newcombe's, of averages those of
    `mean_difference`.
    """

    drops: tuple[CorruptionDrop, ...]
    leads: tuple[Estimate, ...]
    by_average: tuple[CorruptionDrop, ...]
    average_leads: tuple[Estimate, ...]
    extras: tuple[CorruptionDrop, ...]
    withheld: tuple[str, ...] = ()

    @property
    def is_clear(self) -> bool:
        """Whether a corruption costs more than every other, none of which is withheld, and more than nothing."""
        return (
            bool(self.drops)
            and not self.withheld
            and all(drop.above_zero for drop in (self.drops[0].at_last, *self.leads))
        )

    @property
    def is_clear_on_average(self) -> bool:
        """The same of average costs."""
        return (
            bool(self.drops)
            and not self.withheld
            and all(drop.above_zero for drop in (self.by_average[0].on_average, *self.average_leads))
        )


@read_once
def drop_rankings(con: duckdb.DuckDBPyConnection, selection: Selection) -> dict[EvaluationInfo, DropRanking]:
    """What each corruption costs each evaluation of the selection, with intervals of the stored shapes' level."""
    level, found = stored_resampling(con).interval_level, {}
    for evaluation in selection.evaluations:
        correctness = read_correctness(con, evaluation.evaluation_id)
        without = {corruption for corruption, _ in non_finite_cells(con, evaluation.evaluation_id)}
        measured = [c for c in selection.corruptions if not without & {CLEAN, c}]
        withheld = [c for c in selection.averaged if c not in measured]  # extras are not ranked
        ranked = [c for c in selection.averaged if c in measured]
        ranking = rank_drops(correctness, measured, ranked, level)
        found[evaluation] = ranking._replace(withheld=tuple(withheld))
    return found


def rank_drops(
    correctness: CorrectnessMatrix,
    corruptions: Sequence[str],
    ranked: Sequence[str],
    level: float,
) -> DropRanking:
    """Rank corruptions by what they cost one evaluation.

    Args:
        correctness: whether each image is right in each cell.
        corruptions: those to be measured.
        ranked: those of them to be ranked; the others are extras.
        level: of the intervals.
    """
    curves = {c: curve for c, curve in correctness.curves().items() if c in corruptions}
    drops = {
        c: CorruptionDrop(
            c,
            max(curve),
            _cell_difference(correctness, curve[0.0], _last(curve), level),
            _average_difference(correctness, [curve[0.0]], _averaged(curve), level),
        )
        for c, curve in curves.items()
    }
    kept = [c for c in curves if c in ranked]
    order = sorted(kept, key=lambda c: -drops[c].at_last.value)
    by_average = sorted(kept, key=lambda c: -drops[c].on_average.value)
    leads = [_cell_difference(correctness, _last(curves[c]), _last(curves[order[0]]), level) for c in order[1:]]
    average_leads = [
        _average_difference(correctness, _averaged(curves[c]), _averaged(curves[by_average[0]]), level)
        for c in by_average[1:]
    ]
    extras = sorted((c for c in curves if c not in ranked), key=lambda c: -drops[c].at_last.value)
    return DropRanking(
        tuple(drops[c] for c in order),
        tuple(leads),
        tuple(drops[c] for c in by_average),
        tuple(average_leads),
        tuple(drops[c] for c in extras),
    )


def _last(curve: dict[float, int]) -> int:
    """The column of the last severity of a curve."""
    return curve[max(curve)]


def _cell_difference(correctness: CorrectnessMatrix, first: int, second: int, level: float) -> Estimate:
    """Accuracy of one cell minus that of another, with Newcombe's interval."""
    correct = correctness.correct
    counts = count_pairs(correct[:, first], correct[:, second], paired=correctness.paired)
    low, high = newcombe_interval(counts, level=level)
    return Estimate(float(counts.difference), float(low), float(high))


def _averaged(curve: dict[float, int]) -> list[int]:
    """The columns of the severities of a curve that averages are over."""
    return [curve[severity] for severity in averaged_severities(curve)]


def accuracy_difference(
    correctness: CorrectnessMatrix, first: Sequence[int], second: Sequence[int], level: float
) -> Estimate:
    """Mean accuracy of some cells minus that of others: of one against one with Newcombe's interval."""
    if len(first) == len(second) == 1:
        return _cell_difference(correctness, first[0], second[0], level)
    return _average_difference(correctness, first, second, level)


def _average_difference(
    correctness: CorrectnessMatrix, first: Sequence[int], second: Sequence[int], level: float
) -> Estimate:
    """Mean accuracy of some cells minus that of others, with its interval."""
    weights = [1 / len(first)] * len(first) + [-1 / len(second)] * len(second)
    cells = correctness.correct[:, [*first, *second]]
    return mean_difference_interval(cells, weights, paired=correctness.paired, level=level)
