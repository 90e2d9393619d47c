"""Tables whose figures are text already: what shows them, a report, a terminal or Markdown, only lays them out."""

from typing import NamedTuple

EMPTY = "\u2013"
MOST_LEVELS = 11  # severities side by side in a table


class TableCell(NamedTuple):
    """A figure and, in smaller type beneath it, its interval or remark."""

    text: str
    small: str = ""


class TextTable(NamedTuple):
    """A table: caption, what it means, columns by name, rows that begin with their name, and the model it is of."""

    caption: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    model: str = ""
