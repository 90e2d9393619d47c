"""Plain text for a terminal: control characters are escaped, and no line is a command of a CI runner."""

import io
from collections.abc import Iterable, Iterator

from rich.console import Console, RenderableType
from rich.table import Table as RichTable

from failmodes.analysis.render.blocks import Block, Chart, Document, Gallery, ImageStrip, Section, Sentence, Table
from failmodes.analysis.render.formatting import NO_BREAK
from failmodes.runtime.errors import printable
from failmodes.runtime.terminal import without_commands

SUFFIX = ".txt"
MIN_WIDTH = 40  # characters per line
MAX_CHARACTERS, MAX_CELL_CHARACTERS = 4000, 400  # characters of a sentence and of a cell


def render(document: Document, width: int) -> str:
    """The blocks of a document as lines of at most `width` characters."""
    return render_blocks(document.blocks, width)


def render_blocks(blocks: Iterable[Block], width: int) -> str:
    """Blocks as lines of at most `width` characters, ending in a line break."""
    parts = _all_parts(blocks)
    return lay_out((printable(part, MAX_CHARACTERS) if isinstance(part, str) else part for part in parts), width)


def lay_out(parts: Iterable[RenderableType], width: int) -> str:
    """Lines and tables, already escaped, as lines of at most `width` characters."""
    console = plain_console(width)
    for part in parts:
        console.print(part)
    assert isinstance(console.file, io.StringIO), "as it was made"
    text = "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().split("\n")[:-1])
    return without_commands(text.replace(NO_BREAK, " "))


def plain_console(width: int) -> Console:
    """A console that captures output, without markup and colors."""
    return Console(
        file=io.StringIO(), width=max(MIN_WIDTH, width), markup=False, highlight=False, emoji=False, color_system=None,
        force_jupyter=False,  # else a notebook would display it at once
    )  # fmt: skip


def _all_parts(blocks: Iterable[Block]) -> Iterator[str | RichTable]:
    """Lines and tables in order, with an empty line between blocks except between sentences."""
    previous: Block | None = None
    for block in blocks:
        if previous is not None and not (isinstance(block, Sentence) and isinstance(previous, Sentence)):
            yield ""
        yield from _parts(block)
        previous = block


def _parts(block: Block) -> Iterator[str | RichTable]:
    """Lines and tables of a block, in order."""
    match block:
        case Sentence(text, role):
            yield _item(text) if role == "item" else text
        case Table():
            yield _table(block)
            if block.note:
                yield block.note
        case Chart():
            yield block.text
        case ImageStrip(frames=frames):
            yield block.text
            yield from (f"  {frame.severity}: {frame.prediction} {frame.confidence}" for frame in frames)
        case Gallery(strips=inner) | Section(blocks=inner):
            yield from [block.title] if isinstance(block, Section) else []
            yield from _all_parts(inner)


def _item(text: str) -> RichTable:
    """A list item with hanging indent."""
    item = RichTable.grid()
    item.add_row("- ", printable(text, MAX_CHARACTERS))
    return item


def _table(table: Table) -> RichTable:
    laid = RichTable(box=None, pad_edge=False, show_edge=False, header_style="")
    for name, is_text in zip(table.columns, table.are_texts, strict=True):
        heading = printable(name, MAX_CELL_CHARACTERS)
        laid.add_column(heading, justify="left" if is_text else "right", overflow="fold")
    for row in table.rows:
        laid.add_row(*(printable(cell.on_one_line, MAX_CELL_CHARACTERS) for cell in row))
    return laid
