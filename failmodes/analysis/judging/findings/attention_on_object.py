"""Whether attention is on the object: judged only for claims, for clean images too."""

from collections.abc import Iterator

import duckdb

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection
from failmodes.analysis.judging.findings.attention_off_object import object_word
from failmodes.analysis.judging.findings.kind import MASKS_REQUIRED, Judged, kind, where
from failmodes.analysis.judging.judge import above
from failmodes.analysis.render.formatting import format_points_interval
from failmodes.analysis.statistics.attention import attention_at_last


@kind(
    "attention_on_object",
    order=125,
    section="attention",
    topic="Attention",
    claims="a map has more attention on its image's object than another image's map",
    unit="share of attention",
    relation="attention_on_object",
    is_proposed=False,
    without_figures=MASKS_REQUIRED,
)
def attention_on_object(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> Iterator[Judged]:
    """Clean images and each corruption at its last severity; no statement without masks or another image's map."""
    for corruption, over_null in attention_at_last(con, evaluation, selection.corruptions).over_null.items():
        word, size = ("more", over_null) if over_null.value >= 0 else ("less", -over_null)
        said = f"{where(con, corruption)} {evaluation.label} has {format_points_interval(size)} {word} attention on "
        said += f"{object_word(evaluation)} than another image's map"
        yield Judged(above(over_null, 0), said, over_null._replace(n=selection.image_count), corruption)
