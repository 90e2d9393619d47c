"""Attention drift and changes against NumPy and SciPy."""

import duckdb
import numpy as np
import pytest
from scipy import stats

from failmodes.analysis.selection import Selection
from failmodes.analysis.statistics.attention import changes_at_last, drift_at_last


def test_drift_and_changes_agree_with_numpy(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    evaluation = selection.evaluations[0]
    rows = con.sql(
        "select * from attention where evaluation_id = ? and target = 'clean'", params=[evaluation.evaluation_id]
    ).pl()
    fog = rows.filter(corruption="fog", severity=5)
    drift = next(d for d in drift_at_last(con, selection, evaluation) if d.corruption == "fog")
    difference = (fog["null_centroid_shift"] - fog["centroid_shift"]).to_numpy().astype(float)
    low, high = stats.norm.interval(0.95, difference.mean(), stats.sem(difference))
    assert drift.below_null == pytest.approx((difference.mean(), low, high), abs=1e-6)
    assert drift.median_shift == pytest.approx(float(np.median(fog["centroid_shift"])), abs=1e-6)
    change = changes_at_last(con, selection, evaluation)["mass"]
    assert change.clean == pytest.approx(rows.filter(corruption="none")["mass"].mean(), abs=1e-4)
    assert change.change.below_zero
