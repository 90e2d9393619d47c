"""Data checks of a warehouse: every check is a query that returns the rows that break an invariant.

Checks of facts run during a load, one evaluation at a time, and their results are stored: `read_checks` reads them,
`run_checks` runs all checks again.
"""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb
import pyarrow as pa

from failmodes.runtime.errors import WarehouseError
from failmodes.runtime.hashing import identity_of
from failmodes.runtime.progress import counted
from failmodes.sql import CHECKS, STAGING, first_comment, read_sql, sql_literal
from failmodes.warehouse.database.connection import fetch_first
from failmodes.warehouse.database.stored_metrics import read_inputs
from failmodes.warehouse.database.tables import upsert
from failmodes.warehouse.database_schema import COMPUTED, SHARDS
from failmodes.warehouse.schema import ATTENTION, DIMENSIONS, FACTS, PREDICTION_FACTS, Table

if TYPE_CHECKING:
    import polars as pl

SHOWN_ROWS = 5
RELATED = (*(table.name for table in DIMENSIONS), SHARDS.name)  # tables of `refuse_broken_relations`
_RELATIONS = ("dimensions_one_row_per_key", "keys_resolve", "known_values")  # checks that read no facts


class CheckResult(NamedTuple):
    """One check: its name, invariant, number of rows that break it, and the first of them."""

    name: str
    invariant: str
    row_count: int
    examples: "pl.DataFrame"

    @property
    def passed(self) -> bool:
        """Whether no row breaks it."""
        return self.row_count == 0


def uniqueness_check(table: Table) -> str:
    """Name of the check that a table of facts holds one row per key."""
    return f"{table.name}_one_row_per_key"


def check_definitions() -> dict[str, str]:
    """SQL of every check by name: the files of `sql/checks`, and one row per key, made from the keys of the tables."""
    checks = read_sql(CHECKS)
    for table, subject in ((PREDICTION_FACTS, "Predictions hold"), (ATTENTION, "Attention holds")):
        cell = ", ".join(name for name in table.key if name != "image_id")
        checks[uniqueness_check(table)] = (
            f"-- {subject} {table.grain}: cells where images repeat.\n"
            f"select {cell}, count(*) as row_count, list_unique(list(image_id)) as image_count from {table.name} "
            f"group by {cell} having count(*) <> list_unique(list(image_id))"  # much faster than count(distinct)
        )
    keys = (
        f"select '{table.name}' as table_name, concat_ws('/', {', '.join(table.key)}) as key_text, "
        f"count(*) as row_count from {table.name} group by all having count(*) > 1"
        for table in (*DIMENSIONS, SHARDS)
    )
    repeated = "-- Every dimension holds one row per key: keys that repeat.\n" + "\nunion all\n".join(keys)
    return dict(sorted({**checks, "dimensions_one_row_per_key": repeated}.items()))


@cache
def check_hash(sql: str) -> str:
    """Hash of the definition of a check."""
    return identity_of([sql, read_sql(STAGING)])


def checks_of_facts(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """SQL of the checks that read facts, by name; each returns the evaluation_id of rows that break it."""
    facts = {table.name for table in FACTS}
    return {name: sql for name, sql in check_definitions().items() if con.get_table_names(sql) & facts}


def refuse_broken_relations(con: duckdb.DuckDBPyConnection) -> None:
    """Refuse to analyze a warehouse whose dimension tables are inconsistent.

    Raises:
        WarehouseError: with the failed checks.
    """
    definitions = check_definitions()
    broken = []
    for name in _RELATIONS:
        row = fetch_first(con, f"select count(*) from ({definitions[name]}\n)")
        if row and row[0]:
            broken.append(f"{_invariant(definitions[name])} (rows that break it: {row[0]:,})")
    if broken:
        raise WarehouseError(
            f"the warehouse is inconsistent: {'; '.join(broken)}; `failmodes status` shows the rows, "
            "`failmodes load STUDY --rebuild` rebuilds it"
        )


def run_checks(con: duckdb.DuckDBPyConnection) -> list[CheckResult]:
    """Run every check on an open warehouse, in order of name."""
    definitions = check_definitions()
    return [_run(con, name, definitions[name]) for name in counted("checking", definitions)]


def read_checks(con: duckdb.DuckDBPyConnection) -> list[CheckResult]:
    """The same, with stored results for checks of facts that no row breaks."""
    import polars as pl

    stored = {
        (name, definition)
        for name, definition in con.execute(
            "select name, definition from computed group by all having sum(breaking_rows) = 0 "
            "and count(*) = (select count(distinct evaluation_id) from shards)"
        ).fetchall()
    }
    results = []
    for name, sql in check_definitions().items():
        if (name, check_hash(sql)) in stored:
            results.append(CheckResult(name, _invariant(sql), 0, pl.DataFrame()))
        else:
            results.append(_run(con, name, sql))
    return results


def _run(con: duckdb.DuckDBPyConnection, name: str, sql: str) -> CheckResult:
    # not count(*) over (), which fails now and then: duckdb/duckdb#22352
    count_of_all = "(select count(*) from offending) as offending_count"
    counted = f"with offending as materialized ({sql}\n) select *, {count_of_all} from offending"
    rows = con.sql(f"{counted} limit {SHOWN_ROWS}").pl()
    count = rows["offending_count"][0] if rows.height else 0
    return CheckResult(name, _invariant(sql), count, rows.drop("offending_count"))


def _invariant(sql: str) -> str:
    return first_comment(sql).partition(":")[0]


def update_checks(con: duckdb.DuckDBPyConnection) -> None:
    """Run the checks of facts on every evaluation whose stored results are missing or out of date.

    Args:
        con: a connection that may write; its views are installed.
    """
    checks = {name: (sql, check_hash(sql)) for name, sql in checks_of_facts(con).items()}
    names = ("name", "evaluation_id", "definition", "input_hash")
    current = set(con.execute(f"select {', '.join(names)} from computed where breaking_rows is not null").fetchall())
    rows: list[dict[str, Any]] = []
    for evaluation_id, inputs in counted("checking", read_inputs(con).items()):
        keys = {name: (name, evaluation_id, definition, inputs) for name, (_, definition) in checks.items()}
        due = {name: sql for name, (sql, _) in checks.items() if keys[name] not in current}
        rows += [
            {**dict(zip(names, keys[name], strict=True)), "breaking_rows": count}
            for name, count in _count_rows(con, due, evaluation_id).items()
        ]
    upsert(con, COMPUTED, pa.Table.from_pylist(rows, schema=COMPUTED.arrow()))


def _count_rows(con: duckdb.DuckDBPyConnection, checks: Mapping[str, str], evaluation_id: str) -> dict[str, int]:
    """Rows that break each check, reading the facts of one evaluation only."""
    if not checks:
        return {}
    (database,) = fetch_first(con, "select current_database()") or ("",)
    of_evaluation = f"evaluation_id = {sql_literal(evaluation_id)}"
    for table in FACTS:  # a view takes no bound values; an identity is a folder name
        con.execute(f'create temp view {table.name} as from "{database}".main.{table.name} where {of_evaluation}')
    try:
        counts = {
            name: con.execute(f"select count(*) from ({sql}\n) where evaluation_id = ?", [evaluation_id]).fetchall()
            for name, sql in checks.items()
        }
    finally:
        for table in FACTS:
            con.execute(f"drop view temp.{table.name}")
    return {name: int(count) for name, ((count,),) in counts.items()}
