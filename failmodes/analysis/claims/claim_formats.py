"""The formats of judged claims: text for a terminal, Markdown for a pull request, JSON for programs."""

import io
import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from failmodes.analysis.claims.claim_table import claim_table, counts_sentence
from failmodes.analysis.claims.judged_claim import JudgedClaim
from failmodes.analysis.formatting import NO_BREAK
from failmodes.analysis.text_tables import EMPTY
from failmodes.ingest.claim_grammar import MOST_LETTERS
from failmodes.warehouse.errors import printable
from failmodes.warehouse.markdown import harmless
from failmodes.warehouse.runner_commands import json_without_commands, without_commands

NARROWEST = 40  # letters of a line
FORMAT = 1  # of the JSON; raise it when a key is renamed, goes, or means something else


def as_text(claims: Sequence[JudgedClaim], width: int) -> str:
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
            laid.add_row(*(printable(_beneath(cell.text, cell.small)) for cell in row))
        console.print(laid)
        console.print()
    console.print(counts_sentence(claims))
    text = "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"
    return without_commands(text.replace(NO_BREAK, " "))


def as_markdown(claims: Sequence[JudgedClaim]) -> str:
    """The sum and a table; texts from outside hold no markup."""
    found = claim_table(claims)
    lines = [f"**{counts_sentence(claims)}**"]
    if found.rows:
        lines += ["", _row(found.columns), _row(["---"] * (len(found.columns) - 1) + ["---:"])]
    for claim, model, verdict, number, images in found.rows:
        figure = _beneath(number.text, harmless(number.small, MOST_LETTERS))
        name = model.text if model.text == EMPTY else harmless(model.text, MOST_LETTERS)
        lines.append(_row([harmless(claim.text, MOST_LETTERS), name, verdict.text, figure, images.text]))
    return "\n".join(lines).replace(NO_BREAK, " ") + "\n"


def as_json(claims: Sequence[JudgedClaim]) -> str:
    """An object: the version of its keys, and the rows, whose keys are the columns of the table `claims`."""
    document = {"format": FORMAT, "claims": [row._asdict() for row in claims]}
    return (
        json_without_commands(
            json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False).replace(NO_BREAK, " ")
        )
        + "\n"
    )


def _beneath(text: str, small: str) -> str:
    """A figure and what is said of it: the remark alone where there is no figure."""
    if not small:
        return text
    return small if text == EMPTY else f"{text} ({small})"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |"
