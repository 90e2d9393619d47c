"""One writer at a time, and the new file beside the old: how the warehouse changes."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from warehouse.errors import StorageError, WarehouseError
from warehouse.locks import exclusive
from warehouse.place import TEMPORARY_PREFIX
from warehouse.publish import publish


@contextmanager
def one_writer(warehouse: Path) -> Iterator[None]:
    """Hold the lock of `warehouse`, a file beside it that the system frees when its holder dies.

    Whoever holds it is the only one to write, so what former writers left behind is removed first.

    Raises:
        WarehouseError: another process holds it, or another program has the database open for writing.
    """
    message = f"{warehouse} is being loaded by {{process}}: wait for it, then run the same command again"
    with exclusive(warehouse.parent / f".{warehouse.name}.lock", message):
        _refuse_foreign_writer(warehouse)
        for leftover in warehouse.parent.glob(f"{TEMPORARY_PREFIX}*-{warehouse.name}*"):
            leftover.unlink(missing_ok=True)
        yield


@contextmanager
def revised(warehouse: Path, *, anew: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a connection to a copy of the warehouse (`anew`: to an empty file); on success it becomes the warehouse.

    Readers that have the former file open keep it. Call it inside `one_writer`.

    Raises:
        StorageError: the new file cannot be written.
    """
    with publish(warehouse) as temporary:
        try:
            if not anew:
                shutil.copyfile(warehouse, temporary)
            with duckdb.connect(str(temporary)) as con:
                con.begin()  # one commit in all: a table, a comment, a view each would cost one of its own
                yield con
                con.commit()
                con.execute("checkpoint")
        except (duckdb.IOException, duckdb.FatalException, duckdb.TransactionException) as error:
            raise StorageError(f"cannot write {warehouse}: {_reason(error)}") from error
        finally:
            temporary.with_name(f"{temporary.name}.wal").unlink(missing_ok=True)


def _refuse_foreign_writer(warehouse: Path) -> None:
    log = warehouse.with_name(f"{warehouse.name}.wal")
    if log.exists():
        raise WarehouseError(
            f"{log} stands beside the warehouse: another program has it open for writing, or left changes in it; "
            "close that program, or open and close the file once with DuckDB"
        )


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
