"""Attention drift and changes against NumPy and SciPy."""

import duckdb
import numpy as np
import pytest
from scipy import stats

from failmodes.analysis.selection import Selection
from failmodes.analysis.statistics.attention import answer_response, changes_at_last, drift_at_last


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


def test_response_to_a_changed_answer_averages_the_cells(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    evaluation = selection.evaluations[0]
    found = answer_response(con, selection, evaluation)
    assert found is not None
    assert found.consistent is not None
    assert found.responsive is not None
    rows = con.sql(
        "from attention_by_answer where evaluation_id = $1 and corruption = any($2) "
        "qualify severity = max(severity) over (partition by corruption)",
        params=[evaluation.evaluation_id, list(selection.averaged)],
    ).pl()
    assert found.consistent.value == pytest.approx(rows["stayed_nearer_share"].mean())
    assert found.responsive.value == pytest.approx(rows["change_auroc"].mean())
    share, count = rows["stayed_nearer_share"].to_numpy(), rows["stayed_null_count"].to_numpy()
    half = stats.norm.ppf(0.975) * np.sqrt(share * (1 - share) / count).mean()
    assert found.consistent.high == pytest.approx(min(1.0, share.mean() + half))
    assert found.responsive.low < found.responsive.value < found.responsive.high
    assert found.beyond_confidence.keys() >= {"attention_spread", "attention_drift"}
