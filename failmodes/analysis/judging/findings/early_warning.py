"""Early warning: whether a score predicts which images fail at the next severity."""

from collections.abc import Iterator

import duckdb

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection
from failmodes.analysis.judging.findings.kind import Judged, kind
from failmodes.analysis.render.formatting import capitalize_first, format_percent_interval
from failmodes.analysis.statistics.early_warning import BEYOND_MARGIN, early_warning, is_found

PREDICTOR_NAMES = {
    "margin": "margin", "confidence": "confidence", "entropy": "entropy", "drift": "attention drift",
    "drift_beyond_margin": "drift beyond margin",
}  # fmt: skip


@kind(
    "early_warning",
    order=110,
    section="failure-prediction",
    topic="Early warning",
    claims="a score predicts failures at the next severity better than corruption and severity alone",
    unit="share of log-loss",
    relation="margin_before_failure",
    inconclusive=("Early warning", "score"),
)
def early_warnings(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> Iterator[Judged]:
    """Each score that has a value."""
    gains = early_warning(con, selection, evaluation)
    for name, gain in sorted(gains.items(), key=lambda item: -item[1].share.value if item[1].share else 0.0):
        if gain.share is None:
            continue
        share = format_percent_interval(gain.share)
        verb = "is not shown to predict"
        size = f"gain of {share} over the log-loss of"
        if is_found(gain):
            verb = "predicts"
            size = f"{share} lower log-loss than"
        reference = "margin" if name == BEYOND_MARGIN else "corruption and severity"
        yield Judged(
            "supported" if is_found(gain) else "inconclusive",
            f"{capitalize_first(PREDICTOR_NAMES[name])} {verb} which images {evaluation.label} misclassifies at the "
            f"next severity: {size} {reference} alone",
            gain.share._replace(n=gain.images, p_value=gain.adjusted_p),
            claim=name,
        )
