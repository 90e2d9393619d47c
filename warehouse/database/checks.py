"""Invariants of a warehouse: every file of `sql/checks` returns the rows that break one."""

from typing import NamedTuple

import duckdb
import polars as pl

from failmodes.sql import CHECKS, first_comment, read_sql

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


def run_checks(con: duckdb.DuckDBPyConnection) -> list[CheckResult]:
    """Run every check on an open warehouse, in order of name."""
    return [_run(con, name, sql) for name, sql in read_sql(CHECKS).items()]


def _run(con: duckdb.DuckDBPyConnection, name: str, sql: str) -> CheckResult:
    counted = f"with offending as ({sql}\n) select *, count(*) over () as offending_count from offending"
    rows = con.sql(f"{counted} limit {SHOWN_ROWS}").pl()
    count = rows["offending_count"][0] if rows.height else 0
    return CheckResult(name, first_comment(sql).partition(":")[0], count, rows.drop("offending_count"))
