"""Tables whose figures are text already, and how a terminal, Markdown and HTML lay them out."""

import io
from collections.abc import Callable, Iterable
from html import escape

from failmodes.analysis.render.blocks import Cell, Table
from failmodes.analysis.render.formatting import NO_BREAK
from failmodes.warehouse.runner_commands import without_commands

NARROWEST = 40  # letters of a line


def terminal_text(parts: Iterable[str | Table], width: int, quote: Callable[[str], str] = str) -> str:
    """Lines and tables, for a terminal of so many letters a line.

    Args:
        parts: in their order; lines are printable already.
        width: letters of a line.
        quote: how a cell is made printable.
    """
    from rich.console import Console
    from rich.table import Table as RichTable

    file = io.StringIO()
    console = Console(
        file=file, width=max(NARROWEST, width), markup=False, highlight=False, emoji=False, color_system=None,
        force_jupyter=False,  # else a notebook would show it at once
    )  # fmt: skip
    for part in parts:
        if isinstance(part, str):
            console.print(part)
            continue
        laid = RichTable(box=None, pad_edge=False, show_edge=False, header_style="")
        for name, is_text in zip(part.columns, part.are_texts, strict=True):
            laid.add_column(name, justify="left" if is_text else "right", overflow="fold")
        for row in part.rows:
            laid.add_row(*(quote(cell.on_one_line) for cell in row))
        console.print(laid)
    text = "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"
    return without_commands(text.replace(NO_BREAK, " "))


def markdown_table(table: Table) -> list[str]:
    """The lines of the table in Markdown, whose texts from outside hold no markup already."""
    rows = [list(table.columns), ["---" if is_text else "---:" for is_text in table.are_texts]]
    rows += [[cell.on_one_line.replace("*", "\\*") for cell in row] for row in table.rows]
    return [f"| {' | '.join(text.replace('|', chr(92) + '|') for text in row)} |" for row in rows]


def html_table(table: Table) -> str:
    """The table as HTML with its note beneath, all text escaped."""
    head = "".join(f"<th>{escape(name)}</th>" for name in table.columns)
    rows = ("".join(f"<td>{_html_cell(cell)}</td>" for cell in row) for row in table.rows)
    body = "".join(f"<tr>{row}</tr>" for row in (head, *rows))
    return f"<table>{body}</table><p><small>{escape(table.note)}</small></p>"


def _html_cell(cell: Cell) -> str:
    return f"{escape(cell.text)} <small>{escape(cell.small)}</small>" if cell.small else escape(cell.text)
