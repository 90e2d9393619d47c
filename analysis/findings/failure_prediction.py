"""Whether confidence tells failures from right answers: sentences that findings and charts share."""

import duckdb

from failmodes.analysis.findings.finding import Evidence, Finding
from failmodes.analysis.formatting import (
    capitalize_first,
    format_count,
    format_number,
    format_number_interval,
    format_percent,
    format_percent_interval,
    format_severity,
    join_names,
    lower_label,
)
from failmodes.analysis.selection import EvaluationInfo, Selection, corruption_labels
from failmodes.analysis.statistics.failure_prediction import (
    CHANCE,
    KEPT_SHARE,
    FailurePrediction,
    has_failure_scores,
    predict_failures,
)

MOST_NAMED = 2  # networks in a title
SCORE_NAMES = {
    "confidence": "confidence", "margin": "margin", "entropy": "entropy", "energy": "energy", "logit_gap": "logit gap",
    "attention_spread": "attention spread", "attention_drift": "attention drift",
}  # fmt: skip


def failure_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """For each network, where its confidence tells failures from right answers least; nothing without the measure."""
    names = corruption_labels(con)
    if not has_failure_scores(con):
        return []
    found = {e: predict_failures(con, selection, e) for e in selection.evaluations}
    return [_finding(e, one, names, selection.averaged_phrase) for e, one in found.items() if one]


def discrimination_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Where confidence tells failures from right answers least: of each network, or of many the lowest."""
    names = corruption_labels(con)
    found = {e.label: predict_failures(con, selection, e) for e in selection.evaluations}
    known = {label: one for label, one in found.items() if one}
    if not known:
        return "Too few failures, or right answers, to tell one from the other"
    if len(known) > MOST_NAMED:
        lowest = min(known, key=lambda label: known[label].lowest.auroc.value)
        known = {lowest: known[lowest]}
    each = [
        f"in {label} {_where(one, names)} (AUROC {format_number_interval(one.lowest.auroc)})"
        for label, one in known.items()
    ]
    return f"Confidence tells failures from right answers least well {join_names(each)}"


def abstention_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """What abstaining on the least sure images gains at the last severity: of each network, or of many the range."""
    found = {e.label: predict_failures(con, selection, e) for e in selection.evaluations}
    known = {label: one for label, one in found.items() if one}
    if not known:
        return "Too few failures, or right answers, to tell one from the other"
    start = (
        f"Abstaining on the least sure {format_percent(1 - KEPT_SHARE, 0)} takes the error rate at the last severity"
    )
    if len(known) > MOST_NAMED:
        gain = {label: one.error_rate.value - one.error_rate_kept.value for label, one in known.items()}
        ends = {least: known[least] for least in (min(gain, key=gain.__getitem__), max(gain, key=gain.__getitem__))}
        start = f"{start}, of {len(known)} networks with the smallest and the largest gain,"
        known = ends
    each = [
        f"from {format_percent(one.error_rate.value)} to {format_percent_interval(one.error_rate_kept)} in {label}"
        for label, one in known.items()
    ]
    return f"{start} {join_names(each)}"


def _finding(evaluation: EvaluationInfo, found: FailurePrediction, names: dict[str, str], averaged: str) -> Finding:
    is_lower = found.clean is not None and found.lowest.auroc.high < found.clean.low
    clean = (
        "too few failures or right answers there"
        if found.clean is None
        else f"AUROC {format_number_interval(found.clean)}"
    )
    count = sum(map(len, found.worse_than_chance.values()))
    cells = format_count(found.cell_count, "corrupted cell")
    worse = "In none of them is it worse than chance beyond its interval."
    if count:
        listed = (
            f"{lower_label(names[c])} at {join_names(map(format_severity, levels))}"
            for c, levels in found.worse_than_chance.items()
        )
        worse = f"In {count} of them it is worse than chance: {join_names(listed)}."
    scores = join_names(
        f"{SCORE_NAMES[score]} {format_number_interval(value)}" for score, value in found.by_score.items()
    )
    if "attention_drift" in found.by_score:
        scores += " (attention drift needs the clean image, which is not at hand in use)"
    figures: Evidence = {
        "evaluation_id": evaluation.evaluation_id, "lowest_auroc": found.lowest.auroc.value,
        "lowest_auroc_low": found.lowest.auroc.low, "lowest_auroc_high": found.lowest.auroc.high,
        "clean_auroc": found.clean.value if found.clean else None, "worse_than_chance_count": count,
        "error_rate": found.error_rate.value, "error_rate_kept": found.error_rate_kept.value,
        **{f"auroc_{score}": value.value for score, value in found.by_score.items()},
    }  # fmt: skip
    return Finding(
        "Failure prediction",
        f"{capitalize_first(_where(found, names))} the confidence of {evaluation.label} tells its failures from its "
        f"right answers least well: AUROC {format_number_interval(found.lowest.auroc)}.",
        f"{format_number(CHANCE)} is chance; the interval holds for all {cells} together. {worse} "
        f"On clean images: {clean}. At the last severity, averaged over {averaged}: AUROC of {scores}; keeping "
        f"the surest {format_percent(KEPT_SHARE, 0)} by confidence takes the error rate from "
        f"{format_percent_interval(found.error_rate)} to {format_percent_interval(found.error_rate_kept)}.",
        "found" if is_lower else "undecided",
        figures,
    )


def _where(found: FailurePrediction, names: dict[str, str]) -> str:
    return f"under {lower_label(names[found.lowest.corruption])} at severity {format_severity(found.lowest.severity)}"
