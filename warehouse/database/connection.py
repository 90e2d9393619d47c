"""Reading the warehouse: connections that can neither write nor leave it, and so bear other people's SQL and files.

Every connection is a database in memory of its own, to which the file is attached read-only. Those that DuckDB opens by
path share one database within a process: it keeps showing a file that a load has replaced meanwhile, and refuses other
settings. These share nothing, so threads do not disturb each other, and whoever opens after a load sees what it loaded.
Opening and closing take 20 to 40 ms, most of it for starting a database, which a path opened alone costs as well.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from failmodes.warehouse.errors import WarehouseError, first_line
from failmodes.warehouse.schema_version import check_version

_MAKE = "`failmodes load STUDY`"
REBUILD_HINT = "make it anew with `failmodes load STUDY --rebuild`"

# Nothing is spilled to disk: with external access off, DuckDB still lets COPY write into its temporary directory.
_LOCKED = {
    "temp_directory": "",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
}


def open_warehouse(path: Path) -> duckdb.DuckDBPyConnection:
    """Open the warehouse, after its schema version was checked; see `attach_read_only`.

    Raises:
        WarehouseError: it is missing, no warehouse, of another schema version, or in use by a writer.
    """
    con = attach_read_only(path)
    try:
        check_version(_read_info(con, path)["schema_version"], path, REBUILD_HINT)
    except BaseException:
        con.close()
        raise
    return con


def read_info(path: Path) -> dict[str, Any]:
    """The row of `warehouse_info`, of whatever schema version the file is.

    Raises:
        WarehouseError: it is missing, no warehouse, never finished, or in use by a writer.
    """
    with attach_read_only(path) as con:
        return _read_info(con, path)


def attach_read_only(path: Path) -> duckdb.DuckDBPyConnection:
    """A connection to the file that can neither write, nor read any other file, nor change that; not even by its views.

    It keeps the file that it opened, whatever takes its place. Tables may be registered with it: they hide stored ones
    of the same name.

    Raises:
        WarehouseError: it is missing, no database, or in use by a writer.
    """
    if not path.is_file():
        raise WarehouseError(
            f"there is no warehouse {path}: {_MAKE} makes it from a record, failmodes.benchmark from a network"
        )
    con = duckdb.connect(config=dict(_LOCKED))
    try:
        with _opening_errors(path):
            con.execute("attach ? as warehouse (read_only)", [str(path)])
            con.execute("use warehouse")
            con.execute("set enable_external_access = false")
            con.execute("set disabled_filesystems = 'LocalFileSystem'")  # else: detach the file, attach it to write
            con.execute("set lock_configuration = true")
    except BaseException:
        con.close()
        raise
    return con


def fetch_first(con: duckdb.DuckDBPyConnection, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
    """First row of a query with bound values, or None; nothing is left unread, so the connection stays free."""
    rows = con.execute(sql, list(values)).fetchall()
    return rows[0] if rows else None


def _read_info(con: duckdb.DuckDBPyConnection, path: Path) -> dict[str, Any]:
    try:
        found = con.execute("from warehouse_info")
    except duckdb.CatalogException as error:
        raise WarehouseError(f"{path} is no warehouse of failmodes: name one, or make it with {_MAKE}") from error
    names, rows = [column[0] for column in found.description or ()], found.fetchall()
    if not rows:
        raise WarehouseError(f"{path} was never finished: make it anew with {_MAKE}")
    return dict(zip(names, rows[0], strict=True))


@contextmanager
def _opening_errors(path: Path) -> Iterator[None]:
    """Turn what keeps DuckDB from opening `path` into a WarehouseError."""
    try:
        yield
    except duckdb.ResourceInUseException as error:
        raise WarehouseError(f"{path} is open for writing in this process: close that connection first") from error
    except duckdb.Error as error:
        reason = first_line(error)
        if "lock" in reason:
            message = f"{path} is open for writing in another program: close it there and try again"
        else:
            message = (
                f"{path} cannot be opened as a DuckDB database ({reason}): name a warehouse, or make one with {_MAKE}"
            )
        raise WarehouseError(message) from error
