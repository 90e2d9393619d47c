"""Ad hoc SQL: one statement that reads, on a locked connection, within a time limit."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import duckdb
import polars as pl

from warehouse.connect import open_locked
from warehouse.errors import QueryError
from warehouse.sqlfiles import QUERIES, first_comment, read_sql

_Kind = duckdb.StatementType
# The lock on the connection is what protects; this list only turns away what returns no rows.
_REFUSED = "{} is refused: a query only reads (SELECT, DESCRIBE, SUMMARIZE, …)"
_READS = {_Kind.SELECT, _Kind.EXPLAIN, _Kind.PRAGMA, _Kind.CALL, _Kind.MULTI}  # MULTI: PIVOT


def run_query(path: Path, sql: str, *, timeout_s: float = 60) -> pl.DataFrame:
    """Answer one SQL statement from the warehouse `path`, which it can neither change nor leave.

    Several statements are refused: only the last one's rows could be shown, which would hide the others.

    Args:
        path: the DuckDB file.
        sql: one statement, or @name for a saved query of `sql/queries`.
        timeout_s: seconds after which it is interrupted.

    Raises:
        QueryError: it is no valid SQL, more than one statement, not a reading one, refused, or out of time or memory.
        WarehouseError: the warehouse cannot be opened.
    """
    text = saved_query(sql[1:]) if sql.startswith("@") else sql
    with open_locked(path) as con, _query_errors(timeout_s):
        _refuse_what_does_not_read(con, text)
        timer = Timer(timeout_s, con.interrupt)
        timer.start()
        try:
            return con.sql(text).pl()
        finally:
            timer.cancel()


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


def _refuse_what_does_not_read(con: duckdb.DuckDBPyConnection, sql: str) -> None:
    statements = con.extract_statements(sql)
    if len(statements) != 1:
        raise QueryError(f"{len(statements)} statements where one is expected: run them one by one")
    try:
        kind = statements[0].type
    except ValueError as error:  # the binding does not know every kind that the parser knows
        raise QueryError(_REFUSED.format("this statement")) from error
    if kind not in _READS:
        raise QueryError(_REFUSED.format(kind.name))


@contextmanager
def _query_errors(timeout_s: float) -> Iterator[None]:
    try:
        yield
    except duckdb.InterruptException as error:
        raise QueryError(f"stopped after {timeout_s:g} s: narrow the query down, or allow more time") from error
    except duckdb.OutOfMemoryException as error:
        raise QueryError("out of memory: aggregate more or select less; a query may not spill to disk") from error
    except duckdb.Error as error:
        raise QueryError(_one_line(error)) from error
    except pl.exceptions.PolarsError as error:
        raise QueryError(f"a column cannot be shown, cast it to varchar: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    """DuckDB's message without the excerpt of the query that it draws under it."""
    text = str(error).split("\n\nLINE ")[0].split("\nLINE ")[0]
    return " ".join(text.split())
