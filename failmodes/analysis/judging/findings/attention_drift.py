"""Whether attention stays closer to its own clean centroid than to that of another image."""

from collections.abc import Iterator

import duckdb

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection
from failmodes.analysis.judging.findings.kind import BOTH, Judged, kind, rows_of, where
from failmodes.analysis.render.formatting import format_percent_interval
from failmodes.analysis.statistics.attention import (
    CHANCE,
    LOST_WITHIN,
    OwnMapTest,
    attention_at_last,
    missing_drift_reason,
)
from failmodes.analysis.statistics.estimate import Word
from failmodes.warehouse.schema import OF_TABLE


@kind(
    "attention_drift",
    order=120,
    section="attention",
    topic="Attention",
    claims="attention stays closer to its own clean centroid than to that of another image of the class",
    unit="share of images",
    relation="attention_drift",
    nothing=0.5,
    printed=BOTH,
    inconclusive=("Attention drift", "cell"),
)
def attention_drift(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> Iterator[Judged]:
    """Each corruption at its last severity, by the centroid of the map; an empty map counts one half."""
    tests = attention_at_last(con, evaluation, selection.corruptions).own_maps
    for test in sorted(tests, key=lambda test: -abs(test.share.value - CHANCE)):
        said = f"{where(con, test.corruption)} attention of {evaluation.label} stays closer to its own clean centroid "
        said += f"than to another same-class image's for {format_percent_interval(test.share)} of images"
        share = test.share._replace(p_value=min(test.p_nearer, test.p_lost))
        yield Judged(keeps_place(test), said, share, test.corruption)
    if not tests and evaluation.facts["source_kind"] != OF_TABLE:  # which has no pixels to attend to
        reason = missing_drift_reason(con, selection.only(evaluation), of_class=True)
        said = f"Attention drift of {evaluation.label} is not available: {reason}."
        yield Judged("inconclusive", said, n=selection.image_count, query=rows_of("evaluations", evaluation))


def keeps_place(test: OwnMapTest) -> Word:
    """Supported if closer, whatever images without a map would show; contradicted if farther, or equivalent to chance.

    No test of a difference can show that attention is unrelated to its clean location: this takes an equivalence test
    against chance (Schuirmann 1987), within LOST_WITHIN.
    """
    if test.share.low > CHANCE:
        return "supported" if test.worst_case.low > CHANCE else "inconclusive"
    return "contradicted" if test.share.high < CHANCE + LOST_WITHIN else "inconclusive"
