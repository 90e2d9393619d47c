"""Whether attention lies on the object: judged where a study claims it, of clean images too."""

from collections.abc import Iterator

import duckdb

from failmodes.analysis.judging.findings.attention_off_object import object_word
from failmodes.analysis.judging.findings.kind import Judged, kind, where
from failmodes.analysis.render.formatting import format_points_interval
from failmodes.analysis.selection import EvaluationInfo, Selection
from failmodes.analysis.statistics.attention import attention_at_last


@kind(
    "attention_on_object",
    order=125,
    section="attention",
    topic="Attention",
    claims="more of a map lies on its image's object than of another image's map",
    unit="share of attention",
    relation="attention_on_object",
    is_proposed=False,
)
def attention_on_object(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> Iterator[Judged]:
    """Clean images and each corruption at its last severity; nothing without masks or another image's map."""
    for corruption, over_null in attention_at_last(con, evaluation, selection.corruptions).over_null.items():
        word, size = ("more", over_null) if over_null.value >= 0 else ("less", -over_null)
        said = f"{where(con, corruption)} {format_points_interval(size)} {word} of the attention of {evaluation.label} "
        said += f"lie on {object_word(evaluation)} than of another image's map"
        yield Judged(over_null.is_above(0), said, selection.image_count, over_null, corruption)
