"""The first rows of a query for a terminal: a table, or a record a row where a table would break words."""

import math
import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.measure import Measurement
from rich.table import Table

from failmodes.analysis.render.formats.text import lay_out, plain_console
from failmodes.warehouse.errors import printable, spelt_out

MOST_CELL_LETTERS, MOST_ITEMS = 1000, 10  # of a text and of a list in a cell


def format_rows(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], width: int, *, vertical: bool | None = None
) -> str:
    r"""Rows as lines of at most `width` letters, ending in a line break.

    Args:
        columns: names.
        rows: a value a column.
        width: letters of a line.
        vertical: a record a row, a line a column, as `\x` of psql; by default where a table would break words.
    """
    names, texts = list(map(printable, columns)), [[cell_text(value) for value in row] for row in rows]
    table = Table(box=box.SQUARE_DOUBLE_HEAD, header_style="")
    for name in names:
        table.add_column(name, overflow="fold")
    for row in texts:
        table.add_row(*row)
    console = plain_console(sys.maxsize)
    fits = Measurement.get(console, console.options, table).minimum <= width
    if vertical is None:
        vertical = not fits
    if vertical:
        return lay_out(_records(names, texts), width) if texts else "no rows\n"
    for column, cells in zip(table.columns, zip(names, *texts, strict=True), strict=True):
        column.no_wrap = fits and all(len(text.split()) <= 1 for text in cells)  # else rich may break them
    return lay_out([table], width)


def _records(names: list[str], rows: list[list[str]]) -> Iterable[RenderableType]:
    for number, row in enumerate(rows, 1):
        yield f"── row {number} {'─' * 40}"
        record = Table.grid(padding=(0, 2))
        record.add_column(overflow="fold")
        record.add_column(overflow="fold")
        for pair in zip(names, row, strict=True):
            record.add_row(*pair)
        yield record


def cell_text(value: Any, *, is_whole: bool = False) -> str:
    """A value in a cell: floats with six digits after the point, controls but line breaks spelt out.

    Long texts and lists are cut unless the cell `is_whole`.
    """
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
        case Decimal():
            return f"{value.normalize():f}"  # severity 3, not 3.000
        case list() | tuple():
            kept = value if is_whole else value[:MOST_ITEMS]
            rest = ", …" if len(value) > len(kept) else ""
            return f"[{', '.join(cell_text(item, is_whole=is_whole) for item in kept)}{rest}]"
        case _:
            text = str(value)
            text = text if is_whole or len(text) <= MOST_CELL_LETTERS else f"{text[:MOST_CELL_LETTERS]}…"
            return "".join(letter if letter == "\n" else spelt_out(letter) for letter in text)
