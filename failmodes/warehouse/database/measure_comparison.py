"""Stored measures against what their SQL gives from the rows, value by value: part of `failmodes status --full`."""

import duckdb
import polars as pl

from failmodes.warehouse.database.checks import CheckResult
from failmodes.warehouse.database.relations import measure_definitions
from failmodes.warehouse.measures.scores import SCORES
from failmodes.warehouse.measures.tables import (
    ATTENTION_BEYOND_CONFIDENCE,
    ATTENTION_BY_PREDICTION,
    CELL_CALIBRATION,
    CELL_TEMPERATURE,
    FAILURE_SCORES,
    MEASURES,
    SELECTIVE_RISKS,
)
from failmodes.warehouse.schema import Column, Table, double, real

TOLERANCE = 1e-5  # of real numbers, relative and absolute: sums and float32 quantiles differ in their last digits
RANKED = (FAILURE_SCORES, SELECTIVE_RISKS)
ONE_BY_ONE = (  # an evaluation at a time: many rows
    ATTENTION_BY_PREDICTION, ATTENTION_BEYOND_CONFIDENCE, CELL_CALIBRATION, CELL_TEMPERATURE,
)  # fmt: skip
FEW_ROWS = 1_000_000  # of more predictions, one score of each evaluation is compared: ranking all would take minutes


def compare_measures(con: duckdb.DuckDBPyConnection) -> CheckResult:
    """Compare every stored measure with its definition; its examples are counts of rows that differ, by table.

    Of more than a million predictions, measures that stand per score are compared for one score of each evaluation.
    """
    scores = _compared_scores(con)
    counts = [(table.name, _different_rows(con, table, scores)) for table in MEASURES]
    broken = pl.DataFrame(
        [one for one in counts if one[1]], {"table_name": pl.String, "row_count": pl.Int64}, orient="row"
    )
    invariant = "Stored measures are what the rows give"
    if 0 < len(scores) < len(SCORES) * len({evaluation_id for evaluation_id, _ in scores}):
        invariant += " (of those that stand per score, one score of each evaluation)"
    return CheckResult("measures_agree_with_rows", invariant, int(broken["row_count"].sum()), broken)


def _compared_scores(con: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    """Evaluations with a score each."""
    ((row_count,),) = con.execute("select count(*) from prediction_facts").fetchall()
    evaluations = con.execute("select distinct evaluation_id from shards order by all").fetchall()
    return [
        (evaluation_id, score)
        for place, (evaluation_id,) in enumerate(evaluations)
        for score in (SCORES if row_count <= FEW_ROWS else [SCORES[place % len(SCORES)]])
    ]


def _different_rows(con: duckdb.DuckDBPyConnection, table: Table, scores: list[tuple[str, str]]) -> int:
    if table in RANKED:
        return sum(_different_where(con, table, "evaluation_id = $1 and score = $2", [*one]) for one in scores)
    if table in ONE_BY_ONE:
        evaluations = dict.fromkeys(evaluation_id for evaluation_id, _ in scores)
        return sum(_different_where(con, table, "evaluation_id = $1", [one]) for one in evaluations)
    return _different_where(con, table, "true", [])


def _different_where(con: duckdb.DuckDBPyConnection, table: Table, condition: str, values: list[str]) -> int:
    same_key = " and ".join(f"stored.{name} is not distinct from defined.{name}" for name in table.key)
    different = " or ".join(_differs(column) for column in table.columns if column.name not in table.key)
    row = con.execute(
        f"select count(*) from (select *, true as is_there from {table.name} where {condition}) as stored "
        f"full join (select *, true as is_there from ({measure_definitions()[table.name]}\n) where {condition}) "
        f"as defined on {same_key} where stored.is_there is null or defined.is_there is null or {different}",
        values,
    ).fetchone()
    assert row is not None, "an aggregate without groups has one row"
    return int(row[0])


def _differs(column: Column) -> str:
    stored, defined = f"stored.{column.name}", f"defined.{column.name}"
    if column.type not in (real, double):
        return f"{stored} is distinct from {defined}"
    return (
        f"(({stored} is null) <> ({defined} is null) "
        f"or abs({stored} - {defined}) > {TOLERANCE} + {TOLERANCE} * abs({defined}))"
    )
