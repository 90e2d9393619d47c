"""Whether a score tells which image fails next: findings, and the sentence that stands above the chart."""

import duckdb

from failmodes.analysis.findings.finding import Finding, judged, of_images, rows_of
from failmodes.analysis.formatting import capitalize_first, format_percent_interval, join_names
from failmodes.analysis.selection import EvaluationInfo, Selection
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.early_warning import (
    BEYOND_MARGIN,
    SCORES,
    PredictorGain,
    early_warning,
    is_found,
    shares_found,
)

MOST_NAMED = 2  # models in a title
PREDICTOR_NAMES = {
    "margin": "margin", "confidence": "confidence", "entropy": "entropy", "drift": "attention drift",
    "drift_beyond_margin": "drift beyond margin",
}  # fmt: skip


def early_warning_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """For each model and score, whether it tells which images fail next; nothing where there is no figure."""
    found = {e: early_warning(con, selection, e) for e in selection.evaluations}
    return [
        _finding(e, name, one, one.share)
        for e, predictors in found.items()
        for name, one in predictors.items()
        if one.share
    ]


def _finding(evaluation: EvaluationInfo, name: str, found: PredictorGain, share: Estimate) -> Finding:
    verb = "tells" if is_found(found) else "is not shown to tell"
    reference = "margin" if name == BEYOND_MARGIN else "corruption and severity"
    return judged(
        "early_warning",
        "supported" if is_found(found) else "inconclusive",
        evaluation,
        f"{capitalize_first(PREDICTOR_NAMES[name])} {verb} which images {evaluation.label} fails next: it saves "
        f"{format_percent_interval(share)} of the log-loss of {reference} alone {of_images(found.images)}.",
        rows_of("margin_before_failure", evaluation),
        n=found.images,
        unit="share of log-loss",
        estimate=share,
        claim=name,
    )


def early_warning_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Which score tells most of the next failure beyond corruption and severity: of each model, or of many in number.

    It says so only where the gain is above zero after Holm's correction.
    """
    found = {e.label: early_warning(con, selection, e) for e in selection.evaluations}
    known = {label: shares_found(one) for label, one in found.items() if any(one[s].gain for s in SCORES)}
    helped = {label: shares for label, shares in known.items() if shares}
    if not known:
        return "Whether a score sees the next failure coming cannot be said of these images"
    if not helped:
        where = next(iter(known)) if len(known) == 1 else f"any of {len(known)} models"
        return f"No score is shown to tell, beyond corruption and severity, which image fails next in {where}"
    if len(known) > MOST_NAMED:
        return (
            f"Beyond corruption and severity, some score tells the next failure in {len(helped)} of {len(known)} models"
        )
    each = join_names(f"in {label} {_best(shares)}" for label, shares in helped.items())
    rest = "".join(f"; in {label} no score is shown to help" for label in known.keys() - helped.keys())
    return f"{capitalize_first(each)} of what corruption and severity leave open about the next failure{rest}"


def _best(shares: dict[str, Estimate]) -> str:
    score, share = next(iter(shares.items()))
    return f"{PREDICTOR_NAMES[score]} tells {format_percent_interval(share)}"
