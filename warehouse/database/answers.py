"""The answer to a query as text or file: a table for the eye, CSV, JSON, Parquet."""

import base64
import io
import json
import math
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO
from unicodedata import combining, east_asian_width

from failmodes.warehouse.database.query import FirstRows, unshowable_values
from failmodes.warehouse.errors import QueryError, printable, spelt_out
from failmodes.warehouse.storage.files import atomic_write

if TYPE_CHECKING:
    import polars as pl

MOST_CELL_LETTERS, MOST_ITEMS = 1000, 10  # of a text and of a list in a cell of a table


def format_table(first: FirstRows, width: int) -> str:
    """The first rows as a table of at most `width` letters, ending in a line break.

    Neither Polars nor, where the table fits, rich is imported: both take longer than the answer to most questions.
    """
    names, texts = list(map(printable, first.columns)), [[_cell(value) for value in row] for row in first.rows]
    widths = [max(map(_width, column)) for column in zip(names, *texts, strict=True)]
    if sum(widths) + 3 * len(widths) < width and not any("\n" in text for row in texts for text in row):
        return _boxed(names, texts, widths)
    return _folded(names, texts, width)


def _boxed(names: list[str], rows: list[list[str]], widths: list[int]) -> str:
    def line(texts: list[str]) -> str:
        cells = (text + " " * (width - _width(text)) for text, width in zip(texts, widths, strict=True))
        return f"│ {' │ '.join(cells)} │"

    def rule(left: str, stroke: str, between: str, right: str) -> str:
        return left + between.join(stroke * (width + 2) for width in widths) + right

    head = [rule("┌", "─", "┬", "┐"), line(names), rule("╞", "═", "╪", "╡")]
    return "\n".join([*head, *map(line, rows), rule("└", "─", "┴", "┘")]) + "\n"


def _folded(names: list[str], rows: list[list[str]], width: int) -> str:
    """The same table where texts have several lines, or are folded into several."""
    from rich.box import SQUARE_DOUBLE_HEAD
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    table = Table(*(Column(Text(name), header_style="", overflow="fold") for name in names), box=SQUARE_DOUBLE_HEAD)
    for row in rows:
        table.add_row(*map(Text, row))
    text = io.StringIO()
    Console(file=text, width=width, color_system=None).print(table)
    return text.getvalue()


def print_rows(batches: Iterable["pl.DataFrame"], file: TextIO, output_format: str) -> int:
    """Write an answer, batch by batch, as CSV or JSON (a list of objects), ending in a line break.

    Returns:
        How many rows there were.

    Raises:
        QueryError: a value that neither can say.
    """
    count, is_csv = 0, output_format == "csv"
    for position, rows in enumerate(batches):
        with unshowable_values():
            if is_csv:
                text = _flat(rows).write_csv(include_header=position == 0)
            else:
                objects = [_as_json(_plain(row)) for row in rows.iter_rows(named=True)]
                text = ("[" if position == 0 else ", " if objects else "") + ", ".join(objects)
        file.write(text)
        count += rows.height
    if not is_csv:
        file.write("]\n")
    return count


def write_rows(batches: Iterable["pl.DataFrame"], path: Path) -> int:
    """Write an answer, batch by batch, to a .csv, .json or .parquet file, whole or not at all.

    Returns:
        How many rows there were.

    Raises:
        QueryError: another suffix, or a value that such a file cannot hold.
        StorageError: the file cannot be written.
    """
    output_format = path.suffix.removeprefix(".")
    if output_format not in ("csv", "json", "parquet"):
        raise QueryError(f"{path}: expected a file name that ends in .csv, .json or .parquet")
    with atomic_write(path) as temporary:
        if output_format == "parquet":
            return _write_parquet(batches, temporary)
        with temporary.open("w", encoding="utf-8", newline="") as file:
            return print_rows(batches, file, output_format)


def _write_parquet(batches: Iterable["pl.DataFrame"], path: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    count, writer = 0, None
    try:
        for rows in batches:
            with unshowable_values():
                table = rows.to_arrow()
                writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
                writer.write_table(table)
            count += rows.height
    except pa.ArrowException as error:
        raise QueryError(f"a column cannot be stored as Parquet, cast it to varchar: {error}") from error
    finally:
        if writer:
            writer.close()
    return count


def _cell(value: Any) -> str:
    """A value in a cell: floats with six digits after the point, long texts and lists cut, controls spelt out."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case float() if value and math.isfinite(value) and not 1e-4 <= abs(value) < 1e9:
            return f"{value:.4e}"
        case float() if math.isfinite(value):
            text = f"{value:.6f}".rstrip("0")
            return f"{text}0" if text.endswith(".") else text
        case list() | tuple():
            rest = ", …" if len(value) > MOST_ITEMS else ""
            return f"[{', '.join(map(_cell, value[:MOST_ITEMS]))}{rest}]"
        case _:
            text = str(value)
            text = text if len(text) <= MOST_CELL_LETTERS else f"{text[:MOST_CELL_LETTERS]}…"
            return "".join(letter if letter == "\n" else spelt_out(letter) for letter in text)


def _width(text: str) -> int:
    """Places that a text takes on a terminal: wide letters, such as Chinese ones, take two."""
    return sum(0 if combining(letter) else 1 + (east_asian_width(letter) in "WF") for letter in text)


def _flat(rows: "pl.DataFrame") -> "pl.DataFrame":
    """Rows without lists, structures and bytes, which CSV lacks: they become JSON text, the bytes in it base64."""
    import polars as pl

    nested = [name for name, kind in rows.schema.items() if kind.is_nested() or kind in (pl.Binary, pl.Object)]
    columns = {name: [_as_text(value) for value in rows[name].to_list()] for name in nested}
    return rows.with_columns([pl.Series(name, values, pl.String) for name, values in columns.items()])


def _as_text(value: Any) -> str | None:
    plain = _plain(value)
    return plain if plain is None or isinstance(plain, str) else _as_json(plain)


def _as_json(plain: Any) -> str:
    """JSON in readable letters; those that a terminal may act on, such as marks of direction, are escaped."""
    text = json.dumps(plain, ensure_ascii=False)
    return text if text.isprintable() else "".join(x if x.isprintable() else json.dumps(x)[1:-1] for x in text)


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
