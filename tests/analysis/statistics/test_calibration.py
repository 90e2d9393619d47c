"""Overconfidence of every cell over its finite rows, against the rows."""

from pathlib import Path

import duckdb
import pytest
from opened_results import opened
from rewritten_shards import cell_of, make_non_finite
from scipy import stats
from synthetic_results import Synthetic

from failmodes.analysis.selection import Selection
from failmodes.analysis.statistics.calibration import clean_calibration, overconfidence, overconfidence_by_corruption


def test_every_cell_agrees_with_its_rows(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    evaluation = selection.evaluations[0]
    found = overconfidence_by_corruption(con, selection, evaluation)
    assert {(cell.corruption, cell.severity) for cell in found} == {
        ("none", 0),
        *((c, 5) for c in selection.corruptions),
    }
    query = "select confidence, correct from outcomes where evaluation_id = ? and corruption = ? and severity = ?"
    for cell in found:
        rows = con.execute(query, [evaluation.evaluation_id, cell.corruption, cell.severity]).fetchnumpy()
        confidence, correct = rows["confidence"], rows["correct"]
        gaps, confident = confidence - correct, confidence.mean()
        assert cell.overconfidence.value == pytest.approx(gaps.mean())
        exact = stats.binomtest(int(correct.sum()), 400).proportion_ci(1 - 0.05 / len(found), method="exact")
        half = stats.norm.ppf(1 - 0.025 / len(found)) * gaps.std() / 400**0.5
        ends = min(confident - exact.high, gaps.mean() - half), max(confident - exact.low, gaps.mean() + half)
        assert cell.overconfidence[1:] == pytest.approx(ends)
    sizes = [abs(cell.overconfidence.value) for cell in found]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(("confidence", "cells", "signs"), [(0.95, 1, (True, False)), (0.6, 1, (False, True)),
                         (0.85, 1, (False, False)), (0.89, 1, (True, False)), (0.89, 50, (False, False))])  # fmt: skip
def test_verdicts_say_over_and_underconfident(confidence: float, cells: int, signs: tuple[bool, bool]) -> None:
    """Of 80 right in 100; of many cells some are so by chance."""
    found = overconfidence(confidence, 80, 100, cells=cells)
    assert (found.above_zero, found.below_zero) == signs


def test_confidence_and_accuracy_are_of_the_same_finite_rows(tmp_path: Path) -> None:
    def spoil(made: Synthetic) -> None:
        make_non_finite(made, cell_of(made, "Alpha", "fog", 5), range(20))
        make_non_finite(made, cell_of(made, "Alpha"))

    options = {"images": 60, "models": ("Alpha",), "corruptions": ("fog",), "severities": (5,)}
    with opened(tmp_path, spoil, **options) as it:
        (fog,) = overconfidence_by_corruption(*it.first)
        query = "select avg(confidence) from outcomes where severity = 5 and finite"
        ((confidence,),) = it.con.execute(query).fetchall()
        assert clean_calibration(*it.first) is None, "no clean row is finite"
    assert fog.image_count == 40
    assert fog.overconfidence.value == pytest.approx(confidence - it.made.correct["Alpha", "fog"][-1][20:].mean())
