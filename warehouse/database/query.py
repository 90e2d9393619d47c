"""Ad hoc SQL: one statement that reads, on a locked connection, within a time limit; its answer as text or file."""

import base64
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Timer
from typing import Any

import duckdb
import polars as pl

from failmodes.sql import QUERIES, first_comment, read_sql
from failmodes.warehouse.database.connection import open_locked
from failmodes.warehouse.errors import QueryError
from failmodes.warehouse.storage.files import atomic_write

_Kind = duckdb.StatementType

# The lock on the connection is what protects; these kinds only turn away what returns no rows.
_REFUSED = "{} is refused: a query only reads (SELECT, DESCRIBE, SUMMARIZE, …)"
_READS = {_Kind.SELECT, _Kind.EXPLAIN, _Kind.PRAGMA, _Kind.CALL, _Kind.MULTI}  # MULTI: PIVOT
TABLE_ROWS = 50


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
            rows: pl.DataFrame = con.sql(text).pl()
        finally:
            timer.cancel()
    return rows


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
    """DuckDB's message with its hints, without the excerpt of the query that it draws under it."""
    text = str(error).split("\n\nLINE ")[0].split("\nLINE ")[0]
    return " ".join(text.split())


def format_rows(rows: pl.DataFrame, output_format: str, width: int) -> str:
    """Rows as a table (its first TABLE_ROWS rows), CSV or JSON (a list of objects), ending in a line break."""
    if output_format == "csv":
        return _flat(rows).write_csv()
    if output_format == "json":
        return json.dumps([_plain(row) for row in rows.iter_rows(named=True)], ensure_ascii=False) + "\n"
    with pl.Config(
        tbl_rows=TABLE_ROWS,
        tbl_cols=-1,
        tbl_width_chars=width,
        fmt_str_lengths=1000,
        fmt_table_cell_list_len=10,
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
        tbl_formatting="UTF8_FULL_CONDENSED",
    ):
        return f"{rows.head(TABLE_ROWS)}\n"


def write_rows(rows: pl.DataFrame, path: Path) -> None:
    """Write rows to a .csv, .json or .parquet file, whole or not at all.

    Raises:
        QueryError: another suffix.
        StorageError: the file cannot be written.
    """
    output_format = path.suffix.removeprefix(".")
    if output_format not in ("csv", "json", "parquet"):
        raise QueryError(f"{path}: expected a file name that ends in .csv, .json or .parquet")
    with atomic_write(path) as temporary:
        if output_format == "parquet":
            rows.write_parquet(temporary)
        else:
            temporary.write_text(format_rows(rows, output_format, 0), encoding="utf-8")


def _flat(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows without lists, structures and bytes, which CSV lacks: they become JSON text, the bytes in it base64."""
    nested = [name for name, kind in rows.schema.items() if kind.is_nested() or kind in (pl.Binary, pl.Object)]
    columns = {name: [_as_text(value) for value in rows[name].to_list()] for name in nested}
    return rows.with_columns([pl.Series(name, values, pl.String) for name, values in columns.items()])


def _as_text(value: Any) -> str | None:
    plain = _plain(value)
    return plain if plain is None or isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """The value in JSON's types: not-a-number and infinity become null, decimals numbers, bytes base64, times ISO."""
    match value:
        case dict():
            return {str(name): _plain(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case bytes():
            return base64.b64encode(value).decode()
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return str(value)
        case _:
            return value
