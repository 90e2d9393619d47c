"""Reading the warehouse: a connection for our own analysis, and a locked one for other people's SQL."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from failmodes.warehouse.errors import WarehouseError, first_line
from failmodes.warehouse.shards.format import check_version

_MAKE = "`failmodes load STUDY`"
REBUILD_HINT = "make it anew with `failmodes load STUDY --rebuild`"

# Without a place to spill to, nothing at all may be written: with external access off, DuckDB still lets COPY write
# into its temporary directory, by default a folder beside the database.
_LOCKED = {
    "temp_directory": "",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
}


def open_warehouse(path: Path) -> duckdb.DuckDBPyConnection:
    """Open the warehouse read-only, after its schema version was checked. Close it before you write to it.

    Raises:
        WarehouseError: it is missing, no warehouse, of another schema version, in use by a writer, or this process
            still has its former version open.
    """
    return _checked(path, _connect(path, {}))


def open_locked(path: Path) -> duckdb.DuckDBPyConnection:
    """Open the warehouse for SQL that strangers wrote: it can neither write, nor read any other file, nor change that.

    Raises:
        WarehouseError: as `open_warehouse`.
    """
    con = _connect(path, _LOCKED)
    if fetch_first(con, "select current_setting('lock_configuration')") != (True,):
        con.execute("set enable_external_access = false")
        con.execute("set lock_configuration = true")
    return _checked(path, con)


def read_info(path: Path) -> dict[str, Any]:
    """The row of `warehouse_info` in the file as it is now, past any connection that this process has open.

    Raises:
        WarehouseError: it is missing, no warehouse, never finished, or in use by a writer.
    """
    try:
        with attach_read_only(path) as con:
            rows: pl.DataFrame = con.sql("from warehouse_info").pl()
    except duckdb.CatalogException as error:
        raise WarehouseError(f"{path} is no warehouse of failmodes: name one, or make it with {_MAKE}") from error
    if rows.is_empty():
        raise WarehouseError(f"{path} was never finished: make it anew with {_MAKE}")
    return rows.row(0, named=True)


def attach_read_only(path: Path) -> duckdb.DuckDBPyConnection:
    """Attach the warehouse read-only to a database in memory: unlike connections by path, these are never shared.

    Raises:
        WarehouseError: it is missing, no database, or in use by a writer.
    """
    con = duckdb.connect()
    try:
        with _opening_errors(path):
            con.execute("attach ? as warehouse (read_only)", [str(path)])
            con.execute("use warehouse")
    except WarehouseError:
        con.close()
        raise
    return con


def fetch_first(con: duckdb.DuckDBPyConnection, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
    """First row of a query with bound values, or None; nothing is left unread, so the connection stays free."""
    rows = con.execute(sql, list(values)).fetchall()
    return rows[0] if rows else None


def _connect(path: Path, config: dict[str, str]) -> duckdb.DuckDBPyConnection:
    with _opening_errors(path):
        return duckdb.connect(str(path), read_only=True, config=dict(config))


@contextmanager
def _opening_errors(path: Path) -> Iterator[None]:
    """Turn what keeps DuckDB from opening `path` into a WarehouseError."""
    if not path.is_file():
        raise WarehouseError(f"there is no warehouse {path}: make it with {_MAKE}")
    try:
        yield
    except duckdb.ConnectionException as error:
        raise WarehouseError(f"{path} is open in this process in another way: close that connection first") from error
    except duckdb.Error as error:
        reason = first_line(error)
        if "lock" in reason:
            message = f"{path} is open for writing in another program: close it there and try again"
        else:
            message = f"{path} cannot be opened as a DuckDB database ({reason}): delete it, then make it with {_MAKE}"
        raise WarehouseError(message) from error


def _checked(path: Path, con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    try:
        info = read_info(path)
        check_version(info["schema_version"], path, REBUILD_HINT)
        if fetch_first(con, "select build_id from warehouse_info") != (info["build_id"],):
            raise WarehouseError(f"{path} has changed, and this process has the former one open: close that first")
    except BaseException:
        con.close()
        raise
    return con
