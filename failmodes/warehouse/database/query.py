"""Ad hoc SQL: one reading statement on a locked connection, within a time limit."""

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb

from failmodes.runtime.errors import LimitError, QueryError, did_you_mean, listed, shown, translated
from failmodes.runtime.process import interrupt, stop_behind
from failmodes.sql import sql_identifier
from failmodes.warehouse.database.connection import (
    NUMBERS,
    OUT_OF_MEMORY,
    arrow_reader,
    open_warehouse,
    reading_errors,
)
from failmodes.warehouse.database.saved_queries import give_parameters, relations_of_names, saved_query
from failmodes.warehouse.database.views import check_known
from failmodes.warehouse.schema import SEVERITY_DIGITS

if TYPE_CHECKING:
    import polars as pl
    from duckdb.sqltypes import DuckDBPyType  # elsewhere in DuckDB 1.4.0

_Kind = duckdb.StatementType

# The lock on the connection protects; these kinds only exclude statements without rows.
_REFUSED = "{} is refused: a query only reads (SELECT, DESCRIBE, SUMMARIZE, …)"
_DAYS = (date.min.toordinal() - date(1970, 1, 1).toordinal(), date.max.toordinal() - date(1970, 1, 1).toordinal())
_TICKS_PER_DAY = {"ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}

_POLARS_LACKS = ("union", "interval")
BATCH_ROWS = 64 * 1024  # of a result in memory at a time, if it goes to a file
STREAM_ROWS = 2048  # of a stream in memory at a time: DuckDB computes no fewer
MAX_STREAM_BYTES = 200_000_000
_OF_THE_FILE = (duckdb.IOException, duckdb.FatalException, duckdb.SerializationException)
_READS = {_Kind.SELECT, _Kind.EXPLAIN, _Kind.PRAGMA, _Kind.CALL, _Kind.MULTI}  # MULTI: PIVOT

# Words by which a statement may reach a table without naming it, or list all tables.
_INDIRECT = re.compile(
    r"\b(show|describe|summarize|pragma|call|query|query_table|information_schema|(duckdb|pg|sqlite)_\w+)\b", re.I
)


# DuckDB's messages for an unknown column, with and without a table name
_MISSING_COLUMN = re.compile(r'Referenced column "(\w+)" not found|does not have a column named "(\w+)"')


# A column that must equal a text or a parameter, or one of several: only hints read it
_EQUALS = re.compile(
    r"(\w+)\s*(?:=|\bin\b)\s*(?:any\s*)?\(?\s*((?:'(?:[^']|'')*'|\$\w+)(?:\s*,\s*(?:'(?:[^']|'')*'|\$\w+))*)", re.I
)
_TEXT_OR_PARAMETER = re.compile(r"'((?:[^']|'')*)'|\$(\w+)")
MAX_KNOWN, MAX_NAMED = 1000, 20  # values of a column that are searched for a near one; that a hint lists

# Types of columns that identify a row: names, classes, images, severities; counts and metrics are longer
_IDENTIFYING = ("VARCHAR", "ENUM", "TINYINT", "SMALLINT", "INTEGER", "DECIMAL")
_UNSORTED = ("prediction_facts", "predictions", "outcomes", "attention")


class MissingValueError(QueryError):
    """Parameters `names` of a statement have no value."""

    def __init__(self, names: Sequence[str], advice: str) -> None:
        super().__init__(f"no value for {', '.join(f'${name}' for name in names)}: {advice}")
        self.names = names


class FirstRows(NamedTuple):
    """The head of a result: column names, first rows as Python values, number of rows (None: unknown)."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    row_count: int | None


def run_query(
    path: Path, sql: str, parameters: Mapping[str, object] | None = None, *, timeout_s: float | None = 60
) -> "pl.DataFrame":
    """Run one SQL statement on the warehouse `path`, which it can neither change nor leave.

    Several statements are refused: only the rows of the last one could be shown.

    Args:
        path: the DuckDB file.
        sql: one statement, or @name for a saved query of `sql/queries`.
        parameters: the value of each `$name` in it; for a saved query, of its optional parameters. Values are
            bound, never inserted into the statement.
        timeout_s: time limit in seconds; None: no limit.

    Raises:
        QueryError: it is not valid SQL, more than one statement, not a reading one, refused, or lacks the value of a
            parameter.
        LimitError: the time or memory limit is reached.
        WarehouseError: the warehouse cannot be opened.
    """
    with _asked(path, sql, parameters or {}, timeout_s) as relation:
        return to_polars(relation)


@contextmanager
def query_batches(
    path: Path,
    sql: str,
    parameters: Mapping[str, object] | None = None,
    *,
    most: int | None = None,
    timeout_s: float | None = 60,
) -> Iterator[Iterator["pl.DataFrame"]]:
    """The rows of a result, all or the first `most`, in at least one batch, computed as they are consumed.

    Raises:
        QueryError, LimitError, WarehouseError: as `run_query`; the first two may be raised while batches are consumed.
    """
    with _asked(path, sql, parameters or {}, timeout_s) as relation:
        yield _batches(relation if most is None else relation.limit(most), timeout_s)


def query_arrow(path: Path, sql: str, *, most: int | None = None, timeout_s: float | None = 60) -> bytes:
    """The rows of a result, all or the first `most`, as an Arrow stream; `sql` as for `run_query`.

    Raises:
        QueryError, LimitError, WarehouseError: as `run_query`.
    """
    with _asked(path, sql, {}, timeout_s) as relation:
        return _arrow_stream(relation if most is None else relation.limit(most), timeout_s)


def select_arrow(con: duckdb.DuckDBPyConnection, path: Path, sql: str, *, timeout_s: float) -> bytes:
    """The rows of one SELECT as an Arrow stream, on an open connection.

    Args:
        con: a connection to the warehouse, or a cursor of one, that no other thread uses.
        path: its file, for errors.
        sql: the statement, without parameters.
        timeout_s: time limit in seconds.

    Raises:
        QueryError, LimitError, WarehouseError: as `run_query`.
    """
    with reading_errors(path), query_errors(timeout_s), _interrupted_after(con, timeout_s):
        statement = _reading_statement(con, _checked_text(sql))
        if statement.type != _Kind.SELECT:
            raise QueryError(_REFUSED.format(statement.type.name))
        _check_parameters({}, statement.named_parameters)
        return _arrow_stream(con.sql(sql), timeout_s)


def _arrow_stream(relation: duckdb.DuckDBPyRelation, timeout_s: float | None) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with _arrow_errors(timeout_s):
        reader = arrow_reader(relation, STREAM_ROWS)
        with pa.ipc.new_stream(sink, reader.schema) as writer:
            for batch in reader:
                check_stream_size(sink.tell() + batch.nbytes)
                writer.write_batch(batch)
    return bytes(sink.getvalue())


def check_stream_size(size: int) -> None:
    """Refuse a result of more bytes than are sent at once.

    Raises:
        LimitError: it has more.
    """
    if size > MAX_STREAM_BYTES:
        raise LimitError(f"the result exceeds {MAX_STREAM_BYTES / 1e6:,.0f} MB: aggregate more or select less")


def first_rows(
    path: Path,
    sql: str,
    most: int,
    parameters: Mapping[str, object] | None = None,
    *,
    timeout_s: float | None = 60,
) -> FirstRows:
    """At most `most` first rows of a result, for display; needs neither Polars nor Arrow.

    Raises:
        QueryError, LimitError, WarehouseError: as `run_query`.
    """
    with _asked(path, sql, parameters or {}, timeout_s) as relation:
        head = relation.limit(most + 1)
        try:
            rows = head.fetchall()
        except duckdb.InvalidInputException as error:
            if "pytz" not in str(error):
                raise
            rows = to_polars(head).rows()  # DuckDB 1 needs pytz for a timestamp with time zone
        return FirstRows(relation.columns, rows[:most], len(rows) if len(rows) <= most else _count(relation))


def read_rows(path: Path, name: str, filters: Mapping[str, object]) -> "pl.DataFrame":
    """The rows of a table or view that match every filter, sorted by the columns that identify them.

    Tables with a row per image are not sorted: that would take more memory than reading them.

    Args:
        path: the DuckDB file.
        name: a table or view.
        filters: by column: a value, a list of allowed values, or None for null.

    Raises:
        QueryError: the table, view or column does not exist, or a value has another type than its column.
        WarehouseError: the warehouse cannot be opened.
    """
    check_known(name)
    with open_warehouse(path, [name]) as con:
        return matching_rows(con, name, filters)


def matching_rows(con: duckdb.DuckDBPyConnection, name: str, filters: Mapping[str, object]) -> "pl.DataFrame":
    """The same on an open connection."""
    types = dict(con.execute(f"select column_name, column_type from (describe {sql_identifier(name)})").fetchall())
    conditions: list[str] = []
    values: dict[str, object] = {}
    for position, (column, value) in enumerate(filters.items()):
        if column not in types:
            from failmodes.warehouse.database.schema_listing import where_columns_are

            every = f"{name} has the columns {', '.join(types)}"
            hint = did_you_mean(column, types, where_columns_are(column) or every)
            raise QueryError(f"{name} has no column {column!r}: {hint}")
        wanted = value if isinstance(value, list | tuple | set | frozenset) else [value]
        known = [_fitting(item, types[column], f"{name}.{column}") for item in wanted if item is not None]
        quoted = sql_identifier(column)
        parameter = f"value_{position}"
        choices = [f"{quoted} = any(${parameter})"] if known else []
        choices += [f"{quoted} is null"] if None in wanted else []
        conditions.append(f"({' or '.join(choices) or 'false'})")
        values |= {parameter: known} if known else {}
    where = f" where {' and '.join(conditions)}" if conditions else ""
    with query_errors():
        rows = to_polars(con.sql(f"from {sql_identifier(name)}{where}", params=values or None))
    keys = [column for column, kind in types.items() if kind.startswith(_IDENTIFYING)]
    return rows if name in _UNSORTED else rows.sort(sorted(keys, key=lambda column: column != "model_label"))


def unknown_values(path: Path, sql: str, parameters: Mapping[str, object] | None = None) -> list[str]:
    """Hints for a statement without rows: texts that it compares with columns which nowhere have them.

    Args:
        path: the DuckDB file.
        sql: the statement, which has run.
        parameters: the value of each `$name` in it.

    Raises:
        WarehouseError: the warehouse cannot be opened.
    """
    named: list[str] = []

    def names(con: duckdb.DuckDBPyConnection) -> Collection[str]:
        named.extend(_named_relations(con, re.sub(r"\$\w+", "null", sql)) or ())  # DuckDB refuses parameters here
        return named

    with open_warehouse(path, names) as con:
        return unknown_texts(con, named, sql, parameters)


def unknown_texts(
    con: duckdb.DuckDBPyConnection, relations: Collection[str], sql: str, parameters: Mapping[str, object] | None = None
) -> list[str]:
    """Hints as of `unknown_values`, for a statement or condition that reads these tables and views."""
    wanted: list[tuple[str, object]] = []
    for column, values in _EQUALS.findall(sql):
        for text, name in _TEXT_OR_PARAMETER.findall(values):
            given = (parameters or {}).get(name) if name else text.replace("''", "'")
            wanted += [(column, value) for value in (given if isinstance(given, list | tuple | set) else [given])]
    return [hint for column, value in wanted for hint in _unknown_value(con, relations, column, value)]


def unknown_filters(path: Path, name: str, filters: Mapping[str, object]) -> list[str]:
    """Hints for filters of `read_rows` without rows, as of `unknown_values`."""
    wanted = [
        (column, value)
        for column, values in filters.items()
        for value in (values if isinstance(values, list | tuple | set | frozenset) else [values])
    ]
    with open_warehouse(path, [name]) as con:
        return [hint for column, value in wanted for hint in _unknown_value(con, [name], column, value)]


def _unknown_value(
    con: duckdb.DuckDBPyConnection, relations: Collection[str], column: str, value: object
) -> Iterator[str]:
    """A hint for the first relation that has the column, as text, if none of its rows has the value."""
    for relation in relations if isinstance(value, str) else ():
        types = dict(
            con.execute(f"select column_name, column_type from (describe {sql_identifier(relation)})").fetchall()
        )
        if types.get(column, "").partition("(")[0] not in ("VARCHAR", "ENUM"):
            continue
        quoted = sql_identifier(column)
        values = f"select distinct {quoted}::varchar from {sql_identifier(relation)} where {quoted} is not null"
        known = [text for (text,) in con.execute(f"{values} order by 1 limit {MAX_KNOWN + 1}").fetchall()]
        if known and value not in known and len(known) <= MAX_KNOWN:
            hint = did_you_mean(str(value), known, f"expected {listed(known, MAX_NAMED)}")
            yield f"no row of {relation} has {column} {shown(value)}: {hint}"
        return


def to_polars(relation: duckdb.DuckDBPyRelation) -> "pl.DataFrame":
    """The rows of a query; severities, which are DECIMAL(6,3), become floats.

    Raises:
        QueryError: Polars lacks the type of a column.
    """
    import polars as pl

    _check_types(relation)
    with unshowable_values():
        rows: pl.DataFrame = relation.pl()
        _check_dates(rows)
    severities = [name for name, kind in rows.schema.items() if kind == pl.Decimal(*SEVERITY_DIGITS)]
    return rows.with_columns(pl.col(severities).cast(pl.Float64))


def unshowable_values() -> AbstractContextManager[None]:
    """Turn errors of Polars and Python for values out of their range, such as the year 20000, into a QueryError."""
    from polars.exceptions import PanicException, PolarsError

    return translated(
        (PolarsError, PanicException, OverflowError, TypeError, ValueError),
        lambda error: QueryError(f"a column cannot be shown, cast it to varchar: {_one_line(error)}"),
    )


def bindable(value: object) -> object:
    """A value for DuckDB: sets become lists, NumPy scalars become Python scalars.

    Raises:
        QueryError: an integer of more than 128 bits.
    """
    if isinstance(value, list | tuple | set | frozenset):
        return [bindable(item) for item in value]
    if isinstance(value, int) and not -(2**127) <= value < 2**127:  # DuckDB 1 would round it
        raise QueryError("an integer is too large: expected at most 128 bits")
    is_scalar = type(value).__module__ == "numpy" and not hasattr(value, "__len__")
    return value.item() if is_scalar else value  # type: ignore[attr-defined]


def query_errors(timeout_s: float | None = None) -> AbstractContextManager[None]:
    """Turn errors of DuckDB into a QueryError or LimitError of one line; `timeout_s` is for the message."""

    def into(error: Exception) -> BaseException:
        if isinstance(error, duckdb.InterruptException):
            return _stopped(timeout_s)
        if isinstance(error, duckdb.OutOfMemoryException | MemoryError):
            return LimitError(OUT_OF_MEMORY)
        if not isinstance(error, duckdb.Error):
            return stop_behind(error) or error
        if isinstance(error, _OF_THE_FILE) or type(error) is duckdb.Error:  # DuckDB's error for wrong checksums
            return error  # not an error of the statement: `open_warehouse` reports a damaged file
        return QueryError(_with_place(_one_line(error)))

    return translated((duckdb.Error, MemoryError, RuntimeError), into)


@contextmanager
def _asked(
    path: Path, sql: object, parameters: Mapping[str, object], timeout_s: float | None
) -> Iterator[duckdb.DuckDBPyRelation]:
    """The result, which DuckDB computes as it is read, inside the context."""
    sql = _checked_text(sql)
    saved = saved_query(sql[1:]) if sql.startswith("@") else None
    text = saved.sql if saved else sql
    of_parameters = relations_of_names(parameters) if saved else []

    def names(con: duckdb.DuckDBPyConnection) -> Collection[str] | None:
        named = _named_relations(con, text)
        return None if named is None else [*named, *of_parameters]

    with open_warehouse(path, names) as con, query_errors(timeout_s):
        statement = _reading_statement(con, text)
        values = {name: bindable(value) for name, value in parameters.items()}
        if saved:
            give_parameters(con, saved, values)
            values = {}
        else:
            _check_parameters(parameters, statement.named_parameters)
        with _interrupted_after(con, timeout_s):
            yield con.sql(text, params=values or None)


@contextmanager
def _interrupted_after(con: duckdb.DuckDBPyConnection, timeout_s: float | None) -> Iterator[None]:
    timer = None if timeout_s is None else Timer(timeout_s, interrupt, (con,))
    if timer:
        timer.start()
    try:
        yield
    finally:
        if timer:
            timer.cancel()


def _named_relations(con: duckdb.DuckDBPyConnection, sql: str) -> Collection[str] | None:
    """Tables and views that a statement may read, or all (None); creating fewer views is faster."""
    if _INDIRECT.search(sql):
        return None
    try:
        return con.get_table_names(sql)
    except duckdb.Error:  # DuckDB looks up columns, for example with USING
        return None


def _count(relation: duckdb.DuckDBPyRelation) -> int | None:
    """Number of rows of a result; None if counting exceeds the time limit."""
    try:
        return len(relation)
    except duckdb.InterruptException:
        return None


@contextmanager
def _arrow_errors(timeout_s: float | None) -> Iterator[None]:
    """Turn errors of a stream into a QueryError or LimitError: Arrow reports those of DuckDB as text."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        text = _one_line(error)
        if isinstance(error, MemoryError) or "Out of Memory" in text:
            raise LimitError(OUT_OF_MEMORY) from error
        raise (_stopped(timeout_s) if "nterrupted" in text else QueryError(text)) from error


def _batches(relation: duckdb.DuckDBPyRelation, timeout_s: float | None) -> Iterator["pl.DataFrame"]:
    import polars as pl

    _check_types(relation)
    with unshowable_values():  # Arrow has its own bound on lists within lists
        reader = arrow_reader(relation, BATCH_ROWS)
    batch_count = 0
    with _arrow_errors(timeout_s):
        for batch in reader:
            batch_count += 1
            with unshowable_values():
                rows = pl.DataFrame(batch)
                _check_dates(rows)
            yield rows
    if not batch_count:
        with unshowable_values():
            yield pl.DataFrame(reader.schema.empty_table())


def _check_types(relation: duckdb.DuckDBPyRelation) -> None:
    """Refuse types on which Polars panics."""
    for name, kind in zip(relation.columns, relation.types, strict=True):
        if (found := _unshowable_type(kind)) is not None:
            raise QueryError(
                f"column {shown(name)} holds values of type {found}, which cannot be shown: cast it to varchar"
            )


def _unshowable_type(kind: "DuckDBPyType") -> str | None:
    """The first nested type that Polars lacks."""
    if kind.id in ("list", "array", "struct", "map"):
        inner = [child for _name, child in kind.children if isinstance(child, type(kind))]  # an array has its size
        return next((found for child in inner if (found := _unshowable_type(child)) is not None), None)
    return str(kind.id) if kind.id in _POLARS_LACKS else None


def _check_dates(rows: "pl.DataFrame") -> None:
    """Refuse dates outside Python's years 1 to 9999, such as infinity, on which Polars panics."""
    import polars as pl

    for name, kind in rows.schema.items():
        if kind == pl.Date or isinstance(kind, pl.Datetime):
            ticks_per_day = _TICKS_PER_DAY[kind.time_unit] if isinstance(kind, pl.Datetime) else 1
            values = rows[name].to_physical()
            first, last = (day * ticks_per_day for day in _DAYS)
            if not values.is_between(first, last + ticks_per_day - 1).all():
                raise ValueError(f"{name} has a date outside the years 1 to 9999")


def _stopped(timeout_s: float | None) -> LimitError:
    return LimitError(f"stopped after {timeout_s or 0:g} s: narrow the query, or raise the time limit")


def _checked_text(sql: object) -> str:
    if not isinstance(sql, str):
        raise QueryError(f"a query is a string, such as 'from models' (given: {shown(sql)})")
    try:
        sql.encode()  # DuckDB's own message is unclear
    except UnicodeEncodeError as error:
        raise QueryError(f"the query is not valid UTF-8: {error}") from error
    return sql


def _reading_statement(con: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    statements = con.extract_statements(sql)
    if len(statements) == 2 and not any(statement.query for statement in statements):  # DuckDB 1 parses a PIVOT so
        statements = statements[1:]
    if len(statements) != 1:
        raise QueryError(f"{len(statements)} statements, expected one: run them one by one")
    try:
        kind = statements[0].type
    except ValueError as error:  # the Python binding lacks some kinds of the parser
        raise QueryError(_REFUSED.format("this statement")) from error
    if kind not in _READS:
        raise QueryError(_REFUSED.format(kind.name))
    return statements[0]


def _check_parameters(parameters: Mapping[str, object], named: set[str]) -> None:
    """Refuse a parameter without a value, and a value without its parameter."""
    if any(name.isdigit() for name in named):
        raise QueryError("the query has a parameter without a name: write it as $name, and pass its value by that name")
    known = ", ".join(f"${name}" for name in sorted(named)) or "none"
    for name in parameters:
        if name not in named:
            raise QueryError(f"no parameter ${name} in the query: {did_you_mean(name, named, f'it has {known}')}")
    if missing := sorted(named - parameters.keys()):
        raise MissingValueError(missing, f"pass one for each parameter, as in sql(query, {missing[0]}=…)")


def _with_place(message: str) -> str:
    """DuckDB's message; for an unknown column, with the tables and views that have it."""
    from failmodes.warehouse.database.schema_listing import where_columns_are  # here: short queries do not need it

    missing = _MISSING_COLUMN.search(message)
    place = where_columns_are(missing[1] or missing[2]) if missing else ""
    return f"{message}; {place}" if place else message


def _one_line(error: Exception) -> str:
    """DuckDB's message with its hints, without the excerpt of the query."""
    text = str(error).split("\n\nLINE ")[0].split("\nLINE ")[0]
    return " ".join(text.split())


def _fitting(value: object, kind: str, column: str) -> object:
    """A value for comparison with a column of type `kind`; floats become decimals with their written digits."""
    value = bindable(value)
    family = kind.partition("(")[0]
    is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    fits = {
        "VARCHAR": isinstance(value, str),
        "ENUM": isinstance(value, str),
        "BOOLEAN": isinstance(value, bool),
        **dict.fromkeys(NUMBERS, is_number),
    }
    if not fits.get(family, True):
        raise QueryError(f"{column} is {kind}, and {value!r} is {type(value).__name__}: pass a value of that type")
    if family == "DECIMAL" and isinstance(value, float) and math.isfinite(value):
        return Decimal(repr(round(value, 9)))  # 0.1 + 0.2 is severity 0.3
    return value
