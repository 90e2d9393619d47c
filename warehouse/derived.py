"""Derived tables: what the analysis made from the warehouse, stored in it with the fingerprint of its input.

A fingerprint has two halves, `<shards>-<settings>`: whoever knows the settings compares both, and whether the shards
have changed since can be seen without them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from warehouse.connect import open_warehouse
from warehouse.errors import WarehouseError
from warehouse.identity import identity_of
from warehouse.revision import one_writer, revised
from warehouse.schema import DERIVED
from warehouse.tables import conform, create_tables, insert_rows, stamp


def input_fingerprint(con: duckdb.DuckDBPyConnection, settings: Mapping[str, Any]) -> str:
    """Fingerprint of the loaded predictions and of `settings` (JSON-like), for `input_fingerprint` columns."""
    return f"{shards_fingerprint(con)}-{identity_of(dict(settings))}"


def shards_fingerprint(con: duckdb.DuckDBPyConnection) -> str:
    """Hash of the keys and content hashes of all loaded shards of predictions."""
    rows = con.execute(
        "select evaluation_id, corruption, severity::varchar, content_hash from shards "
        "where table_name = 'predictions' order by all"
    ).fetchall()
    return identity_of(rows)


def stale_tables(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Names of derived tables that hold rows made from other shards than those loaded now."""
    current = f"{shards_fingerprint(con)}-"
    query = "select 1 from {} where not starts_with(input_fingerprint, ?) limit 1"
    return [t.name for t in DERIVED if con.execute(query.format(t.name), [current]).fetchall()]


def store_derived(warehouse: Path, tables: Mapping[str, pa.Table]) -> None:
    """Replace all rows of the named derived tables; like a load, the new file is made beside the old and swapped.

    Close connections of this process to the warehouse first: they keep seeing the former file.

    Args:
        warehouse: the DuckDB file.
        tables: Arrow rows by table name, with the columns of `schema.DERIVED`.

    Raises:
        WarehouseError: a name is no derived table; the warehouse is missing, of another version or being written.
        StorageError: the new file cannot be written.
    """
    known = {table.name: table for table in DERIVED}
    if unknown := sorted(tables.keys() - known.keys()):
        raise WarehouseError(f"{', '.join(unknown)}: no derived table; these are {', '.join(known)}")
    with one_writer(warehouse):
        open_warehouse(warehouse).close()  # it exists, and has our version
        with revised(warehouse) as con:
            create_tables(con)
            for name, rows in tables.items():
                con.execute(f"delete from {name}")
                insert_rows(con, known[name], conform(rows, known[name], name))
            stamp(con)
