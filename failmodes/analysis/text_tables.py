"""Tables whose figures are text already: what shows them, a report, a terminal or Markdown, only lays them out."""

from html import escape
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


def html_table(table: TextTable) -> str:
    """The table as HTML with its note beneath, all text escaped."""
    head = "".join(f"<th>{escape(name)}</th>" for name in table.columns)
    rows = ("".join(f"<td>{_html_cell(cell)}</td>" for cell in row) for row in table.rows)
    body = "".join(f"<tr>{row}</tr>" for row in (head, *rows))
    return f"<table>{body}</table><p><small>{escape(table.note)}</small></p>"


def _html_cell(cell: TableCell) -> str:
    return f"{escape(cell.text)} <small>{escape(cell.small)}</small>" if cell.small else escape(cell.text)
