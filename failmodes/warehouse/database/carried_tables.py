"""What a new file takes over from the one whose place it takes: checked rows of base tables, nothing else.

A file may come from a stranger, and whoever writes into it runs its triggers, constraints, indexes and defaults. So the
tables of the contract are made anew by our own statements and filled column by column. Of a user's own tables the rows
are kept, where their columns are of plain types. A list of what may be there, not of what may not: what a later DuckDB
adds to its catalog stays behind too.

A file whose tables are stated in just our words, with nothing beside them, may be copied byte by byte instead: that
saves seconds for millions of rows.
"""

import re
from functools import cache
from pathlib import Path

import duckdb

from failmodes.sql import sql_identifier
from failmodes.warehouse.database.connection import LOCKED, open_warehouse, reading_errors
from failmodes.warehouse.database.relations import TABLES, base_tables, checked_select, view_definitions
from failmodes.warehouse.database.tables import create_statement, create_tables, install_views

STORAGE, STORAGE_NUMBER = "v1.2.0", 65  # that the clients people have can open: DuckDB 1.2 and later
MOST_NAMED = 5  # of what is left behind

# Types of a user's own tables: what no user and no extension defines, in lists or alone.
_PLAIN = re.compile(
    r"(BOOLEAN|U?(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)|FLOAT|DOUBLE|DECIMAL\(\d+,\d+\)|VARCHAR|BLOB|BIT|UUID|DATE|TIME"
    r"|TIMESTAMP(_S|_MS|_NS)?|TIME WITH TIME ZONE|TIMESTAMP WITH TIME ZONE|INTERVAL)(\[\d*\])*"
)

_FOREIGN = {
    "duckdb_schemas": "'a schema ' || schema_name",
    "duckdb_functions": "'a macro ' || function_name",
    "duckdb_sequences": "'a sequence ' || sequence_name",
    "duckdb_types": "'a type ' || type_name",
    "duckdb_indexes": "'an index ' || index_name",
    "duckdb_constraints": "'a constraint of ' || table_name",
    "duckdb_triggers": "'a trigger ' || trigger_name",  # DuckDB 1 has none
}
_HAS_INTERNAL = ("duckdb_schemas", "duckdb_functions", "duckdb_types")


class Former:
    """What stands in a warehouse file that will be written anew.

    Attributes:
        left_out: what a new file would not take over, in words; the tables of the contract are checked already.
        is_ours: whether all of its tables are stated as this program states them, and nothing stands beside them.
    """

    def __init__(self, warehouse: Path) -> None:
        """Look at a warehouse.

        Raises:
            WarehouseError: it is missing, of another version, in use by a writer, or its tables are not ours.
        """
        with open_warehouse(warehouse, TABLES) as con:
            beside = foreign_objects(con)
            statements = dict(
                con.execute("select table_name, sql from duckdb_tables() where database_name = 'warehouse'").fetchall()
            )
            views = foreign_views(con)
        with warehouse.open("rb") as file:
            header = file.read(20)  # the number stands behind a checksum and "DUCK"
        opens_elsewhere = int.from_bytes(header[12:20], "little") <= STORAGE_NUMBER
        self.is_ours = opens_elsewhere and not beside and statements == own_statements()
        self.left_out = [] if self.is_ours else [*beside, *views]

    def described(self) -> str:
        """What would be left out, in few words."""
        more = len(self.left_out) - MOST_NAMED
        return ", ".join(self.left_out[:MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def foreign_objects(con: duckdb.DuckDBPyConnection) -> list[str]:
    """What the attached file holds beside tables and views, and of its tables what is not taken over, in words."""
    functions = "select distinct function_name from duckdb_functions() where database_name = 'system'"
    known = set(con.execute(functions).fetchall())
    found = []
    for function, what in _FOREIGN.items():
        if (function,) in known:
            internal = "and not internal" if function in _HAS_INTERNAL else ""
            rows = con.execute(
                f"select distinct {what} as what from {function}() where database_name = 'warehouse' {internal} "
                "order by what"
            ).fetchall()
            found += [what for (what,) in rows]
    for name in sorted(base_tables(con)):
        found += _left_of_table(con, name)
    return found


def foreign_views(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Views of the attached file that are none of ours by their names, in words."""
    rows = con.execute(
        "select view_name from duckdb_views() where database_name = 'warehouse' and schema_name = 'main' "
        "and not internal order by view_name"
    ).fetchall()
    return [f"a view {name}" for (name,) in rows if name.lower() not in view_definitions()]


@cache
def own_statements() -> dict[str, str]:
    """How DuckDB states the tables of the contract once they are made."""
    with duckdb.connect(config=LOCKED) as con:
        for table in TABLES.values():
            con.execute(create_statement(table))
        return dict(con.execute("select table_name, sql from duckdb_tables()").fetchall())


def carry_over(con: duckdb.DuckDBPyConnection, warehouse: Path) -> None:
    """Fill a new file from the tables of the one that is attached to it read-only as `warehouse`.

    Args:
        con: the new file, empty; its views are installed at the end.
        warehouse: the former file, for errors.

    Raises:
        WarehouseError: a table is not as this program makes it, a value has no place in our columns, or it is damaged.
        duckdb.IOException: the new file cannot be written.
    """
    create_tables(con)
    stored = base_tables(con)
    try:
        for name, table in TABLES.items():
            con.execute(f"insert into {name} by name {checked_select(con, table, stored, warehouse)}")
        for name in sorted(stored):
            if _is_carried(con, name):
                con.execute(f"create table {sql_identifier(name)} as from warehouse.main.{sql_identifier(name)}")
    except duckdb.IOException:
        raise  # as a rule of the new file
    except duckdb.Error:
        with reading_errors(warehouse):
            raise
    install_views(con)


def _left_of_table(con: duckdb.DuckDBPyConnection, name: str) -> list[str]:
    """What of a table is not taken over: all of it, or columns that the contract does not know."""
    if table := TABLES.get(name):
        own = {column.name for column in table.columns}
        return [f"a column {name}.{column}" for column in _columns(con, name) if column not in own]
    return [] if _is_carried(con, name) else [f"a table {name}"]


def _is_carried(con: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Whether the rows of a table that is none of ours are taken over: its columns are plain, its name is free."""
    if name.lower() in TABLES or name.lower() in view_definitions():
        return False
    return all(_PLAIN.fullmatch(kind) and not expression for kind, expression in _columns(con, name).values())


def _columns(con: duckdb.DuckDBPyConnection, table: str) -> dict[str, tuple[str, str | None]]:
    """Type and expression of the columns of a stored table by name."""
    rows = con.execute(
        "select column_name, data_type, column_default from duckdb_columns() "
        "where database_name = 'warehouse' and schema_name = 'main' and table_name = ?",
        [table],
    ).fetchall()
    return {name: (kind, expression) for name, kind, expression in rows}
