"""Six models, pairs of models decided by hand, and findings picked from many."""

from collections.abc import Iterable, Iterator
from itertools import combinations

import duckdb
import numpy as np
from scipy import stats
from synthetic_results import Synthetic

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection
from failmodes.analysis.evaluations.trained_models import TrainedModel
from failmodes.analysis.judging.findings.kind import Finding, all_kinds
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.analysis.statistics.model_pairs import PairDifference
from failmodes.analysis.statistics.shares import BETTER_MODEL_ERROR


def of_kind(findings: Iterable[Finding], kind: str, **facts: object) -> list[Finding]:
    """Findings of a kind whose fields have these values, in their order."""
    return [f for f in findings if f.kind == kind and all(getattr(f, name) == fact for name, fact in facts.items())]


def judged(con: duckdb.DuckDBPyConnection, selection: Selection, kind: str) -> list[Finding]:
    """Every statement of a kind about the evaluations of a selection, judged now."""
    return [f for one in selection.evaluations for f in all_kinds()[kind].of_evaluation(con, selection, one)]


# two stand firm, one falls most; by alphabet neither the firmest nor the weakest comes first
FALLS = {"Aspen": 1.0, "Birch": 0.0, "Cedar": 1.8, "Douglas": 1.0, "Elm": 1.0, "Fir": 0.0}
CORRUPTIONS = ("contrast", "motion_blur")
Pair = tuple[str, str]


def decided_cells(many_results: Synthetic) -> list[Pair]:
    """Pairs with a cell that is decided, as (more, less often right): see `_decided`."""
    rows = []
    for a, b in combinations(FALLS, 2):
        for x, y in _cells(many_results, a, b):
            only_a, only_b = int((x & ~y).sum()), int((y & ~x).sum())
            rows.append((_exact_p(only_a, only_b), (a, b) if only_a > only_b else (b, a)))
    return list(dict.fromkeys(_decided(rows)))


def decided_pairs(many_results: Synthetic) -> list[Pair]:
    """Pairs decided on average over cells, as (more, less often right): a normal test over images, and Holm."""
    rows = []
    for a, b in combinations(FALLS, 2):
        corrupted = list(_cells(many_results, a, b))[1:]
        p = bonett_price_p(np.mean([x.astype(float) - y for x, y in corrupted], axis=0))
        more = sum(int(x.sum()) - int(y.sum()) for x, y in corrupted) > 0
        rows.append((p, (a, b) if more else (b, a)))
    return _decided(rows, BETTER_MODEL_ERROR)


def bonett_price_p(each: np.ndarray) -> float:
    """Two-sided p of a mean of 0, of the images' values and two made-up ones, 1 and -1 (Bonett and Price 2012)."""
    added = np.append(each, [1, -1])
    return float(2 * stats.norm.sf(abs(added.mean()) / stats.sem(added, ddof=0)))


def _cells(many_results: Synthetic, a: str, b: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Correctness of both in the clean cell, then in every corrupted one."""
    for corruption, row in [(CORRUPTIONS[0], 0), *((c, r) for c in CORRUPTIONS for r in (1, 2))]:
        yield many_results.correct[a, corruption][row], many_results.correct[b, corruption][row]


def _exact_p(only_a: int, only_b: int) -> float:
    """Two-sided p value of as many images for either, by SciPy; 1 without images."""
    return float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def _decided(rows: list[tuple[float, Pair]], rate: float = 0.05) -> list[Pair]:
    """What Holm's steps reject, in order of p."""
    rejected = []
    for rank, (p, ordered) in enumerate(sorted(rows)):
        if p * (len(rows) - rank) > rate:
            break
        rejected.append(ordered)
    return rejected


def evaluation(label: str) -> EvaluationInfo:
    return EvaluationInfo(label, label, {"training_recipe": None, "architecture": label})


def difference(a: str, b: str, value: float, p: float = 0.001) -> PairDifference:
    """Mean corrupted accuracy of a minus that of b, with an interval of .02 to either side."""
    models = [TrainedModel(label, (evaluation(label),)) for label in (a, b)]
    return PairDifference(*models, Estimate(value, value - 0.02, value + 0.02, n=100, p_value=p), p)
