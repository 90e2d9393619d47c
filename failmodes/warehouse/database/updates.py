"""How the warehouse changes: one writer at a time, and the new file made beside the old."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from failmodes.sql import sql_literal
from failmodes.warehouse.database.carried_tables import STORAGE, Former, carry_over
from failmodes.warehouse.database.connection import LOCKED, fetch_first
from failmodes.warehouse.database.stored_checks import update_checks
from failmodes.warehouse.database.stored_metrics import update_metrics
from failmodes.warehouse.database.tables import create_tables, write_info
from failmodes.warehouse.errors import StorageError, WarehouseError
from failmodes.warehouse.metrics.metric import Metric
from failmodes.warehouse.process import database_memory
from failmodes.warehouse.storage.files import TEMPORARY_PREFIX, atomic_write, reason_of, storage_errors
from failmodes.warehouse.storage.locks import file_lock
from failmodes.warehouse.terminal import note

WRITER_BYTES = 5 * 10**8  # more makes a load of millions of rows no faster, and DuckDB takes what it is given
BLOCK_BYTES = 262_144  # DuckDB's own
UNTRIED = "fsst,rle"  # compressions that DuckDB would try on every column, for files of the same size


class Derivation(NamedTuple):
    """What the analysis makes from a warehouse and stores in it; callers pass it, for nothing here knows the analysis.

    Attributes:
        due: names of what is missing, or was made from other rows or by other code.
        store: makes it, on a connection that may write, whose facts, metrics and views are of now; with the user's own
            metrics, which claims may name.
    """

    due: Callable[[duckdb.DuckDBPyConnection], list[str]]
    store: Callable[[duckdb.DuckDBPyConnection, Sequence[Metric]], None]


@contextmanager
def writer_lock(warehouse: Path) -> Iterator[None]:
    """Hold the lock of `warehouse`, a file beside it that the system frees when its holder dies.

    Whoever holds it is the only one to write, so what former writers left behind is removed first.

    Raises:
        WarehouseError: another process holds it, or another program has the database open for writing.
    """
    message = f"{warehouse} is being loaded by {{process}}: wait for it, then run the same command again"
    with file_lock(warehouse.parent / f".{warehouse.name}.lock", message):
        log = warehouse.with_name(f"{warehouse.name}.wal")
        if log.exists():
            raise WarehouseError(
                f"{log} stands beside the warehouse: another program has it open for writing, or left changes in it; "
                "close that program, or open and close the file once with DuckDB"
            )
        for leftover in warehouse.parent.glob(f"{TEMPORARY_PREFIX}*-{warehouse.name}*"):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)
        yield


@contextmanager
def staged_database(
    warehouse: Path,
    *,
    empty: bool = False,
    keeps_all: bool = False,
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a connection to a new file with what the warehouse holds (`empty`: nothing), which becomes the warehouse.

    Nothing of the former file is run: see `carried_tables`. Readers that have it open keep it. Call it inside
    `writer_lock`.

    Args:
        warehouse: the DuckDB file.
        empty: start from nothing.
        keeps_all: refuse a file that holds what a new one would be without; else it is said what that was.
        block_bytes: size of the blocks of the new file; a copy byte by byte keeps those it has.

    Raises:
        WarehouseError: the former file is missing, of another version, in use, damaged, not as this program writes, or
            `keeps_all` refuses it.
        StorageError: the new file cannot be written.
    """
    former = None if empty else Former(warehouse)
    if former and former.left_out and keeps_all:
        raise WarehouseError(
            f"{warehouse} holds {former.described()}, which failmodes did not make and would leave out of what it "
            "writes: `failmodes load STUDY` does that"
        )
    with atomic_write(warehouse) as temporary:
        try:
            if former and former.is_ours:
                shutil.copyfile(warehouse, temporary)
            with (
                _spill_folder(warehouse) as spill,
                duckdb.connect(str(temporary), config=_settings(spill, block_bytes)) as con,
            ):
                carries = former is not None and not former.is_ours
                if carries:
                    con.execute(f"attach {sql_literal(str(warehouse))} as warehouse (read_only)")
                if fetch_first(con, "select current_setting('enable_progress_bar')") == (True,):
                    con.execute("set enable_progress_bar = false")  # a notebook without ipywidgets refuses any setting
                _tune(con)
                con.execute(f"set disabled_compression_methods = '{UNTRIED}'")  # as a setting of `connect` it is lost
                con.execute("set enable_external_access = false")
                if carries:
                    con.begin()
                    carry_over(con, warehouse)
                    con.commit()
                    con.execute("detach warehouse")
                con.begin()  # one commit in all: a table, a comment, a view each would cost one of its own
                yield con
                con.commit()
                con.execute("checkpoint")
        except (duckdb.IOException, duckdb.FatalException, duckdb.TransactionException) as error:
            raise StorageError(f"cannot write {warehouse}: {reason_of(error)}") from error
        finally:
            temporary.with_name(f"{temporary.name}.wal").unlink(missing_ok=True)
    if former and former.left_out:
        note(f"{warehouse} is without {former.described()} now, which failmodes did not make")


@contextmanager
def _spill_folder(warehouse: Path) -> Iterator[Path]:
    """A folder for what a writer's memory has no room for, beside the warehouse, where its file has to fit too."""
    with storage_errors(warehouse.parent):
        spill = tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, suffix=f"-{warehouse.name}.spill", dir=warehouse.parent)
    try:
        yield Path(spill)
    finally:
        shutil.rmtree(spill, ignore_errors=True)


def _settings(spill: Path, block_bytes: int) -> dict[str, Any]:
    """Settings of a writer, which runs the SQL of this program alone and so may spill."""
    own = {
        "storage_compatibility_version": STORAGE,
        "default_block_size": block_bytes,
        "memory_limit": f"{_writer_memory()}B",
        "temp_directory": str(spill),
        "threads": 1,  # rows come from one stream: more threads would only copy what each has read together
    }
    return LOCKED | own


def _writer_memory() -> int:
    return min(WRITER_BYTES, database_memory() or WRITER_BYTES)


def _tune(con: duckdb.DuckDBPyConnection) -> None:
    """Settings that save a writer of DuckDB 2 time and memory; DuckDB 1.4 lacks them."""
    for setting in (
        f"block_allocator_memory = '{_writer_memory()}B'",  # kept for the next rows, not given back and asked for again
        "write_buffer_row_group_count = 1",  # rows go to the file as they come, not many at once
    ):
        with suppress(duckdb.CatalogException):
            con.execute(f"set {setting}")


@contextmanager
def changed_database(warehouse: Path, *, keeps_all: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a connection to change a warehouse by: like in a load, the new file is made beside the old and swapped.

    Its tables, views and metrics are those of today. Close connections of this process to the warehouse first: they
    keep seeing the former file.

    Args:
        warehouse: the DuckDB file; of a link the file that it leads to is replaced, not the link.
        keeps_all: leave a file alone that would lose what failmodes did not make.

    Raises:
        WarehouseError: the warehouse is missing, of another version, being written, or holds what failmodes did not
            make.
        StorageError: the new file cannot be written.
    """
    warehouse = warehouse.resolve()
    with writer_lock(warehouse), staged_database(warehouse, keeps_all=keeps_all) as con:
        create_tables(con)
        write_info(con)
        update_checks(con, update_metrics(con))
        yield con
