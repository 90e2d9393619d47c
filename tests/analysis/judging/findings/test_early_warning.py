"""What is said of failures seen coming: the best score of one or two models, of more the counts, and nothing else."""

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
BEST = "entropy tells 30.0% [29.0,\u00a031.0]"


def shown(shares: dict[str, float]) -> dict[str, PredictorGain]:
    """Scores with these shares; found where above 0, the others without a figure."""
    gains = {}
    for name, value in shares.items():
        share = Estimate(value, value - 0.01, value + 0.01)
        gains[name] = PredictorGain(share, share, float(value <= 0), 200, 900, 90)
    none = PredictorGain(None, None, None, 200, 900, 90, "few")
    return {name: gains.get(name, none) for name in COMPARED}


CASES = {
    "one": ([SEEN], f"In A {BEST} of what corruption and severity leave open about the next failure"),
    "two": ([SEEN, {"margin": 0.1}], f"In A {BEST} and in B margin tells 10.0% [9.0,\u00a011.0] of what "
            "corruption and severity leave open about the next failure"),
    "one of two": ([NOTHING, SEEN], f"In B {BEST} of what corruption and severity leave open about the next failure; "
                   "in A no score is shown to help"),
    "none": ([NOTHING], "No score is shown to tell, beyond corruption and severity, which image fails next in A"),
    "none of many": ([NOTHING] * 3, "No score is shown to tell, beyond corruption and severity, which image fails next "
                     "in any of 3 models"),
    "many": ([NOTHING, {"margin": 0.1}, SEEN, {"margin": 0.05}, UNKNOWN],
             "Beyond corruption and severity, some score tells the next failure in 3 of 4 models"),
    "unknown": ([UNKNOWN], "Whether a score sees the next failure coming cannot be said of these images"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_sentences_name_two_models_at_most(
    con: duckdb.DuckDBPyConnection, selection: Selection, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    shares, sentence = CASES[case]
    found = {label: shown(part) for label, part in zip("ABCDE", shares, strict=False)}
    for user in (module, chart):
        monkeypatch.setattr(user, "early_warning", lambda _con, _selection, evaluation: found[evaluation.label])
    chosen = replace(selection, evaluations=tuple(EvaluationInfo(label, label, {}) for label in found))
    text = chart.early_warning_sentence(con, chosen)
    assert text == sentence
    assert len(text.split(" ")) <= 30
    for finding in judged(con, chosen, "early_warning"):
        share = shares["ABCDE".index(finding.model_label)][finding.claim]
        assert (finding.verdict, finding.value) == ("supported" if share > 0 else "inconclusive", share)
        assert len(finding.sentence.split(" ")) <= 30
