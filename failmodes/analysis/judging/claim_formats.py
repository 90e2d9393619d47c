"""Judged claims as text for a terminal, Markdown for a pull request and HTML for a notebook."""

import io
from collections.abc import Sequence
from html import escape

from rich.console import Console
from rich.table import Table

from failmodes.analysis.formatting import NO_BREAK
from failmodes.analysis.judging.claims import ClaimRow, claim_table, counts_sentence
from failmodes.analysis.text_tables import EMPTY, TableCell
from failmodes.warehouse.errors import printable
from failmodes.warehouse.markdown import harmless
from failmodes.warehouse.runner_commands import without_commands

NARROWEST = 40  # letters of a line
MOST_LETTERS = 400  # of a claim, or of a reason


def as_text(claims: Sequence[ClaimRow], width: int) -> str:
    """A table and the sum, for a terminal of so many letters a line."""
    file = io.StringIO()
    console = Console(
        file=file, width=max(NARROWEST, width), markup=False, highlight=False, emoji=False, color_system=None
    )
    found = claim_table(claims)
    if found.rows:
        laid = Table(box=None, pad_edge=False, show_edge=False, header_style="")
        for name in found.columns:
            laid.add_column(name, justify="right" if name == "Images" else "left", overflow="fold")
        for row in found.rows:
            laid.add_row(*(printable(_beneath(cell), MOST_LETTERS) for cell in row))
        console.print(laid)
        console.print()
    console.print(counts_sentence(claims))
    text = "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"
    return without_commands(text.replace(NO_BREAK, " "))


def as_markdown(claims: Sequence[ClaimRow]) -> str:
    """The sum and a table; texts from outside hold no markup."""
    found = claim_table(claims)
    lines = [f"**{counts_sentence(claims)}**"]
    if found.rows:
        lines += ["", _row(found.columns), _row(["---"] * (len(found.columns) - 1) + ["---:"])]
    for claim, model, verdict, number, images in found.rows:
        figure = _beneath(TableCell(number.text, harmless(number.small, MOST_LETTERS)))
        name = model.text if model.text == EMPTY else harmless(model.text, MOST_LETTERS)
        lines.append(_row([harmless(claim.text, MOST_LETTERS), name, verdict.text, figure, images.text]))
    return "\n".join(lines).replace(NO_BREAK, " ") + "\n"


def as_html(claims: Sequence[ClaimRow]) -> str:
    """The sum and a table."""
    from failmodes.analysis.judging.compare_formats import table_html

    return f"<p>{escape(counts_sentence(claims))}</p>{table_html(claim_table(claims))}"


def _beneath(cell: TableCell) -> str:
    """A figure and the note on it: the note alone where there is no figure."""
    if not cell.small:
        return cell.text
    return cell.small if cell.text == EMPTY else f"{cell.text} ({cell.small})"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |"
