"""Whether confidence tells failures from right answers: sentences that findings and charts share."""

from collections.abc import Sequence

import duckdb

from failmodes.analysis.findings.finding import Finding, judged, of_images, rows_of
from failmodes.analysis.formatting import (
    format_count,
    format_number_interval,
    format_percent,
    format_percent_interval,
    format_severity,
    join_names,
    lower_label,
)
from failmodes.analysis.selection import EvaluationInfo, Selection, corruption_labels
from failmodes.analysis.statistics.failure_prediction import (
    KEPT_SHARE,
    CellAuroc,
    FailurePrediction,
    predict_failures,
)

MOST_NAMED = 2  # models in a title
SCORE_NAMES = {
    "confidence": "confidence", "margin": "margin", "entropy": "entropy", "energy": "energy", "logit_gap": "logit gap",
    "attention_spread": "attention spread", "attention_drift": "attention drift",
}  # fmt: skip


def failure_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """For each model and corruption, whether its confidence finds failures worse than chance, where it is lowest."""
    names = corruption_labels(con)
    found = {e: predict_failures(con, selection, e) for e in selection.evaluations}
    return [_finding(e, cell, names) for e, one in found.items() if one for cell in _lowest(one)]


def discrimination_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """In how many cells confidence tells failures from right answers, and in how many it is worse than chance."""
    found = {e.label: predict_failures(con, selection, e) for e in selection.evaluations}
    known = {label: one for label, one in found.items() if one}
    if not known:
        return "Too few failures, or right answers, to tell one from the other"
    start = "Confidence tells failures from right answers"
    if len(known) > MOST_NAMED:
        cells = [cell for one in known.values() for cell in one.cells]
        return f"{start} in {_counted(cells)} of {len(known)} models"
    return f"{start} in {join_names(f'{_counted(one.cells)} of {label}' for label, one in known.items())}"


def _counted(cells: Sequence[CellAuroc]) -> str:
    """85 of 90 cells (worse than chance in 2)."""
    below, above = (sum(cell.verdict == verdict for cell in cells) for verdict in ("supported", "contradicted"))
    worse = f" (worse than chance in {below})" if below else ""
    return f"{above:,} of {format_count(len(cells), 'cell')}{worse}"


def _lowest(found: FailurePrediction) -> list[CellAuroc]:
    """The cell of the lowest AUROC of each corruption, the lowest first."""
    first: dict[str, CellAuroc] = {}
    for cell in found.cells:
        first.setdefault(cell.corruption, cell)
    return list(first.values())


def abstention_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """What abstaining on the least sure images gains at the last severity: of each model, or of many the range."""
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
        start = f"{start}, of {len(known)} models with the smallest and the largest gain,"
        known = ends
    each = [
        f"from {format_percent(one.error_rate.value)} to {format_percent_interval(one.error_rate_kept)} in {label}"
        for label, one in known.items()
    ]
    return f"{start} {join_names(each)}"


def _finding(evaluation: EvaluationInfo, cell: CellAuroc, names: dict[str, str]) -> Finding:
    where = f"Under {lower_label(names[cell.corruption])} at severity {format_severity(cell.severity)}"
    phrase = {
        "supported": "finds its failures worse than chance",
        "contradicted": "finds its failures better than chance",
        "inconclusive": "is not shown to find its failures",
    }[cell.verdict]
    return judged(
        "confidence_below_chance",
        cell.verdict,
        evaluation,
        f"{where} the confidence of {evaluation.label} {phrase}: AUROC {format_number_interval(cell.auroc)} "
        f"{of_images(cell.image_count)}.",
        rows_of("failure_prediction", evaluation, cell.corruption) + " and score = 'confidence'",
        n=cell.image_count,
        unit="AUROC",
        estimate=cell.auroc,
        corruption=cell.corruption,
        severity=cell.severity,
    )
