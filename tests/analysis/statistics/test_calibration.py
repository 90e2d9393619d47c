"""Overconfidence and confident failures against NumPy."""

import duckdb
import pytest

from failmodes.analysis.selection import Selection
from failmodes.analysis.statistics.calibration import calibration_summary


def test_confidence_agrees_with_numpy(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    evaluation = selection.evaluations[0]
    rows = con.sql(
        "select confidence, correct from outcomes where evaluation_id = ? and severity = 5",
        params=[evaluation.evaluation_id],
    ).pl()
    found = calibration_summary(con, selection, evaluation)
    wrong = rows.filter(~rows["correct"])
    assert found.last_overconfidence.value == pytest.approx(
        float((rows["confidence"] - rows["correct"].cast(int)).mean()), abs=1e-6
    )
    assert found.failure_count == len(wrong)
    assert found.confident_failures is not None
    assert found.confident_failures.value == pytest.approx(float((wrong["confidence"] >= 0.9).mean()))
    assert found.confident_failures.low < found.confident_failures.value < found.confident_failures.high
