"""The tables of the database: created from the contract, documented by it, and checked against its version."""

import os
from typing import Any

import duckdb
import pyarrow as pa

from warehouse.errors import DamagedShardError, WarehouseError
from warehouse.provenance import library_versions, now_utc
from warehouse.schema import DERIVED, DIMENSIONS, FACTS, SCHEMA_VERSION, SHARDS, Column, Table, moment, text
from warehouse.views import install_views, quoted, views_fingerprint

INFO = Table(
    "warehouse_info",
    "one row: what this file is",
    (),
    (
        Column("schema_version", text, "version of the tables; another major version asks for a rebuild"),
        Column("failmodes_version", text, "failmodes that wrote the file last"),
        Column("created_at", moment, "when the file was first made, UTC"),
        Column("updated_at", moment, "when its content last changed, UTC"),
        Column("build_id", text, "another value for every file that took the place of the former"),
        Column("views_fingerprint", text, "hash of the SQL of its views"),
    ),
)
LOADED_DIMENSIONS = Table(
    "loaded_dimensions",
    "one row per file of a dimension that was loaded",
    ("table_name", "file_key"),
    (
        Column("table_name", text, "dimension"),
        Column("file_key", text, "name of the file in the record, without suffix"),
        Column("content_hash", text, "hash of its rows, which the file's footer carries"),
    ),
)
ALL_TABLES = (*FACTS, *DIMENSIONS, SHARDS, *DERIVED, LOADED_DIMENSIONS, INFO)


def create_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Create every table that is missing, and every nullable column that an older minor version lacks."""
    for table in ALL_TABLES:
        create_table(con, table)
        _document(con, table)


def create_table(con: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Create `table` empty, or add the columns that it lacks; no primary key (it would slow down loads)."""
    con.register("empty_rows", table.arrow().empty_table())
    con.execute(f"create table if not exists {table.name} as select * from empty_rows")
    present = {row[0] for row in con.execute(f"describe {table.name}").fetchall()}
    types = {row[0]: row[1] for row in con.execute("describe empty_rows").fetchall()}
    for name in types.keys() - present:
        con.execute(f"alter table {table.name} add column {name} {types[name]}")
    con.unregister("empty_rows")


def insert_rows(con: duckdb.DuckDBPyConnection, table: Table, rows: pa.Table | pa.RecordBatchReader) -> None:
    """Append Arrow rows to `table` by column name; a reader is drained as it goes."""
    con.register("incoming_rows", rows)
    con.execute(f"insert into {table.name} by name select * from incoming_rows")
    con.unregister("incoming_rows")


def upsert(con: duckdb.DuckDBPyConnection, table: Table, rows: pa.Table, replaced_by: tuple[str, ...] = ()) -> None:
    """Put Arrow rows into `table`: of rows with the same key the last one counts, and what was there goes.

    Args:
        con: a connection that may write.
        table: a dimension.
        rows: rows with all columns of the table.
        replaced_by: columns by which former rows give way; by default the key of the table.
    """
    con.register("incoming_rows", rows.append_column("position", pa.array(range(rows.num_rows), pa.int64())))
    same = " and ".join(f"{table.name}.{name} = incoming_rows.{name}" for name in replaced_by or table.key)
    con.execute(f"delete from {table.name} using incoming_rows where {same}")
    con.execute(
        f"insert into {table.name} by name select * exclude (position) from incoming_rows "
        f"qualify row_number() over (partition by {', '.join(table.key)} order by position desc) = 1 order by position"
    )
    con.unregister("incoming_rows")


def conform(rows: pa.Table, table: Table, where: object) -> pa.Table:
    """Bring rows to the columns of `table`: nullable columns that are missing become null, unknown ones go.

    Raises:
        DamagedShardError: a column that may not be null is missing or holds nulls; `where` names the file.
    """
    columns = []
    for column in table.columns:
        known = column.name in rows.column_names
        values = rows[column.name].cast(column.type) if known else pa.nulls(rows.num_rows, column.type)
        if values.null_count and not column.nullable:
            raise DamagedShardError(f"{where} breaks the contract: {table.name}.{column.name} may not be null")
        columns.append(values)
    return pa.table(columns, schema=table.arrow())


def check_version(stated: str, what: object, mend: str) -> None:
    """Refuse another major schema version.

    Raises:
        WarehouseError: it says what `what` is, what is expected, and `mend`.
    """
    if not is_readable_version(stated):
        raise WarehouseError(
            f"{what} has schema version {stated}, this failmodes reads {_major(SCHEMA_VERSION)}.x: {mend}"
        )


def is_readable_version(stated: str) -> bool:
    """Whether the major version is ours."""
    return _major(stated) == _major(SCHEMA_VERSION)


def stamp(con: duckdb.DuckDBPyConnection) -> None:
    """Install the views and renew the row of `warehouse_info`."""
    install_views(con)
    former = con.execute("select created_at from warehouse_info").fetchall()
    now = now_utc()
    row: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "failmodes_version": library_versions(("failmodes",)).get("failmodes", "unknown"),
        "created_at": former[0][0] if former else now,
        "updated_at": now,
        "build_id": os.urandom(8).hex(),
        "views_fingerprint": views_fingerprint(),
    }
    con.execute("delete from warehouse_info")
    insert_rows(con, INFO, pa.Table.from_pylist([row], schema=INFO.arrow()))


def _document(con: duckdb.DuckDBPyConnection, table: Table) -> None:
    con.execute(f"comment on table {table.name} is {quoted(table.grain)}")
    for column in table.columns:
        con.execute(f"comment on column {table.name}.{column.name} is {quoted(column.meaning)}")


def _major(version: str) -> str:
    return version.split(".")[0]
