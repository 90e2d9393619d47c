"""Read-only, locked connections to a warehouse, safe for untrusted SQL and files.

Every connection is its own database in memory, to which the file is attached read-only; it shows the file's tables and
this program's views. Databases that DuckDB opens by path are shared within a process: they keep showing a file that a
load has replaced, and refuse other settings. These share nothing, so threads do not affect each other, and a connection
opened after a load sees the new rows. Opening and closing take 20 to 40 ms, mostly for starting a database, and 150 ms
more if all views are created.
"""

import errno
import os
import re
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast
from weakref import WeakKeyDictionary

import duckdb

from failmodes.runtime.errors import (
    FailmodesError,
    LimitError,
    StudyError,
    WarehouseError,
    WarehouseInUseError,
    first_line,
    translated,
)
from failmodes.runtime.process import database_memory, interrupt_when_stopped
from failmodes.runtime.storage.files import check_regular
from failmodes.sql import sql_identifier, sql_literal
from failmodes.warehouse.database.views import relation_names, view_definitions, with_sources
from failmodes.warehouse.database_schema import COMPUTED_TABLES, TABLES
from failmodes.warehouse.schema import (
    FACTS,
    IMAGES,
    MAX_METADATA_COLUMNS,
    METADATA_TYPES,
    SEVERITY,
    Column,
    Table,
    check_version,
    date,
    images_with,
    metadata_problem,
    moment,
)

if TYPE_CHECKING:
    import pyarrow as pa

_MAKE = "`failmodes load STUDY`"
REBUILD_HINT = "rebuild it with `failmodes load STUDY --rebuild`"

_IDENTITY = re.compile(r"(?<!image)(?<!wordnet)_id(_[ab])?$|_(hash|md5|fingerprint)$")
_INTEGERS = "TINYINT|SMALLINT|INTEGER|BIGINT|UTINYINT|USMALLINT|UINTEGER"
NUMBERS = (*_INTEGERS.split("|"), "HUGEINT", "UBIGINT", "FLOAT", "DOUBLE", "DECIMAL")

# Of each Arrow type, the type of DuckDB that a column gets, and those that it may have in a file
_TYPES = {
    "string": ("varchar", r"VARCHAR|ENUM\(.*\)"),
    "bool": ("boolean", "BOOLEAN"),
    "binary": ("blob", "BLOB"),
    "int16": ("smallint", _INTEGERS),
    "int32": ("integer", _INTEGERS),
    "int64": ("bigint", _INTEGERS),
    "float32": ("float", "FLOAT|DOUBLE"),
    "float64": ("double", "FLOAT|DOUBLE"),
    "date32": ("date", "DATE"),
    moment: ("timestamp", "TIMESTAMP(_S|_MS|_NS)?"),
    SEVERITY: (SEVERITY.replace("decimal128", "decimal"), r"DECIMAL\(\d+,\d+\)"),
}

_YEARS = {moment: ("1970", "2199"), date: ("0001", "9999")}  # that Python has, or that were

# Nothing is spilled to disk: without external access, DuckDB still lets COPY write into its temporary directory.
LOCKED: dict[str, Any] = {
    "temp_directory": "",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",  # otherwise SQL could read Python variables
}

_OPEN_HERE = "is already attached by database"  # an error of another class in DuckDB 1
_LOCK_CONFLICT = "Could not set lock on file"  # DuckDB's message; a damaged "block" is another error
OUT_OF_MEMORY = "out of memory: aggregate more or select less; queries do not spill to disk"
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Reader = Callable[Concatenate[duckdb.DuckDBPyConnection, Arguments], Result]

_RESULTS: "WeakKeyDictionary[duckdb.DuckDBPyConnection, dict[Hashable, Any]]" = WeakKeyDictionary()


@contextmanager
def open_warehouse(
    path: Path,
    names: Iterable[str] | Callable[[duckdb.DuckDBPyConnection], Iterable[str] | None] | None = None,
    *,
    one_thread: bool = False,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the warehouse, whose schema version and tables are checked; see `attach_read_only`.

    Args:
        path: the DuckDB file.
        names: needed tables and views, or a function of the connection that gives them; default: all. Others are not
            visible.
        one_thread: compute sums in one order, so that they are the same to the last digit.

    Raises:
        WarehouseError: it is missing, no warehouse, of another schema version, changed by others, damaged, or in use by
            a writer; errors of DuckDB while the connection is used become one too.
        LimitError: out of memory.
    """
    with attach_read_only(path, one_thread=one_thread) as con, reading_errors(path):
        version = read_version(con, path)
        check_version(version, path, REBUILD_HINT)
        show_relations(con, path, names(con) if callable(names) else names)
        yield con


def was_warehouse(path: Path) -> bool:
    """Whether a file is a warehouse, even if it is damaged or of another form: a database with a `warehouse_info`."""
    try:
        with attach_read_only(path) as con, reading_errors(path):
            return "warehouse_info" in base_tables(con)
    except WarehouseError:
        return False


def reading_errors(path: Path) -> AbstractContextManager[None]:
    """Turn errors of DuckDB while a warehouse is read into one line.

    Raises:
        LimitError: out of memory.
        WarehouseError: anything else, such as a damaged block.
    """
    return translated(duckdb.Error, partial(reading_error, path))


def reading_error(path: Path, error: duckdb.Error) -> FailmodesError:
    """The one-line error for an error of DuckDB while a warehouse is read."""
    if isinstance(error, duckdb.OutOfMemoryException):
        return LimitError(OUT_OF_MEMORY)
    return WarehouseError(f"{path} is damaged, or was not written by failmodes ({first_line(error)}): {REBUILD_HINT}")


def attach_read_only(path: Path, *, one_thread: bool = False) -> duckdb.DuckDBPyConnection:
    """A locked connection to the file that can neither write nor read any other file, not even by the file's views.

    It keeps the opened file even if another replaces it. Registered tables hide those of the same name. The content of
    the file is available as warehouse.main.NAME.

    Raises:
        WarehouseError: it is missing, no database, or in use by a writer.
        StorageError: it is no regular file, or may not be read.
    """
    if path.is_dir() or not path.exists():
        raise WarehouseError(
            f"warehouse {path} does not exist: {_MAKE} creates it from results, failmodes.benchmark from a model",
            exit_code=StudyError.exit_code,
        )
    check_regular(path)
    check_no_changes_beside(path)
    with translated(duckdb.Error, partial(_opening_error, path)):
        con = _empty(one_thread=one_thread)
    try:
        with translated(duckdb.Error, partial(_opening_error, path)):
            con.execute(attach_statement(path))
            _lock(con)
    except BaseException:
        con.close()
        raise
    return con


@contextmanager
def isolated(name: str, rows: "pa.Table") -> Iterator[duckdb.DuckDBPyConnection]:
    """A locked connection whose only table, `name`, has these rows: it reaches neither a file nor a warehouse."""
    con = _empty()
    try:
        con.register(name, rows)
        _lock(con)
        yield con
    finally:
        con.close()


def _empty(*, one_thread: bool = False) -> duckdb.DuckDBPyConnection:
    """A database in memory, not yet locked."""
    memory = database_memory()
    held: dict[str, Any] = {} if memory is None else {"memory_limit": f"{memory}B"}
    if one_thread:
        held["threads"] = 1
    con = duckdb.connect(config=LOCKED | held)
    interrupt_when_stopped(con)
    return con


def _lock(con: duckdb.DuckDBPyConnection) -> None:
    """Refuse files from now on, and every change of that."""
    con.execute("set enable_external_access = false")
    # Otherwise SQL could detach the file and attach it for writing
    con.execute("set disabled_filesystems = 'LocalFileSystem'")
    con.execute("set lock_configuration = true")


def attach_statement(path: Path) -> str:
    """The statement that attaches a database read-only as `warehouse`.

    Without a type and an absolute path, DuckDB looks for an extension if the file is of SQLite, or named
    `sqlite:a.duckdb`.
    """
    return f"attach {sql_literal(str(path.resolve()))} as warehouse (type duckdb, read_only)"


def check_no_changes_beside(path: Path) -> None:
    """Refuse a database beside which changes lie, which DuckDB would apply: a pipe would block it.

    Raises:
        WarehouseInUseError: another program has it open for writing or left changes, or a file has the name of changes.
    """
    target = path.resolve()
    for suffix in (".wal", ".wal.checkpoint", ".wal.recovery"):
        log = target.with_name(f"{target.name}{suffix}")
        if os.path.lexists(log):
            raise WarehouseInUseError(
                f"{log} exists beside the warehouse: another program has it open for writing, or left changes in it; "
                "close that program, or open and close the file once with DuckDB; remove a file that is not from DuckDB"
            )


def show_relations(con: duckdb.DuckDBPyConnection, path: Path, names: Iterable[str] | None = None) -> None:
    """Create the views that show tables of the attached file `warehouse`, and this program's views.

    The file is untrusted, so none of its code is run. Its views and macros stay hidden (only their full name,
    warehouse.main.NAME, reaches them). A table is shown if it is a base table whose columns have the types of the
    schema and no expression, which would be computed on every read.

    Args:
        con: a locked connection, to which the file is attached as `warehouse`.
        path: the file, for errors.
        names: the needed ones, in any case, with their sources; default: all.

    Raises:
        WarehouseError: a table is missing, no base table, or has a column of another type than the schema.
    """
    stored = base_tables(con)
    for name in with_sources(con, relation_names() if names is None else names):
        sql = checked_select(con, TABLES[name], stored, path) if name in TABLES else view_definitions()[name]
        con.execute(f"create view {name} as {sql}")


def base_tables(con: duckdb.DuckDBPyConnection) -> set[str]:
    """Names of the base tables of the attached file, without views."""
    return {
        name
        for (name,) in con.execute(
            "select table_name from duckdb_tables() where database_name = 'warehouse' and schema_name = 'main'"
        ).fetchall()
    }


def check_table(con: duckdb.DuckDBPyConnection, table: Table, path: Path) -> dict[str, str]:
    """Types of the columns of a stored base table, by name; read by `pragma_table_info`, which runs no code.

    Raises:
        WarehouseError: a column is missing, has an expression behind it, or another type than the schema.
    """
    columns = con.execute(f"select name, type, dflt_value from pragma_table_info('warehouse.main.{table.name}')")
    types: dict[str, str] = {}
    for name, kind, expression in columns.fetchall():
        types[name] = kind
        if expression is not None:
            raise _changed(path, f"{table.name}.{name} is computed by an expression")
    for column in table.columns:
        if column.name not in types:
            raise _changed(path, f"{table.name} lacks the column {column.name}")
        if not _fits(column, types[column.name]):
            raise _changed(path, f"{table.name}.{column.name} is {types[column.name]}, expected {column.type}")
    return types


def metadata_columns(stored: Mapping[str, str]) -> dict[str, str]:
    """Metadata among the stored columns of `images`: type in the schema by name; other columns are not ours.

    Args:
        stored: the type of DuckDB of each column.
    """
    kinds = {stored_type(kind): kind for kind in METADATA_TYPES}
    ours = {column.name for column in IMAGES.columns}
    return {
        name: kinds[kind]
        for name, kind in stored.items()
        if name not in ours and kind in kinds and not metadata_problem([name])
    }


def reading_order(table: Table) -> list[Column]:
    """The columns of a table in reading order: identities and hashes come last."""
    return sorted(table.columns, key=lambda column: bool(_IDENTITY.search(column.name)))


def checked_select(con: duckdb.DuckDBPyConnection, table: Table, stored: Collection[str], path: Path) -> str:
    """The statement that reads a table of the file.

    Raises:
        WarehouseError: the table is missing, no base table, or has a column of another type than the schema.
    """
    if table.name not in stored:
        raise _changed(path, f"it has no table {table.name}")
    types = check_table(con, table, path)
    if table is IMAGES:
        table = images_with(metadata_columns(types))
        if (count := len(table.columns) - len(IMAGES.columns)) > MAX_METADATA_COLUMNS:
            raise _changed(path, f"{IMAGES.name} has {count:,} columns of metadata, at most {MAX_METADATA_COLUMNS}")
    # `failmodes status` checks tables of millions of rows
    if table not in (*FACTS, *COMPUTED_TABLES):
        _check_values(con, table, path)
    columns = ", ".join(sql_identifier(column.name) for column in reading_order(table))
    return f"select {columns} from warehouse.main.{table.name}"


def _check_values(con: duckdb.DuckDBPyConnection, table: Table, path: Path) -> None:
    """Refuse nulls in required columns, dates outside Python's range, and texts too long to show."""
    conditions = []  # SQL of a number that is 0 or null if all is well, and the message otherwise
    for column in table.columns:
        name, most = sql_identifier(column.name), column.most_letters
        if not column.nullable:
            conditions.append((f"count(*) - count({name})", column, "is null in {:,} rows"))
        for kind, (first, last) in _YEARS.items():
            if column.type == kind:
                is_outside = f"{name}::timestamp not between '{first}-01-01' and '{last}-12-31'"
                problem = f"has a date outside the years {int(first)} to {last}"
                conditions.append((f"count_if({is_outside})", column, problem))
        if most:
            letters = f"max({_letters_of(column)})"
            problem = f"has a text of {{:,}} characters, expected at most {most:,}"
            conditions.append((f"if({letters} > {most}, {letters}, null)", column, problem))
    selected = ", ".join(sql for sql, *_ in conditions)
    row = fetch_first(con, f"select {selected} from warehouse.main.{table.name}") or ()
    for number, (_, column, problem) in zip(row, conditions, strict=True):
        if number:
            raise _changed(path, f"{table.name}.{column.name} {problem.format(number)}")


def _letters_of(column: Column) -> str:
    """SQL of the length of a text, or of the longest of a list."""
    if column.type.startswith("list<"):
        return f"list_max([length(item) for item in {column.name}])"
    return f"length({sql_identifier(column.name)}::varchar)"


def _fits(column: Column, stored: str) -> bool:
    kind = column.type
    if kind.startswith("list<"):
        if not stored.endswith("[]"):
            return False
        kind, stored = kind.removeprefix("list<").removesuffix(">"), stored.removesuffix("[]")
    return re.fullmatch(_TYPES[kind][1], stored, re.DOTALL) is not None


def duckdb_type(kind: str) -> str:
    """The type of DuckDB that a column gets, by the name of its Arrow type."""
    if kind.startswith("list<"):
        return f"{duckdb_type(kind.removeprefix('list<').removesuffix('>'))}[]"
    return _TYPES[kind][0]


def stored_type(kind: str) -> str:
    """The type of a column that this program created, as DuckDB names it in a file."""
    return duckdb_type(kind).replace(", ", ",").upper()


def _changed(path: Path, what: str) -> WarehouseError:
    return WarehouseError(f"{path} is not a warehouse of failmodes, or was changed: {what}; {REBUILD_HINT}")


def fetch_first(con: duckdb.DuckDBPyConnection, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
    """First row of a query with bound values, or None; reads all rows, so that the connection is free again."""
    rows = con.execute(sql, list(values)).fetchall()
    return rows[0] if rows else None


def count_rows(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Rows of every table, by its name."""
    return {name: con.execute(f"select count(*) from {name}").fetchall()[0][0] for name in TABLES}


def arrow_reader(relation: duckdb.DuckDBPyRelation, rows: int) -> "pa.RecordBatchReader":
    """The rows of a relation in Arrow batches of at most `rows`, computed as they are consumed."""
    name = "to_arrow_reader" if hasattr(relation, "to_arrow_reader") else "fetch_record_batch"  # its name in DuckDB 1
    return getattr(relation, name)(rows)


def read_version(con: duckdb.DuckDBPyConnection, path: Path) -> str:
    """The schema version of a file, of any version."""
    table = TABLES["warehouse_info"]
    if table.name not in base_tables(con):
        raise WarehouseError(f"{path} is not a warehouse of failmodes: name one, or create it with {_MAKE}")
    check_table(con, table, path)
    unset = " or ".join(f"{column.name} is null" for column in table.columns)
    row = fetch_first(con, f"select schema_version, {unset} from warehouse.main.{table.name} limit 1")
    if row is None or row[1]:
        raise WarehouseError(f"{path} is incomplete: rebuild it with {_MAKE}")
    return str(row[0])


def _opening_error(path: Path, error: duckdb.Error) -> FailmodesError:
    """The one-line error for an error of DuckDB while it opens a warehouse."""
    reason = first_line(error)
    if isinstance(error, duckdb.OutOfMemoryException):
        return LimitError(OUT_OF_MEMORY)
    if os.strerror(errno.EMFILE) in reason:
        return LimitError(f"{path} cannot be opened: too many open files (ulimit -n)")
    if _OPEN_HERE in reason:
        return WarehouseInUseError(f"{path} is open for writing in this process: close that connection first")
    if _LOCK_CONFLICT in reason:
        return WarehouseInUseError(f"{path} is open for writing in another program: close it there and try again")
    return WarehouseError(
        f"{path} cannot be opened as a DuckDB database ({reason}): name a warehouse; or move the file away, and "
        f"create one with {_MAKE}"
    )


def read_once(reader: Reader[Arguments, Result]) -> Reader[Arguments, Result]:
    """Cache a reader by its arguments for the lifetime of its connection.

    Arguments must be hashable, and callers must not change results.
    """

    @wraps(reader)
    def reading(con: duckdb.DuckDBPyConnection, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        results = _RESULTS.setdefault(con, {})
        key = (reader, args, tuple(sorted(kwargs.items())))
        if key not in results:
            results[key] = reader(con, *args, **kwargs)
        found: Result = results[key]
        return found

    return cast("Reader[Arguments, Result]", reading)
