"""Exact McNemar tests of pairs of models, cell by cell, with Holm's correction over all cells of all pairs."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import duckdb
import numpy as np
from numpy.typing import ArrayLike

from failmodes.analysis.once import read_once
from failmodes.analysis.selection import EvaluationInfo, Selection
from failmodes.analysis.statistics.bootstrap import Float64Array
from failmodes.analysis.trained_models import pairs_of_models
from failmodes.warehouse.schema import CLEAN

ALPHA = 0.05


class CellTest(NamedTuple):
    """Two models in one cell: images that only one of them gets right, and the corrected p value."""

    corruption: str
    severity: float
    only_a: int
    only_b: int
    adjusted_p: float = 1.0

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
        cells[one, other].append(CellTest(corruption, severity, only_one, only_other))
        cells[other, one].append(CellTest(corruption, severity, only_other, only_one))
    pairs = [
        PairTest(a, b, tuple(tested))
        for a, b in pairs_of_models(selection.evaluations)
        if (tested := cells[a.evaluation_id, b.evaluation_id])
    ]
    return correct_jointly(pairs)


def correct_jointly(pairs: Sequence[PairTest]) -> list[PairTest]:
    """The same tests with Holm's correction over the cells of all pairs: they are one family."""
    cells = [cell for pair in pairs for cell in pair.cells]
    p_values = exact_mcnemar([cell.only_a for cell in cells], [cell.only_b for cell in cells])
    adjusted = iter(holm(p_values.tolist()))
    return [
        pair._replace(cells=tuple(cell._replace(adjusted_p=next(adjusted)) for cell in pair.cells)) for pair in pairs
    ]


def exact_mcnemar(only_a: ArrayLike, only_b: ArrayLike) -> Float64Array:
    """Two-sided exact p values of McNemar's test: binomial tests on the images where just one of two is right.

    Not mid-p (Fagerland, Lydersen and Laake 2013): with Holm's correction over a hundred cells only the outermost
    outcomes count, of which mid-p halves the chance, and some cell is wrongly decided in 9 % of samples.

    Args:
        only_a: (K,) images that only the first gets right.
        only_b: (K,) images that only the second gets right.

    Returns:
        (K,) 0-1; twice the smaller tail, which is exact where both are as likely, and 1 without such images.
    """
    from scipy.special import bdtr  # here: it takes .2 s, and most charts do without

    one, other = np.asarray(only_a), np.asarray(only_b)
    p_values: Float64Array = np.minimum(1.0, 2 * bdtr(np.minimum(one, other), one + other, 0.5))
    return p_values


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p values (Holm 1979), in the order given; SciPy has none."""
    order = np.argsort(p_values, kind="stable")
    steps = np.arange(len(order), 0, -1) * np.asarray(p_values, dtype=np.float64)[order]
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, steps))
    return [float(p) for p in adjusted]
