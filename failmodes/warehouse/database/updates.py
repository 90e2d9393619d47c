"""Change a warehouse: one writer at a time, and a new file written beside the old one.

The former file is untrusted, and writing into it would run its triggers, constraints, indexes and defaults. So the
tables of the schema are created by our own statements and filled column by column. Rows of a user's own tables are kept
if their columns have plain types. This is an allow-list: objects that a later DuckDB adds to its catalog are dropped
too. A load copies a file instead in which there is nothing to drop, since that takes a fraction of the time.
"""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from failmodes.runtime.errors import StorageError, WarehouseError, listed, translated
from failmodes.runtime.process import database_memory
from failmodes.runtime.storage.files import TEMPORARY_PREFIX, atomic_write, reason_of, storage_errors
from failmodes.runtime.storage.locks import file_lock
from failmodes.runtime.terminal import note
from failmodes.sql import sql_identifier
from failmodes.warehouse.database.checks import update_checks
from failmodes.warehouse.database.connection import (
    LOCKED,
    attach_statement,
    base_tables,
    check_no_changes_beside,
    check_table,
    checked_select,
    fetch_first,
    metadata_columns,
    open_warehouse,
    reading_error,
    reading_order,
    stored_type,
)
from failmodes.warehouse.database.image_metadata import add_metadata_columns, filled_metadata
from failmodes.warehouse.database.stored_metrics import update_metrics
from failmodes.warehouse.database.tables import create_tables, write_info
from failmodes.warehouse.database.views import view_definitions
from failmodes.warehouse.database_schema import TABLES
from failmodes.warehouse.metrics.metric import Metric
from failmodes.warehouse.schema import IMAGES, OF_DATASETS, Table

WRITER_BYTES = 5 * 10**8  # more does not speed up a load of millions of rows, and DuckDB uses all that it may
BLOCK_BYTES = 262_144  # DuckDB's own
STORAGE = "v1.2.0"  # readable by DuckDB 1.2 and later
# Compressions that DuckDB would try on every column without making files smaller. Smaller blocks have no bit packing:
# without RLE a column of lists takes 8 bytes per row there, even if all are null
UNTRIED, UNTRIED_IN_SMALL_BLOCKS = "fsst,rle", "fsst"

MAX_NAMED = 5  # of dropped objects

# Allowed types of a user's own tables: built-in types and lists of them.
_PLAIN = re.compile(
    r"(BOOLEAN|U?(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)|FLOAT|DOUBLE|DECIMAL\(\d+,\d+\)|VARCHAR|BLOB|BIT|UUID|DATE|TIME"
    r"|TIMESTAMP(_S|_MS|_NS)?|TIME WITH TIME ZONE|TIMESTAMP WITH TIME ZONE|INTERVAL)(\[\d*\])*"
)

_FOREIGN = {
    "duckdb_schemas": "'a schema ' || schema_name",
    "duckdb_functions": "'a macro ' || function_name",
    "duckdb_sequences": "'a sequence ' || sequence_name",
    "duckdb_types": "'a type ' || type_name",
    "duckdb_indexes": "'an index ' || index_name",
    "duckdb_constraints": "'a constraint of ' || table_name",
    "duckdb_triggers": "'a trigger ' || trigger_name",  # DuckDB 1 has none
}
_HAS_INTERNAL = ("duckdb_schemas", "duckdb_functions", "duckdb_types")


Narrowing = Callable[[Table, str], str | None]


class Derivation(NamedTuple):
    """The derived tables of the analysis; callers pass it, since this package does not import the analysis.

    Attributes:
        due: names of derived tables that are missing or out of date.
        store: computes them on a connection that may write, with current facts, metrics and views; takes the user's own
            metrics, which claims may name.
    """

    due: Callable[[duckdb.DuckDBPyConnection], list[str]]
    store: Callable[[duckdb.DuckDBPyConnection, Sequence[Metric]], None]


@contextmanager
def writer_lock(warehouse: Path) -> Iterator[None]:
    """Hold the lock of `warehouse`, a file beside it that the system releases when its holder dies.

    The holder is the only writer, so files left by former writers are removed first.

    Raises:
        WarehouseError: another process holds it, or another program has the database open for writing.
    """
    message = f"{warehouse} is being loaded by {{process}}: wait for it, then run the same command again"
    with file_lock(warehouse.parent / f".{warehouse.name}.lock", message):
        check_no_changes_beside(warehouse)
        for leftover in warehouse.parent.glob(f"{TEMPORARY_PREFIX}*-{warehouse.name}*"):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)
        yield


def left_out(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Objects of the attached file that a new file would drop, as text; the tables of the schema are checked already.

    Views are left out if they are not ours by their names.
    """
    functions = "select distinct function_name from duckdb_functions() where database_name = 'system'"
    known = set(con.execute(functions).fetchall())
    dropped = []
    for function, what in _FOREIGN.items():
        if (function,) in known:
            internal = "and not internal" if function in _HAS_INTERNAL else ""
            rows = con.execute(
                f"select distinct {what} as what from {function}() where database_name = 'warehouse' {internal} "
                "order by what"
            ).fetchall()
            dropped += [what for (what,) in rows]
    for name in sorted(base_tables(con)):
        dropped += _left_of_table(con, name)
    views = con.execute(
        "select view_name from duckdb_views() where database_name = 'warehouse' and schema_name = 'main' "
        "and not internal order by view_name"
    ).fetchall()
    return dropped + [f"a view {name}" for (name,) in views if name.lower() not in view_definitions()]


def _is_of_our_form(con: duckdb.DuckDBPyConnection, warehouse: Path) -> bool:
    """Whether the attached file is stored as we store it, and the columns of its tables are as we create them."""
    stored = con.execute(
        "select block_size, tags['storage_version'] from pragma_database_size() natural join duckdb_databases() "
        "where database_name = 'warehouse'"
    ).fetchall()
    return stored == [(BLOCK_BYTES, f"{STORAGE}+")] and all(
        _has_our_columns(table, check_table(con, table, warehouse)) for table in TABLES.values()
    )


def _has_our_columns(table: Table, stored: dict[str, str]) -> bool:
    """Whether the columns of a stored table are as we create them; metadata come last."""
    ours = [(column.name, stored_type(column.type)) for column in reading_order(table)]
    if table is IMAGES:
        ours += [(name, stored_type(kind)) for name, kind in metadata_columns(stored).items()]
    return [*stored.items()] == ours


def carry_over(
    con: duckdb.DuckDBPyConnection,
    warehouse: Path,
    narrowed: Narrowing | None = None,
    own_tables: bool = True,
) -> None:
    """Fill a new file from the tables of the file attached to it read-only as `warehouse`.

    Args:
        con: the new file, empty.
        warehouse: the former file, for errors.
        narrowed: the select of a table's rows, given all of them, or None for none. It may read what has been inserted:
            facts first, images last.
        own_tables: whether to keep a user's own tables.

    Raises:
        WarehouseError: a table was changed, a value does not fit our columns, or the file is damaged.
        duckdb.IOException: the new file cannot be written.
    """
    create_tables(con)
    stored = base_tables(con)

    def into(error: duckdb.Error) -> Exception:  # an IOException is usually of the new file
        return error if isinstance(error, duckdb.IOException) else reading_error(warehouse, error)

    with translated(duckdb.Error, into):
        for table in sorted(TABLES.values(), key=OF_DATASETS.__contains__):
            every = checked_select(con, table, stored, warehouse)
            if rows := narrowed(table, every) if narrowed else every:
                if table is IMAGES:
                    rows = _with_filled_metadata(con, rows, metadata_columns(check_table(con, table, warehouse)))
                con.execute(f"insert into {table.name} by name {rows}")
        for name in sorted(stored) if own_tables else ():
            if _is_carried(con, name):
                con.execute(f"create table {sql_identifier(name)} as from warehouse.main.{sql_identifier(name)}")


def _with_filled_metadata(con: duckdb.DuckDBPyConnection, rows: str, metadata: Mapping[str, str]) -> str:
    """Add the columns of metadata that have values in `rows` to `images`; gives the select without the others."""
    filled = filled_metadata(con, f"({rows})", metadata)
    add_metadata_columns(con, {name: metadata[name] for name in filled})
    empty = [sql_identifier(name) for name in metadata if name not in filled]
    return f"select * exclude ({', '.join(empty)}) from ({rows})" if empty else rows


def _left_of_table(con: duckdb.DuckDBPyConnection, name: str) -> list[str]:
    """Dropped parts of a table: all of it, or columns that are not in the schema."""
    if table := TABLES.get(name):
        stored = _columns(con, name)
        known = {column.name for column in table.columns}
        if table is IMAGES:
            known |= metadata_columns({column: kind for column, (kind, _) in stored.items()}).keys()
        return [f"a column {name}.{column}" for column in stored if column not in known]
    return [] if _is_carried(con, name) else [f"a table {name}"]


def _is_carried(con: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Whether the rows of a user's own table are kept: its columns are plain, its name is not ours."""
    if name.lower() in TABLES or name.lower() in view_definitions():
        return False
    return all(_PLAIN.fullmatch(kind) and not expression for kind, expression in _columns(con, name).values())


def _columns(con: duckdb.DuckDBPyConnection, table: str) -> dict[str, tuple[str, str | None]]:
    """Type and expression of the columns of a stored table by name."""
    rows = con.execute(
        "select column_name, data_type, column_default from duckdb_columns() "
        "where database_name = 'warehouse' and schema_name = 'main' and table_name = ?",
        [table],
    ).fetchall()
    return {name: (kind, expression) for name, kind, expression in rows}


@contextmanager
def staged_database(
    warehouse: Path,
    *,
    source: Path | None = None,
    narrowed: Narrowing | None = None,
    empty: bool = False,
    keeps_all: bool = False,
    copies: bool = False,
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection to a new file with the warehouse's content (`empty`: none), which replaces the warehouse.

    No code of the former file is run. Readers keep the former file. Call it inside `writer_lock`.

    Args:
        warehouse: the DuckDB file.
        source: another warehouse, whose content it gets.
        narrowed: see `carry_over`.
        empty: start from an empty file.
        keeps_all: refuse a file with objects that would be dropped; otherwise a note names them.
        copies: copy a file of our form as it is (see `_is_of_our_form`), and its rows otherwise.
        block_bytes: block size of the new file.

    Raises:
        WarehouseError: the former file is missing, of another version, in use, damaged, changed, or refused by
            `keeps_all`.
        StorageError: the new file cannot be written.
    """
    dropped, is_ours = ("", False) if empty or source else _content(warehouse)
    is_copied = copies and is_ours
    takes_rows = not (empty or is_copied)
    if dropped and keeps_all:
        raise WarehouseError(
            f"{warehouse} holds {dropped}, which failmodes did not create and would drop: `failmodes load STUDY` does "
            "that"
        )
    with atomic_write(warehouse) as temporary:
        if is_copied:
            shutil.copyfile(warehouse, temporary)
        try:
            with (
                _spill_folder(warehouse) as spill,
                duckdb.connect(str(temporary), config=_settings(spill, block_bytes)) as con,
            ):
                if takes_rows:
                    con.execute(attach_statement(source or warehouse))
                if fetch_first(con, "select current_setting('enable_progress_bar')") == (True,):
                    # A notebook without ipywidgets refuses every setting
                    con.execute("set enable_progress_bar = false")
                _tune(con)
                untried = UNTRIED if block_bytes == BLOCK_BYTES else UNTRIED_IN_SMALL_BLOCKS
                con.execute(f"set disabled_compression_methods = '{untried}'")  # ignored as a setting of `connect`
                con.execute("set enable_external_access = false")
                if takes_rows:
                    con.begin()
                    carry_over(con, source or warehouse, narrowed, source is None)
                    con.commit()
                    con.execute("detach warehouse")
                con.begin()  # one commit in all, not one per table, comment and view
                yield con
                con.commit()
                con.execute("checkpoint")
        except (duckdb.IOException, duckdb.FatalException, duckdb.TransactionException) as error:
            raise StorageError(f"cannot write {warehouse}: {reason_of(error)}") from error
        finally:
            temporary.with_name(f"{temporary.name}.wal").unlink(missing_ok=True)
    if dropped:
        note(f"{warehouse} no longer holds {dropped}, which failmodes did not create")


def _content(warehouse: Path) -> tuple[str, bool]:
    """What a new file would drop, in words, and whether there is nothing, in tables of our form."""
    with open_warehouse(warehouse, TABLES) as con:
        foreign = left_out(con)
        return listed(foreign, MAX_NAMED), not foreign and _is_of_our_form(con, warehouse)


def _spill_folder(warehouse: Path) -> tempfile.TemporaryDirectory[str]:
    """A folder for data that exceed a writer's memory, beside the warehouse."""
    place: dict[str, Any] = {"suffix": f"-{warehouse.name}.spill", "dir": warehouse.parent}
    with storage_errors(warehouse.parent):
        return tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, **place, ignore_cleanup_errors=True)


def _settings(spill: str, block_bytes: int) -> dict[str, Any]:
    """Settings of a writer, which runs only SQL of this program and may spill to disk."""
    own = {
        "storage_compatibility_version": STORAGE,
        "default_block_size": block_bytes,
        "memory_limit": f"{_writer_memory()}B",
        "temp_directory": spill,
        "threads": 1,  # rows come from one stream: more threads would only merge their copies
    }
    return LOCKED | own


def _writer_memory() -> int:
    return min(WRITER_BYTES, database_memory() or WRITER_BYTES)


def _tune(con: duckdb.DuckDBPyConnection) -> None:
    """Settings that save time and memory with DuckDB 2; DuckDB 1.4 lacks them."""
    for setting in (
        f"block_allocator_memory = '{_writer_memory()}B'",  # kept for the next rows instead of released
        "write_buffer_row_group_count = 1",  # rows are written as they come
    ):
        with suppress(duckdb.CatalogException):
            con.execute(f"set {setting}")


@contextmanager
def changed_database(warehouse: Path, *, keeps_all: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection that changes a warehouse: as in a load, a new file is written beside the old one and swapped.

    Its tables, views and metrics are current. Close connections of this process to the warehouse first: they keep
    seeing the former file.

    Args:
        warehouse: the DuckDB file; the target of a link is replaced, not the link.
        keeps_all: refuse a file with objects that failmodes did not create.

    Raises:
        WarehouseError: the warehouse is missing, of another version, being written, or holds objects that failmodes did
            not create.
        StorageError: the new file cannot be written.
    """
    warehouse = warehouse.resolve()
    with writer_lock(warehouse), staged_database(warehouse, keeps_all=keeps_all) as con:
        create_tables(con)
        write_info(con)
        update_metrics(con)
        update_checks(con)
        yield con
