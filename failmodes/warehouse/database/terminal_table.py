"""The answer to a query for the eye: a table as wide as the terminal, or a record a row where that is too narrow."""

import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any
from unicodedata import combining, east_asian_width

from failmodes.warehouse.database.query import FirstRows
from failmodes.warehouse.errors import printable, spelt_out

MOST_CELL_LETTERS, MOST_ITEMS = 1000, 10  # of a text and of a list in a cell of a table
LEAST_VALUE_WIDTH = 20  # letters of a value beside its name

_PARTS = re.compile(r"[^_\s]*_+|[^_\s]+\s*|\s+")  # of a name: model_label is broken after the underscore


def format_table(first: FirstRows, width: int, *, vertical: bool | None = None) -> str:
    r"""The first rows as text of at most `width` letters a line, ending in a line break.

    Neither Polars nor, where the table fits, rich is imported: both take longer than the answer to most questions.

    Args:
        first: the rows.
        width: letters of a line.
        vertical: one record a row, a line a column, as `\x` of psql; if not given, where a table would break words.
    """
    names, texts = list(map(printable, first.columns)), [[cell_text(value) for value in row] for row in first.rows]
    widths = _widest(names, texts, _width)
    is_short = not any("\n" in text for row in texts for text in row)
    if vertical is not True and is_short and _outer_width(widths) <= width:
        return _boxed([names], texts, widths)
    if vertical is None:
        vertical = _outer_width(_least_widths(names, texts)) > width
    return _records(names, texts, width) if vertical else _folded(names, texts, width)


def cell_text(value: Any, *, is_whole: bool = False) -> str:
    """A value in a cell: floats with six digits after the point, controls spelt out.

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


def _boxed(head: list[list[str]], lines: list[list[str]], widths: list[int]) -> str:
    def drawn(texts: list[str]) -> str:
        cells = (text + " " * (width - _width(text)) for text, width in zip(texts, widths, strict=True))
        return f"│ {' │ '.join(cells)} │"

    def rule(left: str, stroke: str, between: str, right: str) -> str:
        return left + between.join(stroke * (width + 2) for width in widths) + right

    above = [rule("┌", "─", "┬", "┐"), *map(drawn, head), rule("╞", "═", "╪", "╡")]
    return "\n".join([*above, *map(drawn, lines), rule("└", "─", "┴", "┘")]) + "\n"


def _folded(names: list[str], rows: list[list[str]], width: int) -> str:
    """The same table where texts have several lines, or are folded into several."""
    widths = _widest(names, rows, lambda text: max(map(_width, text.split("\n"))))
    space = width - _outer_width([0] * len(names))
    shared = _shared_widths(widths, _least_widths(names, rows), space)
    head = _side_by_side([_name_lines(name, wide) for name, wide in zip(names, shared, strict=True)])
    cells = ([_lines(text, wide) for text, wide in zip(row, shared, strict=True)] for row in rows)
    flat = [line for row in cells for line in _side_by_side(row)]
    return _boxed(head, flat, [max(map(_width, column)) for column in zip(*head, *flat, strict=True)])


def _side_by_side(cells: list[list[str]]) -> list[list[str]]:
    """The lines of a row whose cells have several: of each a text a column."""
    height = max(map(len, cells))
    return [[cell[line] if line < len(cell) else "" for cell in cells] for line in range(height)]


def _records(names: list[str], rows: list[list[str]], width: int) -> str:
    """A record a row: names of the columns and, beside each, its value."""
    name_width = max(map(_width, names), default=0)
    beside = name_width + 2 if width - name_width - 2 >= LEAST_VALUE_WIDTH else 2
    lines: list[str] = []
    for number, row in enumerate(rows, 1):
        head = f"── row {number} "
        lines.append(head + "─" * max(0, min(width, 60) - len(head)))
        for name, text in zip(names, row, strict=True):
            first, *more = _lines(text, max(width - beside, 1))
            if beside > 2:
                lines.append(f"{name}{' ' * (beside - _width(name))}{first}".rstrip())
            else:  # too narrow for both: the value stands beneath
                lines += [name, f"  {first}"]
            lines += [" " * beside + line for line in more]
    return "\n".join(lines) + "\n" if lines else "no rows\n"


def _lines(text: str, width: int) -> list[str]:
    """The lines of a text, broken between words, and within those alone that are wider than `width`."""
    lines: list[str] = []
    for line in text.split("\n"):
        lines += [line] if _width(line) <= width else _broken(line, width)
    return lines


def _name_lines(name: str, width: int) -> list[str]:
    """The lines of a column's name, broken between words or after an underscore."""
    lines = [""]
    for part in _PARTS.findall(name):
        if lines[-1] and _width(lines[-1] + part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return [cut for line in lines for cut in _lines(line.rstrip(), width)]


def _broken(line: str, width: int) -> list[str]:
    from rich.cells import chop_cells

    lines, current = [], ""
    for word in line.split():
        if current and _width(current) + 1 + _width(word) <= width:
            current += f" {word}"
            continue
        lines += [current] if current else []
        *whole, current = chop_cells(word, width)
        lines += whole
    return [*lines, current]


def _shared_widths(widths: Sequence[int], least: Sequence[int], space: int) -> list[int]:
    """Widths of columns that together take the room: none less than its longest word, the narrowest filled first."""
    shared = list(least) if sum(least) <= space else [1] * len(least)
    for _ in range(min(space, sum(widths)) - sum(shared)):
        place = min((p for p in range(len(shared)) if shared[p] < widths[p]), key=lambda p: shared[p])
        shared[place] += 1
    return shared


def _widest(names: list[str], rows: list[list[str]], measure: Callable[[str], int]) -> list[int]:
    """The largest measure of each column's name and texts."""
    return [max(map(measure, column)) for column in zip(names, *rows, strict=True)]


def _least_widths(names: list[str], rows: list[list[str]]) -> list[int]:
    """Widths of columns below which a word, or a part of a name, would be broken."""
    parts = (max((_width(part.rstrip()) for part in _PARTS.findall(name)), default=0) for name in names)
    return [max(pair) for pair in zip(parts, _widest([""] * len(names), rows, _longest_word), strict=True)]


def _outer_width(widths: Sequence[int]) -> int:
    """Places that columns of these widths take with the lines between them."""
    return sum(widths) + 3 * len(widths) + 1


def _longest_word(text: str) -> int:
    return max(map(_width, text.split()), default=0)


def _width(text: str) -> int:
    """Places that a text takes on a terminal: wide letters, such as Chinese ones, take two."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(letter) else 1 + (east_asian_width(letter) in "WF") for letter in text)
