"""A query's answer as text or file: table for people, CSV, JSON and Parquet for programs."""

import base64
import json
import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from warehouse.errors import QueryError
from warehouse.publish import publish

TABLE_ROWS = 50


def as_text(rows: pl.DataFrame, form: str, width: int) -> str:
    """Rows as a table (its first TABLE_ROWS rows), CSV or JSON (a list of objects), ending in a line break."""
    if form == "csv":
        return _flat(rows).write_csv()
    if form == "json":
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
    form = path.suffix.removeprefix(".")
    if form not in ("csv", "json", "parquet"):
        raise QueryError(f"{path}: expected a file name that ends in .csv, .json or .parquet")
    with publish(path) as temporary:
        if form == "parquet":
            rows.write_parquet(temporary)
        else:
            temporary.write_text(as_text(rows, form, 0), encoding="utf-8")


def _flat(rows: pl.DataFrame) -> pl.DataFrame:
    """CSV has no lists, structures or bytes: these become JSON text, the bytes in it base64."""
    nested = [name for name, kind in rows.schema.items() if kind.is_nested() or kind in (pl.Binary, pl.Object)]
    columns = {name: [_cell(value) for value in rows[name].to_list()] for name in nested}
    return rows.with_columns([pl.Series(name, values, pl.String) for name, values in columns.items()])


def _cell(value: Any) -> str | None:
    plain = _plain(value)
    return plain if plain is None or isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """A value that JSON can say: not-a-number and infinity become null, decimals numbers, bytes base64, time ISO."""
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
