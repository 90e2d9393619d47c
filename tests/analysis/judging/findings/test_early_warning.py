"""Findings of early warning: a score is found where it saves log-loss."""

import duckdb
import pytest
from checkpoint_comparisons import judged

from failmodes.analysis.judging.findings import early_warning as module
from failmodes.analysis.selection import Selection
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.early_warning import COMPARED, PredictorGain


def test_scores_are_found_where_they_save_log_loss(
    con: duckdb.DuckDBPyConnection, selection: Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    gains = dict.fromkeys(COMPARED, PredictorGain(None, None, None, 200, 900, 90, "few"))
    for name, value in (("margin", 0.2), ("entropy", -0.1)):
        share = Estimate(value, value - 0.01, value + 0.01)
        gains[name] = PredictorGain(share, share, float(value <= 0), 200, 900, 90)
    monkeypatch.setattr(module, "early_warning", lambda *_: gains)
    found = judged(con, selection, "early_warning")
    assert {(one.claim, one.verdict, one.value) for one in found} >= {
        ("margin", "supported", 0.2), ("entropy", "inconclusive", -0.1),
    }  # fmt: skip
    assert {one.verdict for one in found if one.claim not in ("margin", "entropy")} <= {"inconclusive"}
