"""Overconfidence of every cell over its finite rows, and calibration error beside its noise, against the rows."""

from pathlib import Path

import duckdb
import pytest
from rewritten_shards import cell_of, make_non_finite
from scipy import stats
from synthetic_results import write_synthetic

from failmodes.analysis.selection import Selection, select_one
from failmodes.analysis.statistics.calibration import (
    overconfidence,
    overconfidence_by_corruption,
)
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load


def test_every_cell_agrees_with_its_rows(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    evaluation = selection.evaluations[0]
    found = overconfidence_by_corruption(con, selection, evaluation)
    assert {cell.corruption for cell in found} == {"none", *selection.corruptions}
    for cell in found:
        assert cell.severity == (0 if cell.corruption == "none" else 5)
        confidence, correct = (
            con.sql(
                "select confidence, correct from outcomes where evaluation_id = ? and corruption = ? and severity = ?",
                params=[evaluation.evaluation_id, cell.corruption, cell.severity],
            ).fetchnumpy().values()
        )  # fmt: skip
        assert cell.image_count == len(confidence) == 400
        assert cell.mean_confidence == pytest.approx(confidence.mean())
        assert cell.overconfidence.value == pytest.approx(confidence.mean() - correct.mean())
        exact = stats.binomtest(int(correct.sum()), 400).proportion_ci(1 - 0.05 / len(found), method="exact")
        gaps = confidence - correct
        half = stats.norm.ppf(1 - 0.025 / len(found)) * gaps.std() / 400**0.5
        ends = (
            min(confidence.mean() - exact.high, gaps.mean() - half),
            max(confidence.mean() - exact.low, gaps.mean() + half),
        )
        assert cell.overconfidence[1:] == pytest.approx(ends)
    sizes = [abs(cell.overconfidence.value) for cell in found]
    assert sizes == sorted(sizes, reverse=True)


def test_verdicts_say_over_and_underconfident() -> None:
    over, under, neither = (overconfidence(confidence, 80, 100) for confidence in (0.95, 0.6, 0.85))
    assert (over.above_zero, over.below_zero) == (True, False)
    assert (under.above_zero, under.below_zero) == (False, True)
    assert (neither.above_zero, neither.below_zero) == (False, False)
    assert overconfidence(0.89, 80, 100).above_zero
    assert not overconfidence(0.89, 80, 100, cells=50).above_zero, "of many cells some are so by chance"


@pytest.mark.slow
def test_confidence_and_accuracy_are_of_the_same_finite_rows(tmp_path: Path) -> None:
    made = write_synthetic(tmp_path, images=60, models=("Alpha",), corruptions=("fog",), severities=(2, 5))
    make_non_finite(made, cell_of(made, "Alpha", "fog", 5), range(20))
    load([tmp_path], tmp_path / "w.duckdb")
    with open_warehouse(tmp_path / "w.duckdb") as con:
        selection = select_one(con)
        found = {c.corruption: c for c in overconfidence_by_corruption(con, selection, selection.evaluations[0])}
        confidence = con.execute(
            "select avg(confidence) from outcomes where corruption = 'fog' and severity = 5 and finite"
        ).fetchall()
    fog = found["fog"]
    assert fog.image_count == 40
    assert fog.overconfidence.value == pytest.approx(confidence[0][0] - made.correct["Alpha", "fog"][-1][20:].mean())
    assert found["none"].image_count == 60
