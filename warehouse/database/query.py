"""Ad hoc SQL: one statement that reads, on a connection that can do nothing else, within a time limit."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb

from failmodes.sql import QUERIES, first_comment, read_sql
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.errors import QueryError, did_you_mean

if TYPE_CHECKING:
    import polars as pl

_Kind = duckdb.StatementType

# The lock on the connection is what protects; these kinds only turn away what returns no rows.
_REFUSED = "{} is refused: a query only reads (SELECT, DESCRIBE, SUMMARIZE, …)"
_READS = {_Kind.SELECT, _Kind.EXPLAIN, _Kind.PRAGMA, _Kind.CALL, _Kind.MULTI}  # MULTI: PIVOT


class FirstRows(NamedTuple):
    """The head of an answer: the names of its columns, its first rows as Python values, and how many rows it has."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    row_count: int


def run_query(
    path: Path, sql: str, parameters: Mapping[str, object] | None = None, *, timeout_s: float | None = 60
) -> "pl.DataFrame":
    """Answer one SQL statement from the warehouse `path`, which it can neither change nor leave.

    Several statements are refused: only the last one's rows could be shown, which would hide the others.

    Args:
        path: the DuckDB file.
        sql: one statement, or @name for a saved query of `sql/queries`.
        parameters: the value of each `$name` in it; values are bound, never written into the statement.
        timeout_s: seconds after which it is interrupted; None waits.

    Raises:
        QueryError: it is no valid SQL, more than one statement, not a reading one, refused, lacks the value of a
            parameter, or out of time or memory.
        WarehouseError: the warehouse cannot be opened.
    """
    with _asked(path, sql, parameters or {}, timeout_s) as relation:
        return to_polars(relation)


def first_rows(path: Path, sql: str, most: int, *, timeout_s: float | None = 60) -> FirstRows:
    """The first rows of an answer, `most` at the most, for the eye; needs neither Polars nor Arrow.

    Raises:
        QueryError, WarehouseError: as `run_query`.
    """
    with _asked(path, sql, {}, timeout_s) as relation:
        rows = relation.limit(most + 1).fetchall()
        return FirstRows(relation.columns, rows[:most], len(rows) if len(rows) <= most else len(relation))


def saved_query(name: str) -> str:
    """SQL of the saved query `name`.

    Raises:
        QueryError: there is none; the message names all.
    """
    texts = read_sql(QUERIES)
    if name not in texts:
        raise QueryError(f"no saved query @{name}: there are {', '.join('@' + known for known in texts)}")
    return texts[name]


def saved_queries() -> dict[str, str]:
    """First comment of every saved query, by name."""
    return {name: first_comment(sql) for name, sql in read_sql(QUERIES).items()}


def to_polars(relation: duckdb.DuckDBPyRelation) -> "pl.DataFrame":
    """The rows of an answer.

    Raises:
        QueryError: a column is of a type that Polars lacks.
    """
    from polars.exceptions import PolarsError

    try:
        rows: pl.DataFrame = relation.pl()
    except PolarsError as error:
        raise QueryError(f"a column cannot be shown, cast it to varchar: {_one_line(error)}") from error
    return rows


def bindable(value: object) -> object:
    """A value as DuckDB takes it: sets become lists, scalars of NumPy those of Python."""
    if isinstance(value, list | tuple | set | frozenset):
        return [bindable(item) for item in value]
    is_scalar = type(value).__module__ == "numpy" and not hasattr(value, "__len__")
    return value.item() if is_scalar else value  # type: ignore[attr-defined]


@contextmanager
def query_errors(timeout_s: float | None = None) -> Iterator[None]:
    """Turn what DuckDB raises into a QueryError of one line; `timeout_s` is when the query is interrupted."""
    try:
        yield
    except duckdb.InterruptException as error:
        raise QueryError(f"stopped after {timeout_s:g} s: narrow the query down, or allow more time") from error
    except duckdb.OutOfMemoryException as error:
        raise QueryError("out of memory: aggregate more or select less; a query may not spill to disk") from error
    except duckdb.Error as error:
        raise QueryError(_one_line(error)) from error


@contextmanager
def _asked(
    path: Path, sql: str, parameters: Mapping[str, object], timeout_s: float | None
) -> Iterator[duckdb.DuckDBPyRelation]:
    """The answer, which DuckDB computes as it is read, inside the context."""
    text = saved_query(sql[1:]) if sql.startswith("@") else sql
    with open_warehouse(path) as con, query_errors(timeout_s):
        statement = _reading_statement(con, text)
        _check_parameters(parameters, statement.named_parameters)
        values = {name: bindable(value) for name, value in parameters.items()}
        timer = None if timeout_s is None else Timer(timeout_s, con.interrupt)
        if timer:
            timer.start()
        try:
            yield con.sql(text, params=values or None)
        finally:
            if timer:
                timer.cancel()


def _reading_statement(con: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    statements = con.extract_statements(sql)
    if len(statements) != 1:
        raise QueryError(f"{len(statements)} statements where one is expected: run them one by one")
    try:
        kind = statements[0].type
    except ValueError as error:  # the binding does not know every kind that the parser knows
        raise QueryError(_REFUSED.format("this statement")) from error
    if kind not in _READS:
        raise QueryError(_REFUSED.format(kind.name))
    return statements[0]


def _check_parameters(given: Mapping[str, object], named: set[str]) -> None:
    """Refuse a parameter without a value, and a value without its parameter."""
    if any(name.isdigit() for name in named):
        raise QueryError("the query has a parameter without a name: write it as $name, and give its value by that name")
    known = ", ".join(f"${name}" for name in sorted(named)) or "none"
    for name in given:
        if name not in named:
            raise QueryError(f"no parameter ${name} in the query: {did_you_mean(name, named, f'it has {known}')}")
    if missing := sorted(named - given.keys()):
        raise QueryError(
            f"no value for {', '.join(f'${name}' for name in missing)}: give each parameter of the query one, "
            f"as in sql(query, {missing[0]}=…)"
        )


def _one_line(error: Exception) -> str:
    """DuckDB's message with its hints, without the excerpt of the query that it draws under it."""
    text = str(error).split("\n\nLINE ")[0].split("\nLINE ")[0]
    return " ".join(text.split())
