"""Stored measures against what their SQL gives from the rows, value by value: part of `failmodes status --full`."""

import duckdb
import polars as pl

from failmodes.warehouse.database.checks import CheckResult
from failmodes.warehouse.database.relations import measure_definitions
from failmodes.warehouse.measures.tables import MEASURES
from failmodes.warehouse.schema import Column, Table, double, real

TOLERANCE = 1e-5  # of real numbers, relative and absolute: sums and float32 quantiles differ in their last digits


def compare_measures(con: duckdb.DuckDBPyConnection) -> CheckResult:
    """Compare every stored measure with its definition; its examples are counts of rows that differ, by table."""
    counts = [(table.name, _different_rows(con, table)) for table in MEASURES]
    broken = pl.DataFrame(
        [one for one in counts if one[1]], {"table_name": pl.String, "row_count": pl.Int64}, orient="row"
    )
    total = int(broken["row_count"].sum())
    return CheckResult("measures_agree_with_rows", "Stored measures are what the rows give", total, broken)


def _different_rows(con: duckdb.DuckDBPyConnection, table: Table) -> int:
    same_key = " and ".join(f"stored.{name} is not distinct from defined.{name}" for name in table.key)
    values = [column for column in table.columns if column.name not in table.key]
    different = " or ".join(map(_differs, values))
    row = con.execute(
        f"select count(*) from (select *, true as is_there from {table.name}) as stored "
        f"full join (select *, true as is_there from ({measure_definitions()[table.name]}\n)) as defined on {same_key} "
        f"where stored.is_there is null or defined.is_there is null or {different}"
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
