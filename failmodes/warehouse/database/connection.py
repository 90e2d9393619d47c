"""Reading the warehouse: connections that can neither write nor leave it, and so bear other people's SQL and files.

Every connection is a database in memory of its own, to which the file is attached read-only; it shows the file's tables
and this program's views (`relations`). Those that DuckDB opens by path share one database within a process: it keeps
showing a file that a load has replaced meanwhile, and refuses other settings. These share nothing, so threads do not
disturb each other, and whoever opens after a load sees what it loaded. Opening and closing take 20 to 40 ms, most of it
for starting a database, which a path opened alone costs as well, and 150 ms more where all views are shown.
"""

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from failmodes.sql import sql_literal
from failmodes.warehouse.database.relations import REBUILD_HINT, TABLES, base_tables, check_table, show_relations
from failmodes.warehouse.errors import (
    LimitError,
    StudyError,
    WarehouseError,
    WarehouseInUseError,
    first_line,
)
from failmodes.warehouse.process import database_memory, interrupt_when_stopped
from failmodes.warehouse.storage.files import check_regular
from failmodes.warehouse.versions import check_version

if TYPE_CHECKING:
    import pyarrow as pa

_MAKE = "`failmodes load STUDY`"

# Nothing is spilled to disk: with external access off, DuckDB still lets COPY write into its temporary directory.
LOCKED: dict[str, Any] = {
    "temp_directory": "",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",  # else SQL reads the variables of whoever runs it
}

_OPEN_HERE = "is already attached by database"  # of another class in DuckDB 1
_LOCK_CONFLICT = "Could not set lock on file"  # DuckDB's words; a damaged "block" is another matter
OUT_OF_MEMORY = "out of memory: aggregate more or select less; a query may not spill to disk"


@contextmanager
def open_warehouse(
    path: Path, names: Iterable[str] | None = None, *, one_thread: bool = False
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the warehouse, after its schema version and tables were checked; see `attach_read_only`.

    Args:
        path: the DuckDB file.
        names: tables and views that are needed; all if not given. The others are not there.
        one_thread: add up in one order, so that sums are the same to the last digit whenever they are computed.

    Raises:
        WarehouseError: it is missing, no warehouse, of another schema version, changed by others, damaged, or in use by
            a writer; whatever DuckDB raises while the connection is used is one too.
        LimitError: memory ran out.
    """
    with attach_read_only(path, one_thread=one_thread) as con, reading_errors(path):
        version = read_version(con, path)
        check_version(version, path, REBUILD_HINT)
        show_relations(con, path, names)
        yield con


def was_warehouse(path: Path) -> bool:
    """Whether a file is a warehouse, even if it is damaged or of another form: a database with a `warehouse_info`."""
    try:
        with attach_read_only(path) as con, reading_errors(path):
            return "warehouse_info" in base_tables(con)
    except WarehouseError:
        return False


@contextmanager
def reading_errors(path: Path) -> Iterator[None]:
    """Turn what DuckDB raises while a warehouse is read into an error of one line.

    Raises:
        LimitError: memory ran out.
        WarehouseError: anything else, such as a damaged block.
    """
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise LimitError(OUT_OF_MEMORY) from error
    except duckdb.Error as error:
        raise WarehouseError(
            f"{path} is damaged, or not as failmodes wrote it ({first_line(error)}): {REBUILD_HINT}"
        ) from error


def attach_read_only(path: Path, *, one_thread: bool = False) -> duckdb.DuckDBPyConnection:
    """A connection to the file that can neither write, nor read any other file, nor change that; not even by its views.

    It keeps the file that it opened, whatever takes its place. Tables may be registered with it: they hide those of
    the same name. What the file holds is reached as warehouse.main.NAME.

    Raises:
        WarehouseError: it is missing, no database, or in use by a writer.
        StorageError: it is no regular file, or may not be read.
    """
    if path.is_dir() or not path.exists():
        raise WarehouseError(
            f"there is no warehouse {path}: {_MAKE} makes it from a record, failmodes.benchmark from a model",
            exit_code=StudyError.exit_code,
        )
    check_regular(path)
    memory = database_memory()
    held: dict[str, Any] = {} if memory is None else {"memory_limit": f"{memory}B"}
    if one_thread:
        held["threads"] = 1
    with _opening_errors(path):
        con = duckdb.connect(config=LOCKED | held)
    interrupt_when_stopped(con)
    try:
        with _opening_errors(path):
            con.execute(f"attach {sql_literal(str(path))} as warehouse (read_only)")
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


def arrow_reader(relation: duckdb.DuckDBPyRelation, rows: int) -> "pa.RecordBatchReader":
    """The rows of a relation in Arrow batches of `rows` at the most, computed as they are drawn."""
    name = "to_arrow_reader" if hasattr(relation, "to_arrow_reader") else "fetch_record_batch"  # so called in DuckDB 1
    reader: pa.RecordBatchReader = getattr(relation, name)(rows)
    return reader


def read_version(con: duckdb.DuckDBPyConnection, path: Path) -> str:
    """The schema version of a file, whatever version that is."""
    table = TABLES["warehouse_info"]
    if table.name not in base_tables(con):
        raise WarehouseError(f"{path} is no warehouse of failmodes: name one, or make it with {_MAKE}")
    check_table(con, table, path)
    unset = " or ".join(f"{column.name} is null" for column in table.columns)
    row = fetch_first(con, f"select schema_version, {unset} from warehouse.main.{table.name} limit 1")
    if row is None or row[1]:
        raise WarehouseError(f"{path} was never finished: make it anew with {_MAKE}")
    return str(row[0])


@contextmanager
def _opening_errors(path: Path) -> Iterator[None]:
    """Turn what keeps DuckDB from opening `path` into a WarehouseError."""
    try:
        yield
    except duckdb.Error as error:
        reason = first_line(error)
        if isinstance(error, duckdb.OutOfMemoryException):
            raise LimitError(OUT_OF_MEMORY) from error
        if os.strerror(errno.EMFILE) in reason:
            raise LimitError(f"{path} cannot be opened: too many open files (ulimit -n)") from error
        if _OPEN_HERE in reason:
            message = f"{path} is open for writing in this process: close that connection first"
            raise WarehouseInUseError(message) from error
        if _LOCK_CONFLICT in reason:
            message = f"{path} is open for writing in another program: close it there and try again"
            raise WarehouseInUseError(message) from error
        raise WarehouseError(
            f"{path} cannot be opened as a DuckDB database ({reason}): name a warehouse; or move it away, and make one "
            f"with {_MAKE}"
        ) from error
