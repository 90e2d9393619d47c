"""Whether attention leaves the object, where there are object masks."""

from collections.abc import Iterator

import duckdb

from failmodes.analysis.judging.findings.kind import BOTH, Judged, kind, where
from failmodes.analysis.render.formatting import format_points_interval
from failmodes.analysis.selection import EvaluationInfo, Selection
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
    inconclusive=("Whether attention leaves the object", "cell"),
    without_figures="object masks would decide",
)
def attention_off_object(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> Iterator[Judged]:
    """The change of the share of attention on the object, beyond that of another image's map where it is on record."""
    attention, n = attention_at_last(con, evaluation, selection.corruptions), selection.image_count
    for corruption, change in sorted(attention.mask_changes.items(), key=lambda item: -abs(item[1].value)):
        said = f"{where(con, corruption)} {_statement(evaluation, change, has_null=attention.has_mask_null)}"
        p_value = attention.mask_p_values[corruption]
        yield Judged((-change).is_above(0), said, n, change, corruption, p_value=p_value)
    if attention.own_maps and not attention.mask_changes:
        said = f"Whether attention of {evaluation.label} leaves the object is inconclusive: there are no object masks."
        yield Judged("inconclusive", said, n)


def object_word(evaluation: EvaluationInfo) -> str:
    """What the masks of an evaluation's images show."""
    return "the ink" if evaluation.facts["dataset_name"] == "digits" else "the object"


def _statement(evaluation: EvaluationInfo, change: Estimate, *, has_null: bool) -> str:
    label, mask = evaluation.label, object_word(evaluation)
    if change.below_zero:
        null = ", beyond what another image's map loses there" if has_null else ""
        return f"{format_points_interval(-change)} of the attention of {label} leave {mask}{null}"
    if change.above_zero:
        null = ", beyond what another image's map gains there" if has_null else ""
        return f"{format_points_interval(change)} more of the attention of {label} lie on {mask}{null}"
    null = ", less that of another image's map," if has_null else ""
    return f"the share of attention of {label} on {mask}{null} changes by {format_points_interval(change)}"
