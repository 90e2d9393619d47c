"""Tables and views of the database: creating, documenting and filling the tables of the contract and its own.

The views are every file of `sql/staging` and `sql/marts`. They are stored in the file, so that plain DuckDB sees them,
and are replaced whenever the SQL has changed.
"""

import os
from collections import defaultdict
from datetime import UTC
from typing import Any

import duckdb
import pyarrow as pa

from failmodes.sql import first_comment, sql_identifier, sql_literal
from failmodes.warehouse.database.column_meanings import column_meanings
from failmodes.warehouse.database.connection import fetch_first
from failmodes.warehouse.database.own_tables import ALL_TABLES, WAREHOUSE_INFO
from failmodes.warehouse.database.relations import (
    duckdb_type,
    topological_order,
    view_definitions,
)
from failmodes.warehouse.hashing import identity_of
from failmodes.warehouse.metrics.registry import definitions_hash
from failmodes.warehouse.schema import Table
from failmodes.warehouse.versions import SCHEMA_VERSION, library_versions, now_utc


def create_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Create every table that is missing; comment all.

    Tables have no primary key: it would slow down loads.
    """
    own = "not internal and schema_name = 'main' and database_name = current_database()"
    for (name,) in con.execute(f"select view_name from duckdb_views() where {own}").fetchall():
        con.execute(f"drop view {sql_identifier(name)}")  # all are installed again
    tables = dict(con.execute(f"select table_name, comment from duckdb_tables() where {own}").fetchall())
    columns: dict[str, dict[str, str | None]] = defaultdict(dict)
    for name, column, comment in con.execute(
        f"select table_name, column_name, comment from duckdb_columns() where {own}"
    ).fetchall():
        columns[name][column] = comment
    for table in ALL_TABLES:
        if table.name not in columns:
            con.execute(create_statement(table))
        if tables.get(table.name) != table.grain:
            con.execute(f"comment on table {table.name} is {sql_literal(table.grain)}")
        for column in table.columns:
            if columns[table.name].get(column.name) != column.meaning:
                con.execute(f"comment on column {table.name}.{column.name} is {sql_literal(column.meaning)}")


def create_statement(table: Table) -> str:
    """The statement that creates a table: columns and types alone."""
    columns = ", ".join(f"{column.name} {duckdb_type(column.type)}" for column in table.columns)
    return f"create table {table.name} ({columns})"


def insert_rows(con: duckdb.DuckDBPyConnection, table: Table, rows: pa.Table | pa.RecordBatchReader) -> None:
    """Append Arrow rows to `table` by column name; a reader is drained as it goes."""
    con.register("incoming_rows", rows)
    con.execute(f"insert into {table.name} by name select * from incoming_rows")
    con.unregister("incoming_rows")


def delete_matching(con: duckdb.DuckDBPyConnection, table: Table, rows: pa.Table, columns: tuple[str, ...]) -> None:
    """Delete the rows of `table` that agree with one of the Arrow `rows` in all of `columns`."""
    con.register("incoming_rows", rows)
    same = " and ".join(f"{table.name}.{name} = incoming_rows.{name}" for name in columns)
    con.execute(f"delete from {table.name} using incoming_rows where {same}")
    con.unregister("incoming_rows")


def upsert(con: duckdb.DuckDBPyConnection, table: Table, rows: pa.Table, replaced_by: tuple[str, ...] = ()) -> None:
    """Put Arrow rows into `table`: rows with the same key replace those that are there; of several, the last counts.

    Args:
        con: a connection that may write.
        table: a table with a key.
        rows: rows with all columns of the table.
        replaced_by: columns that decide which former rows are replaced; by default the key of the table.
    """
    delete_matching(con, table, rows, replaced_by or table.key)
    con.register("incoming_rows", rows.append_column("position", pa.array(range(rows.num_rows), pa.int64())))
    con.execute(
        f"insert into {table.name} by name select * exclude (position) from incoming_rows "
        f"qualify row_number() over (partition by {', '.join(table.key)} order by position desc) = 1 order by position"
    )
    con.unregister("incoming_rows")


def _own_version() -> str:
    return library_versions(("failmodes",)).get("failmodes", "unknown")


def write_info(con: duckdb.DuckDBPyConnection) -> None:
    """Install the views and write the row of `warehouse_info`."""
    install_views(con)
    former = fetch_first(con, "select created_at at time zone 'UTC' from warehouse_info")
    now = now_utc()
    row: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "failmodes_version": _own_version(),
        "created_at": former[0].replace(tzinfo=UTC) if former else now,
        "updated_at": now,
        "build_id": os.urandom(8).hex(),
        "views_fingerprint": views_fingerprint(),
    }
    con.execute("delete from warehouse_info")
    marks = ", ".join("?" * len(row))  # bound, for Arrow would import pandas for the one row
    con.execute(f"insert into {WAREHOUSE_INFO.name} ({', '.join(row)}) values ({marks})", list(row.values()))


def views_fingerprint() -> str:
    """Hash of the definitions of all views and metrics, kept in the warehouse to see when they are out of date."""
    return identity_of([view_definitions(), definitions_hash()])


def install_views(con: duckdb.DuckDBPyConnection) -> None:
    """Create or replace every view, each after those it reads, with what it and its columns mean as COMMENT."""
    definitions = view_definitions()
    for name in topological_order(definitions):
        con.execute(f"create or replace view {name} as {definitions[name]}")
        con.execute(f"comment on view {name} is {sql_literal(first_comment(definitions[name]))}")
    for name, column in con.execute(
        "select view_name, column_name from duckdb_views() inner join duckdb_columns() on view_oid = table_oid "
        "and duckdb_views.database_name = duckdb_columns.database_name "
        "where not duckdb_views.internal and duckdb_views.database_name = current_database() "
        "and duckdb_views.schema_name = 'main' order by view_name, column_index"
    ).fetchall():
        if name in definitions:
            con.execute(f"comment on column {name}.{column} is {sql_literal(column_meanings(name)[column])}")
