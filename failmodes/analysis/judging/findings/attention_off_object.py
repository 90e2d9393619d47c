"""Whether attention leaves the object, for datasets with object masks."""

from collections.abc import Iterator

import duckdb

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection
from failmodes.analysis.judging.findings.kind import BOTH, MASKS_REQUIRED, Judged, kind, where
from failmodes.analysis.judging.judge import above
from failmodes.analysis.render.formatting import format_points_interval
from failmodes.analysis.statistics.attention import attention_at_last
from failmodes.analysis.statistics.estimate import Estimate


@kind(
    "attention_off_object",
    order=130,
    section="attention",
    topic="Attention",
    claims="attention leaves the object",
    unit="share of attention",
    relation="attention_on_object",
    printed=BOTH,
    inconclusive=("Attention on the object", "cell"),
    without_figures=MASKS_REQUIRED,
)
def attention_off_object(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> Iterator[Judged]:
    """The change of the share of attention on the object, minus that of another image's map if the warehouse has it."""
    attention = attention_at_last(con, evaluation, selection.corruptions)
    for corruption, change in sorted(attention.mask_changes.items(), key=lambda item: -abs(item[1].value)):
        said = f"{where(con, corruption)} {_statement(evaluation, change, has_null=attention.has_mask_null)}"
        yield Judged(above(-change, 0), said, change._replace(n=selection.image_count), corruption)
    if attention.own_maps and not attention.mask_changes:
        said = f"Attention of {evaluation.label} on the object is inconclusive: the dataset has no object masks."
        yield Judged("inconclusive", said, n=selection.image_count)


def object_word(evaluation: EvaluationInfo) -> str:
    """What the object masks of the images show: the object, or the ink of a digit."""
    return "the ink" if evaluation.facts["dataset_name"] == "digits" else "the object"


def _statement(evaluation: EvaluationInfo, change: Estimate, *, has_null: bool) -> str:
    null = ", relative to another image's map," if has_null else ""
    subject = f"attention of {evaluation.label} on {object_word(evaluation)}{null}"
    if change.below_zero:
        return f"{subject} drops by {format_points_interval(-change)}"
    if change.above_zero:
        return f"{subject} rises by {format_points_interval(change)}"
    return f"{subject} changes by {format_points_interval(change)}"
