"""Plain text for a terminal: no control from outside reaches it, and no line is a command of a CI runner."""

import io
from collections.abc import Iterable, Iterator
from itertools import chain

from rich.console import Console
from rich.table import Table as RichTable

from failmodes.analysis.render.blocks import Block, Chart, Document, Gallery, ImageStrip, Section, Sentence, Table
from failmodes.analysis.render.formatting import NO_BREAK
from failmodes.warehouse.errors import printable
from failmodes.warehouse.runner_commands import without_commands

SUFFIX = ".txt"
NARROWEST = 40  # letters of a line
MOST_LETTERS, MOST_CELL_LETTERS = 4000, 400  # of a sentence and of a cell


def render(document: Document, width: int) -> str:
    """The blocks of a document as lines of at most `width` letters."""
    return render_blocks(document.blocks, width)


def render_blocks(blocks: Iterable[Block], width: int) -> str:
    """Blocks as lines of at most `width` letters, ending in a line break."""
    file = io.StringIO()
    console = Console(
        file=file, width=max(NARROWEST, width), markup=False, highlight=False, emoji=False, color_system=None,
        force_jupyter=False,  # else a notebook would show it at once
    )  # fmt: skip
    for part in chain.from_iterable(map(_parts, blocks)):
        console.print(printable(part, MOST_LETTERS) if isinstance(part, str) else part)
    text = "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"
    return without_commands(text.replace(NO_BREAK, " "))


def _parts(block: Block) -> Iterator[str | RichTable]:
    """Lines and tables of a block, in order."""
    match block:
        case Sentence(text, role):
            yield f"- {text}" if role == "item" else text
        case Table():
            yield _table(block)
            if block.note:
                yield block.note
        case Chart(finding=finding, subtitle=subtitle):
            yield f"{finding}. {subtitle}"
        case ImageStrip(title, note, frames=frames):
            yield f"{title}. {note}"
            yield from (f"  {frame.severity}: {frame.prediction} {frame.confidence}" for frame in frames)
        case Gallery(strips=strips):
            yield from chain.from_iterable(map(_parts, strips))
        case Section(title, blocks):
            yield from ("", title)
            yield from chain.from_iterable(map(_parts, blocks))


def _table(table: Table) -> RichTable:
    laid = RichTable(box=None, pad_edge=False, show_edge=False, header_style="")
    for name, is_text in zip(table.columns, table.are_texts, strict=True):
        heading = printable(name, MOST_CELL_LETTERS)
        laid.add_column(heading, justify="left" if is_text else "right", overflow="fold")
    for row in table.rows:
        laid.add_row(*(printable(cell.on_one_line, MOST_CELL_LETTERS) for cell in row))
    return laid
