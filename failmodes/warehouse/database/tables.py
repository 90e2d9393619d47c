"""Create, describe and fill the tables of the schema."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from failmodes.runtime.hashing import identity_of
from failmodes.runtime.packages import library_versions
from failmodes.warehouse.database.connection import duckdb_type, fetch_first, reading_order
from failmodes.warehouse.database.views import comments, install_views, view_definitions
from failmodes.warehouse.database_schema import ALL_TABLES, MAX_CLAIMS, STATED_CLAIMS, STATED_MODELS, WAREHOUSE_INFO
from failmodes.warehouse.metrics.metric import definitions_hash
from failmodes.warehouse.schema import SCHEMA_VERSION, Table, as_moment, now_utc
from failmodes.warehouse.stated_models import StatedModel


def create_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Create missing tables, and store the meaning of tables and columns as COMMENT.

    Tables have no primary key, which would slow down loads.
    """
    for table in ALL_TABLES:
        meanings = {column.name: column.meaning for column in table.columns}
        con.execute(f"{create_statement(table)}; {comments('table', table.name, table.grain, meanings, meanings)}")


def create_statement(table: Table) -> str:
    """The statement that creates a missing table, with columns and types only."""
    columns = ", ".join(f"{column.name} {duckdb_type(column.type)}" for column in reading_order(table))
    return f"create table if not exists {table.name} ({columns})"


def keyed_rows(table: Table, key: Mapping[str, Any], columns: Mapping[str, Any]) -> pa.Table:
    """Arrow rows of a table of one cell or curve: the same key in each, with columns of values or arrays."""
    schema = table.arrow()
    count = len(next(iter(columns.values())))
    keys = {name: pa.repeat(pa.scalar(value, schema.field(name).type), count) for name, value in key.items()}
    arrays = {
        name: values.cast(schema.field(name).type) if isinstance(values, pa.Array)
        else pa.array(values, schema.field(name).type)
        for name, values in columns.items()
    }  # fmt: skip
    return pa.table({name: (keys | arrays)[name] for name in schema.names}, schema=schema)


def insert_rows(con: duckdb.DuckDBPyConnection, table: Table, rows: pa.Table | pa.RecordBatchReader) -> None:
    """Append Arrow rows to `table` by column name; a reader is consumed as it goes.

    They are not registered: DuckDB keeps registered rows until the transaction ends.
    """
    con.from_arrow(rows).project(", ".join(column.name for column in reading_order(table))).insert_into(table.name)


def delete_matching(con: duckdb.DuckDBPyConnection, table: Table, rows: pa.Table, columns: tuple[str, ...]) -> None:
    """Delete the rows of `table` that match one of the Arrow `rows` in all `columns`."""
    same = " and ".join(f"{table.name}.{name} = incoming_rows.{name}" for name in columns)
    con.register("incoming_rows", rows.select(columns))
    con.execute(f"delete from {table.name} using incoming_rows where {same}")
    con.unregister("incoming_rows")


def upsert(con: duckdb.DuckDBPyConnection, table: Table, rows: pa.Table, replaced_by: tuple[str, ...] = ()) -> None:
    """Insert Arrow rows into `table`, replacing rows with the same key; of several, the last is used.

    Args:
        con: a connection that may write.
        table: a table with a key.
        rows: rows with all columns of the table.
        replaced_by: columns that decide which former rows are replaced; default: the key of the table.
    """
    delete_matching(con, table, rows, replaced_by or table.key)
    places = pa.table({**{name: rows[name] for name in table.key}, "place": pa.array(range(rows.num_rows))})
    last = places.group_by(list(table.key)).aggregate([("place", "max")])["place_max"]
    insert_rows(con, table, rows if len(last) == rows.num_rows else rows.take(sorted(last.to_pylist())))


def write_info(con: duckdb.DuckDBPyConnection) -> None:
    """Install the views and write the row of `warehouse_info`."""
    install_views(con)
    former = fetch_first(con, "select created_utc from warehouse_info")
    now = as_moment(now_utc())
    row: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "failmodes_version": library_versions(("failmodes",)).get("failmodes", "unknown"),
        "created_utc": former[0] if former else now,
        "updated_utc": now,
        "build_id": os.urandom(8).hex(),
        "views_fingerprint": views_fingerprint(),
    }
    con.execute("delete from warehouse_info")
    marks = ", ".join("?" * len(row))  # bound values, since Arrow would import pandas for one row
    con.execute(f"insert into {WAREHOUSE_INFO.name} ({', '.join(row)}) values ({marks})", list(row.values()))


def views_fingerprint() -> str:
    """Hash of the definitions of all views and metrics, stored to detect when they are out of date."""
    return identity_of([view_definitions(), definitions_hash()])


StatedClaim = tuple[str, str]  # as text, and as JSON


def claim_rows(claims: Sequence[StatedClaim]) -> pa.Table:
    """Claims in their order as rows of `stated_claims`, without repetitions."""
    rows = [
        {"position": place, "claim": claim, "statement": statement}
        for place, (claim, statement) in enumerate(dict.fromkeys(claims), start=1)
    ]
    return pa.Table.from_pylist(rows, schema=STATED_CLAIMS.arrow())


def stored_claims(con: duckdb.DuckDBPyConnection) -> list[StatedClaim]:
    """The claims of a warehouse, in their order."""
    query = f"select claim, statement from {STATED_CLAIMS.name} order by position limit ?"
    return con.execute(query, [MAX_CLAIMS]).fetchall()


def model_rows(models: Sequence[StatedModel]) -> pa.Table:
    """Models in their order as rows of `stated_models`, without repetitions."""
    rows = [
        {"position": place, "model_label": model.label, "is_baseline": model.is_baseline}
        for place, model in enumerate(dict.fromkeys(models), start=1)
    ]
    return pa.Table.from_pylist(rows, schema=STATED_MODELS.arrow())


def stored_models(con: duckdb.DuckDBPyConnection) -> list[StatedModel]:
    """The stated models of a warehouse, in their order."""
    rows = con.execute(f"select model_label, is_baseline from {STATED_MODELS.name} order by position").fetchall()
    return [StatedModel(*row) for row in rows]
