"""What a connection shows of a warehouse file: its tables, once they were checked, and views of this program's own SQL.

A file may come from a stranger, so nothing that it says is run. Its views and macros stay out of sight (they are
reached by their full name alone, as warehouse.main.NAME). A table is shown where it is a base table whose columns have
the types of the contract and no expression behind them; a generated column would be computed whenever it is read.
"""

import re
from collections.abc import Collection, Iterable
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import duckdb

from failmodes.sql import MARTS, STAGING, read_sql
from failmodes.warehouse.database.own_tables import ALL_TABLES
from failmodes.warehouse.errors import WarehouseError
from failmodes.warehouse.metrics.tables import COMPUTED_TABLES
from failmodes.warehouse.schema import FACTS, Column, Table, moment

REBUILD_HINT = "make it anew with `failmodes load STUDY --rebuild`"
TABLES = {table.name: table for table in ALL_TABLES}

_IDENTITY = re.compile(r"(?<!image)(?<!wordnet)_id(_[ab])?$|_(hash|md5|fingerprint)$")
_INTEGERS = "TINYINT|SMALLINT|INTEGER|BIGINT|UTINYINT|USMALLINT|UINTEGER"

# The types of DuckDB that a column may have, by the name of its Arrow type; enums take the place of texts one day.
_FITTING = {
    "string": r"VARCHAR|ENUM\(.*\)",
    "bool": "BOOLEAN",
    "binary": "BLOB",
    "int16": _INTEGERS,
    "int32": _INTEGERS,
    "int64": _INTEGERS,
    "float32": "FLOAT|DOUBLE",
    "float64": "FLOAT|DOUBLE",
    "timestamp[s, UTC]": "TIMESTAMP WITH TIME ZONE|TIMESTAMP(_S|_MS|_NS)?",
    "decimal128(4, 3)": r"DECIMAL\(\d+,\d+\)",
}


_SOURCE = re.compile(r"\b(?:from|join)\s+(\w+)", re.IGNORECASE)


@cache
def view_definitions() -> dict[str, str]:
    """SQL of every view by name; no name is in both folders."""
    staging, marts = read_sql(STAGING), read_sql(MARTS)
    assert not staging.keys() & marts.keys(), "a view is in both folders"
    return staging | marts


def relation_names() -> list[str]:
    """Every table and view that a connection may show, tables first."""
    return [*sorted(TABLES), *sorted(view_definitions())]


def show_relations(con: duckdb.DuckDBPyConnection, path: Path, names: Iterable[str] | None = None) -> None:
    """Make tables and views of the attached file `warehouse` known to the connection under their own names.

    Args:
        con: a locked connection, to which the file is attached as `warehouse`.
        path: the file, for errors.
        names: those that are needed, in any spelling, with what they are made from; all if not given.

    Raises:
        WarehouseError: a table is missing, no base table, or has a column of another type than the contract's.
    """
    stored = base_tables(con)
    shown: set[str] = set()

    def show(name: str) -> None:
        if name in shown:
            return
        shown.add(name)
        sql = view_definitions().get(name)
        if table := TABLES.get(name):
            sql = checked_select(con, table, stored, path)
        if sql:
            for source in sources_of(sql) if names is not None else ():
                show(source)
            con.execute(f"create view {name} as {sql}")

    for name in map(str.lower, _all_in_order() if names is None else names):
        show(name)


@cache
def _all_in_order() -> list[str]:
    """Every table, and every view after what it reads."""
    return [*TABLES, *topological_order(view_definitions())]


def topological_order(definitions: dict[str, str]) -> list[str]:
    """Names of the views in such an order that each comes after those it selects from."""
    graph = {name: sources_of(sql) & definitions.keys() for name, sql in definitions.items()}
    return list(TopologicalSorter(graph).static_order())


def sources_of(sql: str) -> set[str]:
    """What a statement of this program's own selects from or joins; to parse all takes DuckDB a tenth of a second."""
    return set(_SOURCE.findall(re.sub("--.*", "", sql)))


def base_tables(con: duckdb.DuckDBPyConnection) -> set[str]:
    """Names of the base tables of the attached file; views are none."""
    return {
        name
        for (name,) in con.execute(
            "select table_name from duckdb_tables() where database_name = 'warehouse' and schema_name = 'main'"
        ).fetchall()
    }


def check_table(con: duckdb.DuckDBPyConnection, table: Table, path: Path) -> dict[str, str]:
    """Types of the columns of a stored base table, by name; it is read by `pragma_table_info`, which runs nothing.

    Raises:
        WarehouseError: a column is missing, has an expression behind it, or another type than the contract's.
    """
    found = con.execute(f"select name, type, dflt_value from pragma_table_info('warehouse.main.{table.name}')")
    types: dict[str, str] = {}
    for name, kind, expression in found.fetchall():
        types[name] = kind
        if expression is not None:
            raise _changed(path, f"{table.name}.{name} is computed by an expression")
    for column in table.columns:
        if column.name not in types:
            raise _changed(path, f"{table.name} lacks the column {column.name}")
        if not _fits(column, types[column.name]):
            raise _changed(path, f"{table.name}.{column.name} is {types[column.name]}, expected {column.type}")
    return types


def reading_order(table: Table) -> list[Column]:
    """The columns of a table as people read them: identities and hashes, which say least to the eye, come last."""
    return sorted(table.columns, key=lambda column: bool(_IDENTITY.search(column.name)))


def select_nothing(table: Table) -> str:
    """A statement with the columns of a table and no rows."""
    columns = reading_order(table)
    empty = ", ".join(f"null::{duckdb_type(column.type)} as {column.name}" for column in columns)
    return f"select {empty} where false"


def checked_select(con: duckdb.DuckDBPyConnection, table: Table, stored: Collection[str], path: Path) -> str:
    """The statement that reads a table of the file.

    Raises:
        WarehouseError: the table is missing, no base table, or has a column of another type than the contract's.
    """
    if table.name not in stored:
        raise _changed(path, f"it has no table {table.name}")
    check_table(con, table, path)
    # Of what may be millions `failmodes status` finds what breaks the contract
    if table not in (*FACTS, *COMPUTED_TABLES):
        _check_values(con, table, path)
    columns = ", ".join(column.name for column in reading_order(table))
    return f"select {columns} from warehouse.main.{table.name}"


def _check_values(con: duckdb.DuckDBPyConnection, table: Table, path: Path) -> None:
    """Refuse nulls where none may be, dates that Python has no place for, and texts too long to be shown."""
    needed = [column.name for column in table.columns if not column.nullable]
    texts = [column for column in table.columns if column.most_letters]
    counts = [f"count(*) - count({name})" for name in needed]
    lengths = [f"coalesce(max({_letters_of(column)}), 0)" for column in texts]
    moments = [column for column in table.columns if column.type == moment]
    dates = [f"count_if({column.name}::timestamp not between '1970-01-01' and '2199-12-31')" for column in moments]
    row = con.execute(f"select {', '.join(counts + lengths + dates)} from warehouse.main.{table.name}").fetchone() or ()
    for name, nulls in zip(needed, row, strict=False):
        if nulls:
            raise _changed(path, f"{table.name}.{name} is null in {nulls:,} rows")
    for column, strange in zip(moments, row[len(needed) + len(texts) :], strict=True):
        if strange:
            raise _changed(path, f"{table.name}.{column.name} is a date outside of the years 1970 to 2199")
    for column, longest in zip(texts, row[len(needed) :], strict=False):
        most = column.most_letters or 0
        if longest > most:
            raise _changed(
                path, f"{table.name}.{column.name} has a text of {longest:,} letters, expected at most {most:,}"
            )


def _letters_of(column: Column) -> str:
    """SQL of the length of a text, or of the longest of a list."""
    if column.type.startswith("list<"):
        return f"list_max([length(item) for item in {column.name}])"
    return f"length({column.name}::varchar)"


def _fits(column: Column, found: str) -> bool:
    kind = column.type
    if kind.startswith("list<"):
        if not found.endswith("[]"):
            return False
        kind, found = kind.removeprefix("list<").removesuffix(">"), found.removesuffix("[]")
    return re.fullmatch(_FITTING[kind], found, re.DOTALL) is not None


def duckdb_type(kind: str) -> str:
    """The type of DuckDB that a column gets, by the name of its Arrow type."""
    if kind.startswith("list<"):
        return f"{duckdb_type(kind.removeprefix('list<').removesuffix('>'))}[]"
    names = {
        "string": "varchar", "bool": "boolean", "binary": "blob", "int16": "smallint", "int32": "integer",
        "int64": "bigint", "float32": "float", "float64": "double", "timestamp[s, UTC]": "timestamptz",
        "decimal128(4, 3)": "decimal(4, 3)",
    }  # fmt: skip
    return names[kind]


def _changed(path: Path, what: str) -> WarehouseError:
    return WarehouseError(f"{path} is no warehouse as failmodes writes it, or was changed: {what}; {REBUILD_HINT}")
