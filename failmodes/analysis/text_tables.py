"""Tables whose figures are text already, and how a terminal, Markdown and HTML lay them out."""

import io
from collections.abc import Callable, Iterable
from html import escape
from typing import NamedTuple

from failmodes.analysis.formatting import NO_BREAK
from failmodes.warehouse.runner_commands import without_commands

EMPTY = "\u2013"
MOST_LEVELS = 11  # severities side by side in a table
NARROWEST = 40  # letters of a line


class TableCell(NamedTuple):
    """A figure and, in smaller type beneath it, its interval or note."""

    text: str
    small: str = ""

    @property
    def on_one_line(self) -> str:
        """Figure and note; the note alone where there is no figure."""
        return self.small if self.small and self.text == EMPTY else f"{self.text} {self.small}".strip()


class TextTable(NamedTuple):
    """A table: caption, what it means, columns by name, rows that begin with their name, and the model it is of.

    The columns in `texts` hold words, and so does the first; others hold figures, which are aligned at the right.
    """

    caption: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    model: str = ""
    texts: tuple[str, ...] = ()

    @property
    def are_texts(self) -> list[bool]:
        """Of each column whether it holds words."""
        return [not place or name in self.texts for place, name in enumerate(self.columns)]


def terminal_text(parts: Iterable[str | TextTable], width: int, quote: Callable[[str], str] = str) -> str:
    """Lines and tables, for a terminal of so many letters a line.

    Args:
        parts: in their order; lines are printable already.
        width: letters of a line.
        quote: how a cell is made printable.
    """
    from rich.console import Console
    from rich.table import Table

    file = io.StringIO()
    console = Console(
        file=file, width=max(NARROWEST, width), markup=False, highlight=False, emoji=False, color_system=None,
        force_jupyter=False,  # else a notebook would show it at once
    )  # fmt: skip
    for part in parts:
        if isinstance(part, str):
            console.print(part)
            continue
        laid = Table(box=None, pad_edge=False, show_edge=False, header_style="")
        for name, is_text in zip(part.columns, part.are_texts, strict=True):
            laid.add_column(name, justify="left" if is_text else "right", overflow="fold")
        for row in part.rows:
            laid.add_row(*(quote(cell.on_one_line) for cell in row))
        console.print(laid)
    text = "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"
    return without_commands(text.replace(NO_BREAK, " "))


def markdown_table(table: TextTable) -> list[str]:
    """The lines of the table in Markdown, whose texts from outside hold no markup already."""
    rows = [list(table.columns), ["---" if is_text else "---:" for is_text in table.are_texts]]
    rows += [[cell.on_one_line.replace("*", "\\*") for cell in row] for row in table.rows]
    return [f"| {' | '.join(text.replace('|', chr(92) + '|') for text in row)} |" for row in rows]


def html_table(table: TextTable) -> str:
    """The table as HTML with its note beneath, all text escaped."""
    head = "".join(f"<th>{escape(name)}</th>" for name in table.columns)
    rows = ("".join(f"<td>{_html_cell(cell)}</td>" for cell in row) for row in table.rows)
    body = "".join(f"<tr>{row}</tr>" for row in (head, *rows))
    return f"<table>{body}</table><p><small>{escape(table.note)}</small></p>"


def _html_cell(cell: TableCell) -> str:
    return f"{escape(cell.text)} <small>{escape(cell.small)}</small>" if cell.small else escape(cell.text)
