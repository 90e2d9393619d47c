"""Invariants of a warehouse: every check is a query that returns the rows that break one."""

from typing import NamedTuple

import duckdb
import polars as pl

from failmodes.sql import CHECKS, first_comment, read_sql
from failmodes.warehouse.database.own_tables import SHARDS
from failmodes.warehouse.schema import ATTENTION, DIMENSIONS, PREDICTIONS

SHOWN_ROWS = 5


class CheckResult(NamedTuple):
    """One check: its name, what it holds, how many rows break it, and the first of them."""

    name: str
    invariant: str
    row_count: int
    examples: pl.DataFrame

    @property
    def passed(self) -> bool:
        """Whether no row breaks it."""
        return self.row_count == 0


def check_definitions() -> dict[str, str]:
    """SQL of every check by name: the files of `sql/checks`, and one row per key, made from the keys of the tables."""
    checks = read_sql(CHECKS)
    for table, subject in ((PREDICTIONS, "Predictions hold"), (ATTENTION, "Attention holds")):
        cell = ", ".join(name for name in table.key if name != "image_id")
        checks[f"{table.name}_one_row_per_key"] = (
            f"-- {subject} {table.grain}: cells where images repeat.\n"
            f"select {cell}, count(*) as row_count, count(distinct image_id) as image_count from {table.name} "
            f"group by {cell} having count(*) <> count(distinct image_id)"
        )
    keys = (
        f"select '{table.name}' as table_name, concat_ws('/', {', '.join(table.key)}) as key_text, "
        f"count(*) as row_count from {table.name} group by all having count(*) > 1"
        for table in (*DIMENSIONS, SHARDS)
    )
    repeated = "-- Every dimension holds one row per key: keys that repeat.\n" + "\nunion all\n".join(keys)
    return dict(sorted({**checks, "dimensions_one_row_per_key": repeated}.items()))


def run_checks(con: duckdb.DuckDBPyConnection) -> list[CheckResult]:
    """Run every check on an open warehouse, in order of name."""
    results = []
    for name, sql in check_definitions().items():
        counted = f"with offending as ({sql}\n) select *, count(*) over () as offending_count from offending"
        rows = con.sql(f"{counted} limit {SHOWN_ROWS}").pl()
        count = rows["offending_count"][0] if rows.height else 0
        results.append(CheckResult(name, first_comment(sql).partition(":")[0], count, rows.drop("offending_count")))
    return results
