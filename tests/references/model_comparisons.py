"""Eleven networks, and pairs of networks decided by hand."""

from itertools import combinations

from scipy import stats
from synthetic_record import Synthetic

from failmodes.analysis.findings.finding import Finding
from failmodes.analysis.selection import EvaluationInfo
from failmodes.analysis.statistics.mcnemar import CellTest, PairTest


def of_topic(all_findings: list[Finding], topic: str, verdict: str = "") -> list[Finding]:
    return [f for f in all_findings if f.topic == topic and verdict in ("", f.verdict)]


# two stand firm, one falls most; by alphabet neither the firmest nor the weakest comes first
FALLS = {"Aspen": 1.0, "Birch": 0.0, "Cedar": 1.8, "Douglas": 1.0, "Elm": 1.0, "Fir": 0.0}
CORRUPTIONS = ("contrast", "motion_blur")


def decided_by_hand(many_record: Synthetic) -> list[tuple[str, str]]:
    """Pairs decided at 0.05 by SciPy's exact test and Holm over all cells, written as (more, less often right)."""
    rows = []
    for a, b in combinations(FALLS, 2):
        for corruption, row in [(CORRUPTIONS[0], 0), *((c, r) for c in CORRUPTIONS for r in (1, 2))]:
            x, y = many_record.correct[a, corruption][row], many_record.correct[b, corruption][row]
            only_a, only_b = int((x & ~y).sum()), int((y & ~x).sum())
            p = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
            rows.append((p, (a, b) if only_a > only_b else (b, a)))
    rejected = []
    for rank, (p, ordered) in enumerate(sorted(rows)):
        if p * (len(rows) - rank) >= 0.05:
            break
        rejected.append(ordered)
    return [ordered for ordered in dict.fromkeys(rejected) if ordered[::-1] not in rejected]


def evaluation(label: str) -> EvaluationInfo:
    return EvaluationInfo(label, label, {"training_recipe": None, "architecture": label})


def pair(a: str, b: str, *counts: tuple[int, int]) -> PairTest:
    cells = tuple(CellTest("fog", severity, x, y) for severity, (x, y) in enumerate(counts))
    return PairTest(evaluation(a), evaluation(b), cells)
