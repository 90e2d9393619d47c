"""Pairs of models: which is correct more often on average over corruptions, and in each cell (McNemar's test)."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from itertools import combinations
from typing import Any, Literal, NamedTuple

import duckdb

from failmodes.analysis.once import read_once
from failmodes.analysis.selection import EvaluationInfo, Selection
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.difference import Measured, ModelMetrics
from failmodes.analysis.statistics.duplicates import share_of_independent
from failmodes.analysis.statistics.image_pairing import ModelRows
from failmodes.analysis.statistics.model_accuracy import accuracy_over, mean_corrupted, rows_of
from failmodes.analysis.statistics.shares import ALPHA, BETTER_MODEL_ERROR, exact_mcnemar, holm
from failmodes.analysis.trained_models import TrainedModel, pairs_of_models, trained_models
from failmodes.warehouse.schema import CLEAN


class PairDifference(NamedTuple):
    """Mean corrupted accuracy of one model minus that of another.

    Over training seeds and images where both have several runs, else of these checkpoints, over images.

    Attributes:
        a: the first.
        b: the second.
        difference: -1 to 1, the mean over the corruptions that both have of the mean over their whole severities, with
            its 95 % interval.
        adjusted_p: of a difference of 0, with Holm's correction over all pairs.
        image_count: images that both saw.
        p_value: of a difference of 0, of this pair alone.
        images_needed: images that would show the difference in four of five samples, were it as measured; None where
            no number would.
    """

    a: TrainedModel
    b: TrainedModel
    difference: Estimate
    adjusted_p: float
    image_count: int
    p_value: float
    images_needed: int | None = None

    @property
    def is_about_training(self) -> bool:
        """Whether it is about training seeds too, and so about the models: both have several runs."""
        return self.a.has_several_seeds and self.b.has_several_seeds

    @property
    def verdict(self) -> Literal["supported", "contradicted", "inconclusive"]:
        """Supported where the first is more accurate, contradicted where the second is, at a report's error rate."""
        if self.adjusted_p > BETTER_MODEL_ERROR or not self.difference.value:
            return "inconclusive"
        return "supported" if self.difference.value > 0 else "contradicted"

    @property
    def winner(self) -> TrainedModel | None:
        """The model that is correct more often; None where that is inconclusive."""
        return {"supported": self.a, "contradicted": self.b, "inconclusive": None}[self.verdict]


class WinCount(NamedTuple):
    """A model: the numbers of others it is more often correct than, less often correct than, and compared with."""

    model: TrainedModel
    won: int
    lost: int
    others: int


@read_once
def compare_models_of(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[PairDifference]:
    """The difference of every two models of a selection that have a corruption in common, over training seeds first."""
    sums: dict[Hashable, Any] = {}
    models = trained_models(selection.evaluations)
    pairs = sorted(combinations(models, 2), key=lambda pair: not all(model.has_several_seeds for model in pair))
    found = [
        (a, b, difference)
        for a, b in pairs
        if (difference := corrupted_difference(rows_of(con, a), rows_of(con, b), selection.averaged, sums))
    ]
    p_values = [difference.p_value for *_, difference in found]
    return [
        PairDifference(
            a, b, difference.interval(), adjusted, selection.image_count, p_value,
            difference.images_needed(0, 1 - BETTER_MODEL_ERROR),
        )
        for (a, b, difference), p_value, adjusted in zip(found, p_values, holm(p_values), strict=True)
    ]  # fmt: skip


def corrupted_difference(
    a: ModelRows, b: ModelRows, corruptions: Sequence[str], sums: dict[Hashable, Any] | None = None
) -> Measured | None:
    """Mean corrupted accuracy of `a` minus that of `b`; None without a corruption that all runs of both have.

    Args:
        a: rows of one model.
        b: those of another.
        corruptions: that the average is over, each with its whole severities.
        sums: what comparisons of many models share (see `ModelMetrics`).
    """
    metrics = ModelMetrics(a, b, sums=sums)
    terms = mean_corrupted(metrics.cells, corruptions)
    others = [term._replace(weight=-term.weight, of_baseline=True) for term in terms]
    return accuracy_over(metrics, [*terms, *others]) if terms else None


def rank_by_wins(differences: Sequence[PairDifference]) -> list[WinCount]:
    """Models by the pairs that they win, then by the fewest that they lose."""
    found = []
    for model in dict.fromkeys(model for pair in differences for model in (pair.a, pair.b)):
        own = [pair for pair in differences if model in (pair.a, pair.b)]
        won = sum(pair.winner == model for pair in own)
        decided = sum(pair.winner is not None for pair in own)
        found.append(WinCount(model, won, decided - won, len(own)))
    return sorted(found, key=lambda count: (-count.won, count.lost))


class CellTest(NamedTuple):
    """Two models in one cell: images that only one of them gets right, and the corrected p value."""

    corruption: str
    severity: float
    only_a: int
    only_b: int
    adjusted_p: float = 1.0
    independent: float = 1.0  # what the test multiplies counts by: see `warehouse.metrics.duplicates`

    @property
    def winner(self) -> str:
        """'a', 'b' or '' where the cell is inconclusive."""
        if self.adjusted_p >= ALPHA:
            return ""
        return "a" if self.only_a > self.only_b else "b"


class PairTest(NamedTuple):
    """All cells of two evaluations; Holm's correction is over the cells of all pairs that were tested together."""

    a: EvaluationInfo
    b: EvaluationInfo
    cells: tuple[CellTest, ...]

    def won_by(self, side: str) -> int:
        """Number of cells that a side wins ('' counts the inconclusive)."""
        return sum(cell.winner == side for cell in self.cells)


@read_once
def compare_pairs(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[PairTest]:
    """Test every pair of evaluations of different models in every cell that both have, the clean one once.

    Where corrupted images do not pair with clean ones, the two models still see the same images in a cell.
    """
    rows = con.sql(
        "select evaluation_id_a, evaluation_id_b, corruption, severity::double, only_a_correct_count, "
        "only_b_correct_count from pair_cells where evaluation_id_a = any($1) and evaluation_id_b = any($1) "
        "and (corruption = any($2) or corruption = $3) order by all",
        params=[selection.ids, list(selection.corruptions), CLEAN],
    ).pl()
    cells: dict[tuple[str, str], list[CellTest]] = defaultdict(list)
    for one, other, corruption, severity, only_one, only_other in rows.iter_rows():  # pairs are stored by identity
        independent = share_of_independent(con, one)
        cells[one, other].append(CellTest(corruption, severity, only_one, only_other, independent=independent))
        cells[other, one].append(CellTest(corruption, severity, only_other, only_one, independent=independent))
    pairs = [
        PairTest(a, b, tuple(tested))
        for a, b in pairs_of_models(selection.evaluations)
        if (tested := cells[a.evaluation_id, b.evaluation_id])
    ]
    return correct_jointly(pairs)


def correct_jointly(pairs: Sequence[PairTest]) -> list[PairTest]:
    """The same tests with Holm's correction over the cells of all pairs: they are one family."""
    cells = [cell for pair in pairs for cell in pair.cells]
    p_values = exact_mcnemar(
        [cell.only_a * cell.independent for cell in cells], [cell.only_b * cell.independent for cell in cells]
    )
    adjusted = iter(holm(p_values.tolist()))
    return [
        pair._replace(cells=tuple(cell._replace(adjusted_p=next(adjusted)) for cell in pair.cells)) for pair in pairs
    ]
