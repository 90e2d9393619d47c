"""Whether more of the images that a threshold accepts are incorrect than its target allows on clean images."""

from collections.abc import Iterator

import duckdb
import polars as pl

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection, read_for_selection
from failmodes.analysis.judging.abstention import stored_thresholds, target_phrase
from failmodes.analysis.judging.findings.kind import Judged, kind, where
from failmodes.analysis.judging.judge import above
from failmodes.analysis.render.formatting import format_percent, format_percent_interval
from failmodes.analysis.statistics.estimate import estimate_of
from failmodes.analysis.statistics.run_rows import share_of_independent

RELATION = "selective_by_severity"


@kind(
    "errors_accepted",
    order=105,
    section="abstention",
    topic="Abstention",
    claims="at its threshold, the error among accepted images exceeds the bound on clean images",
    unit="share of images",
    relation=RELATION,
    inconclusive=("Error among accepted images", "cell"),
)
def errors_accepted(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> Iterator[Judged]:
    """The last severity of each corruption, the largest error first; the bound is the target of an error."""
    from scipy.special import betainc  # here: it takes 0.2 s, and most charts do not need it

    own = selection.only(evaluation)
    for threshold in stored_thresholds(con, own):
        limit = threshold["target_value"] if threshold["target"] == "error" else threshold["error_high"]
        cells = read_for_selection(con, RELATION, own).filter(pl.col("severity") > 0).sort("severity")
        last = cells.unique("corruption", keep="last").drop_nulls("error_accepted")
        independent = share_of_independent(con, evaluation.evaluation_id)
        for row in last.sort("error_accepted", "corruption", descending=[True, False]).rows(named=True):
            count = row["accepted_count"] * independent
            hits = row["error_accepted"] * count
            p_value = min(1.0, 2 * float(betainc(hits, count - hits + 1, limit))) if hits else 1.0
            error = estimate_of(row, "error_accepted")._replace(n=row["accepted_count"], p_value=p_value)
            place = where(con, row["corruption"], row["severity"])
            yield Judged(
                above(error, limit),
                f"{place} {evaluation.label} accepts {format_percent(row['accepted_share'])} of images, "
                f"{format_percent_interval(error)} of them incorrect, at the threshold for {target_phrase(threshold)} "
                "on clean images",
                error,
                row["corruption"],
                row["severity"],
            )
