"""The further columns of the table `images`, by which users describe their images.

A warehouse holds those of all datasets; an image of a dataset without a column has null there.
"""

from collections.abc import Collection, Mapping, Sequence

import duckdb
import pyarrow as pa

from failmodes.runtime.errors import WarehouseError
from failmodes.sql import sql_identifier, sql_literal
from failmodes.warehouse.database.connection import duckdb_type, fetch_first, metadata_columns
from failmodes.warehouse.database.tables import delete_matching
from failmodes.warehouse.schema import CHOOSE_COLUMNS, IMAGES, MAX_METADATA_COLUMNS, METADATA, common_type
from failmodes.warehouse.shards.format import table_of


def add_metadata_columns(con: duckdb.DuckDBPyConnection, metadata: Mapping[str, str]) -> None:
    """Add further columns to `images`, by their type in the schema; of another type than a stored one, the common type.

    Names that differ only in case are one column, as in SQL.

    Raises:
        WarehouseError: there would be more than a warehouse holds.
    """
    stored = {name.lower(): (name, kind) for name, kind in metadata_columns(_columns(con)).items()}
    if (count := len(stored.keys() | {name.lower() for name in metadata})) > MAX_METADATA_COLUMNS:
        raise WarehouseError(
            f"the datasets have {count:,} columns of metadata, at most {MAX_METADATA_COLUMNS} fit into a warehouse: "
            f"load them into several, or {CHOOSE_COLUMNS}"
        )
    changes = []
    for name, kind in metadata.items():
        former, former_kind = stored.get(name.lower(), (name, None))
        column = sql_identifier(former)
        if former_kind is None:
            changes.append(f"alter table {IMAGES.name} add column {column} {duckdb_type(kind)}")
            changes.append(f"comment on column {IMAGES.name}.{column} is {sql_literal(METADATA)}")
        elif former_kind != (common := common_type([former_kind, kind])):
            changes.append(f"alter table {IMAGES.name} alter column {column} set data type {duckdb_type(common)}")
    _change(con, changes)


def insert_images(con: duckdb.DuckDBPyConnection, rows: pa.Table) -> None:
    """Insert the rows of a dataset into `images`, in place of its former ones."""
    table = table_of(rows)
    add_metadata_columns(con, {column.name: column.type for column in table.columns[len(IMAGES.columns) :]})
    incoming = {name.lower(): sql_identifier(name) for name in rows.column_names}
    selected = (f"{incoming.get(name.lower(), 'null')}::{kind}" for name, kind in _columns(con).items())
    delete_matching(con, IMAGES, rows, IMAGES.key)
    con.from_arrow(rows).project(", ".join(selected)).insert_into(IMAGES.name)


def drop_empty_metadata(con: duckdb.DuckDBPyConnection) -> None:
    """Drop the further columns of `images` that hold no value."""
    names = metadata_columns(_columns(con))
    filled = filled_metadata(con, IMAGES.name, names)
    _change(con, [f"alter table {IMAGES.name} drop column {sql_identifier(n)}" for n in names if n not in filled])


def filled_metadata(con: duckdb.DuckDBPyConnection, relation: str, names: Collection[str]) -> list[str]:
    """Those of some columns of a relation that hold a value."""
    counts = ", ".join(f"count({sql_identifier(name)})" for name in names)
    found = (fetch_first(con, f"select {counts} from {relation}") if names else None) or ()
    return [name for name, count in zip(names, found, strict=True) if count]


def _change(con: duckdb.DuckDBPyConnection, statements: Sequence[str]) -> None:
    """Run statements that alter `images`, in a transaction of their own.

    DuckDB 1.4 does not commit a table that was altered after rows of it were deleted. The file does not yet take the
    place of the warehouse, so that a part of a load may be committed.
    """
    if statements:
        con.commit()
        con.begin()
        for statement in statements:
            con.execute(statement)


def _columns(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """The columns of the table `images` of this database, and their types in DuckDB."""
    rows = con.execute(
        "select column_name, data_type from duckdb_columns() where database_name = current_database() "
        "and schema_name = 'main' and table_name = ? order by column_index",
        [IMAGES.name],
    ).fetchall()
    return dict(rows)
