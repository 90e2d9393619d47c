"""Whether a network gives one answer to most images (mode collapse): sentences that findings and charts share."""

import duckdb

from failmodes.analysis.findings.finding import Evidence, Finding
from failmodes.analysis.formatting import (
    capitalize_first,
    format_count,
    format_interval,
    format_percent,
    format_severity,
    join_names,
    lower_label,
)
from failmodes.analysis.selection import EvaluationInfo, Selection, corruption_labels
from failmodes.analysis.statistics.answers import Collapse, find_collapse
from failmodes.warehouse.schema import CLEAN

MOST_CELLS = 12  # that a sentence lists


def answer_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """For each network that collapses to one answer, where it does most; nothing of the others."""
    names = corruption_labels(con)
    found = {evaluation: find_collapse(con, selection, evaluation) for evaluation in selection.evaluations}
    return [_finding(evaluation, collapse, names) for evaluation, collapse in found.items() if collapse]


def collapse_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """The most collapsed cell of all networks, or that there is none."""
    names = corruption_labels(con)
    found = {evaluation: find_collapse(con, selection, evaluation) for evaluation in selection.evaluations}
    collapsed = {evaluation: collapse for evaluation, collapse in found.items() if collapse}
    if not collapsed:
        return "No network is seen to give one answer to nearly all images of a cell"
    worst = max(collapsed, key=lambda evaluation: collapsed[evaluation].share)
    return _headline(worst.label, collapsed[worst], names)


def _headline(label: str, found: Collapse, names: dict[str, str]) -> str:
    where = "when clean"
    if found.corruption != CLEAN:
        where = f"under {lower_label(names[found.corruption])} at severity {format_severity(found.severity)}"
    count = f"{found.answer_count:,} of {format_count(found.image_count, 'image')}"
    return f"{capitalize_first(where)} {label} takes {count} for \u201c{found.class_name}\u201d"


def _finding(evaluation: EvaluationInfo, found: Collapse, names: dict[str, str]) -> Finding:
    sure = ""
    if found.mean_confidence is not None:
        sure = f" Its mean confidence there is {format_percent(found.mean_confidence)}."
    cells = [
        "the clean images"
        if c == CLEAN
        else f"{lower_label(names[c])} at {join_names(map(format_severity, severities))}"
        for c, severities in found.collapsed.items()
    ]
    count = sum(map(len, found.collapsed.values()))
    listed = f": {join_names(cells)}" if count <= MOST_CELLS else f" {format_count(count, 'cell')}"
    figures: Evidence = {
        "evaluation_id": evaluation.evaluation_id, "corruption": found.corruption, "severity": found.severity,
        "class_name": found.class_name, "share": found.share, "share_low": found.low, "share_high": found.high,
        "label_share": found.label_share, "mean_confidence": found.mean_confidence, "accuracy": found.accuracy,
    }  # fmt: skip
    return Finding(
        "Answers",
        f"{_headline(evaluation.label, found, names)}.",
        f"That is {format_percent(found.share)} {format_interval(found.low, found.high)} of its answers; the class has "
        f"{format_percent(found.label_share)} of the labels.{sure} Accuracy: {format_percent(found.accuracy)}. The "
        f"commonest answer is nearer to all answers than to its share of the labels in{listed} (of "
        f"{format_count(found.cell_count, 'cell')}; Wilson's intervals, Bonferroni's correction over them).",
        "found",
        figures,
    )
