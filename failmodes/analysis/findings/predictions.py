"""Whether a model gives one answer to most images (mode collapse), and classes far below the others."""

import duckdb

from failmodes.analysis.findings.finding import Finding, judged, of_images, rows_of
from failmodes.analysis.formatting import (
    format_count,
    format_percent,
    format_percent_interval,
    format_points,
    format_points_interval,
    format_severity,
    lower_label,
)
from failmodes.analysis.selection import EvaluationInfo, Selection, corruption_labels
from failmodes.analysis.statistics.predictions import (
    CLASS_GAP,
    ClassGap,
    Collapse,
    class_gaps,
    collapse_by_corruption,
    find_collapse,
)
from failmodes.warehouse.schema import CLEAN

Names = dict[str, str]


def prediction_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """For each model and corruption, whether it collapses to one answer."""
    names = corruption_labels(con)
    return [
        _collapse(evaluation, found, names)
        for evaluation in selection.evaluations
        for found in collapse_by_corruption(con, selection, evaluation)
    ]


def class_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """For each model and corruption, whether a class lies far below the others at some severity."""
    names = corruption_labels(con)
    return [
        _class_gap(evaluation, found, names)
        for evaluation in selection.evaluations
        for found in class_gaps(con, selection, evaluation)
    ]


def collapse_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """The most collapsed cell of all models, or that there is none."""
    names = corruption_labels(con)
    found = {evaluation: find_collapse(con, selection, evaluation) for evaluation in selection.evaluations}
    collapsed = {evaluation: collapse for evaluation, collapse in found.items() if collapse}
    if not collapsed:
        return "No model is seen to give one answer to nearly all images of a cell"
    worst = max(collapsed, key=lambda evaluation: collapsed[evaluation].share.value)
    return _predictions(worst.label, collapsed[worst], names)


def _predictions(label: str, found: Collapse, names: Names) -> str:
    return f"{_where(found, names)} {label} {given_predictions(found)}"


def given_predictions(found: Collapse) -> str:
    """How many images get the commonest answer: answers “eight” to 498 of 500 images."""
    count = f"{found.predicted_count:,} of {format_count(found.image_count, 'image')}"
    return f"answers \u201c{found.class_name}\u201d to {count}"


def _where(found: Collapse, names: Names) -> str:
    if found.corruption == CLEAN:
        return "When clean"
    return f"Under {lower_label(names[found.corruption])} at severity {format_severity(found.severity)}"


def _collapse(evaluation: EvaluationInfo, found: Collapse, names: Names) -> Finding:
    said = f"{_predictions(evaluation.label, found, names)}: {format_percent_interval(found.share)} of its answers."
    if found.verdict != "supported":
        said = (
            f"{_where(found, names)} {evaluation.label} answers \u201c{found.class_name}\u201d most often: "
            f"{format_percent_interval(found.share)} {of_images(found.image_count)}."
        )
    return judged(
        "prediction_collapse",
        found.verdict,
        evaluation,
        said,
        rows_of("predictions_by_severity", evaluation, None if found.corruption == CLEAN else found.corruption),
        n=found.image_count,
        unit="share of answers",
        estimate=found.share,
        corruption=found.corruption,
        severity=found.severity,
    )


def _class_gap(evaluation: EvaluationInfo, found: ClassGap, names: Names) -> Finding:
    where = f"Under {lower_label(names[found.corruption])} at severity {format_severity(found.severity)}"
    said = (
        f"{where} {evaluation.label} is right on {format_percent(found.accuracy)} of \u201c{found.class_name}\u201d, "
        f"{format_points_interval(found.gap)} below the other classes {of_images(found.image_count)}."
    )
    if found.verdict != "supported":
        said = (
            f"{where} no class of {evaluation.label} is shown to lie {format_points(CLASS_GAP, 0)} below the others: "
            f"at most {format_points_interval(found.gap)} {of_images(found.image_count)}."
        )
    return judged(
        "class_failure",
        found.verdict,
        evaluation,
        said,
        rows_of("accuracy_by_class", evaluation, found.corruption),
        n=found.image_count,
        unit="accuracy",
        estimate=found.gap,
        corruption=found.corruption,
        severity=found.severity,
    )
