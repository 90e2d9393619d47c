"""Findings of early warning, and the title of its chart: the best score of up to two models, of more a count."""

from dataclasses import replace

import duckdb
import pytest
from checkpoint_comparisons import judged

from failmodes.analysis.charts import early_warning as chart
from failmodes.analysis.judging.findings import early_warning as module
from failmodes.analysis.selection import EvaluationInfo, Selection
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.early_warning import COMPARED, PredictorGain

SEEN, NOTHING, UNKNOWN = {"margin": 0.2, "entropy": 0.3}, {"margin": -0.01}, {}


def shown(shares: dict[str, float]) -> dict[str, PredictorGain]:
    """Scores with these shares; found where above 0, the others without a figure."""
    gains = {}
    for name, value in shares.items():
        share = Estimate(value, value - 0.01, value + 0.01)
        gains[name] = PredictorGain(share, share, float(value <= 0), 200, 900, 90)
    none = PredictorGain(None, None, None, 200, 900, 90, "few")
    return {name: gains.get(name, none) for name in COMPARED}


CASES = {
    "one": ([SEEN], "Entropy tells which images A fails next: it saves 30.0% [29.0,\u00a031.0]"),
    "none": ([NOTHING], "A has no score"),
    "one of two": ([NOTHING, SEEN], "A has no score that is shown to predict failure at the next severity. Entropy"),
    "many": ([NOTHING, {"margin": 0.1}, SEEN, {"margin": 0.05}, UNKNOWN], "A score predicts failures"),
}


@pytest.mark.parametrize("case", CASES)
def test_scores_are_found_where_they_save_log_loss(
    con: duckdb.DuckDBPyConnection, selection: Selection, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    shares, start = CASES[case]
    found = {label: shown(part) for label, part in zip("ABCDE", shares, strict=False)}
    for user in (module, chart):
        monkeypatch.setattr(user, "early_warning", lambda _con, _selection, evaluation: found[evaluation.label])
    facts = selection.shared
    chosen = replace(selection, evaluations=tuple(EvaluationInfo(label, label, facts) for label in found))
    title = chart.chart(con, chosen).title
    assert title.startswith(start)
    assert case != "many" or title.endswith("for 3 of 5 models")
    for finding in judged(con, chosen, "early_warning"):
        share = shares["ABCDE".index(finding.model_label)][finding.claim]
        assert (finding.verdict, finding.value) == ("supported" if share > 0 else "inconclusive", share)
        assert len(finding.sentence.split(" ")) <= 30
