"""GitHub Markdown, safe to paste: no user text becomes markup, a mention, a link or a reference."""

import re
from collections.abc import Iterable, Iterator

from failmodes.analysis.render.blocks import Block, Chart, Document, Gallery, ImageStrip, Section, Sentence, Table
from failmodes.analysis.render.formatting import NO_BREAK
from failmodes.runtime.errors import printable
from failmodes.runtime.terminal import without_commands

SUFFIX = ".md"
MAX_CHARACTERS = 2000  # characters of a sentence or cell
_MARKUP = re.compile(r"[\\`*<|~]|\](?=[(\[:])|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")  # _ within a word is literal
_AT_START = re.compile(
    r"^(?:(\d+)(?=[.)](?:\s|$))|(?=[-+](?:[\s-]|$)|[#>=\[]))"
)  # a list, heading, quotation, rule or task
# What GitHub links or replaces even after a backslash: mentions, issues, URLs, entities, emoji, formulas
_OF_GITHUB = re.compile(r"[@&$]|#\d|\bgh-\d|www\.|[a-z]:\S|:[\w+-]+:|::|##", re.IGNORECASE)


def render(document: Document, width: int) -> str:  # noqa: ARG001  # Markdown does not wrap lines
    """The blocks of a document: sentences, pipe tables, and folded sections as `details`."""
    return "\n".join(_lines(document.blocks)) + "\n"


def escape(text: str, most: int = MAX_CHARACTERS) -> str:
    """At most `most` characters of a text on one line, escaped; words that GitHub would link become code.

    No-break spaces become spaces.
    """
    words = re.split(r"(\s+|\|)", printable(text, most).replace(NO_BREAK, " ").strip())
    line = "".join(_code(word) if _OF_GITHUB.search(word) else _MARKUP.sub(r"\\\g<0>", word) for word in words)
    return without_commands(_AT_START.sub(r"\1\\", line))


def _code(word: str) -> str:
    """A word as code, even with backticks in it."""
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", word)), default=0))
    return f"{fence} {word} {fence}" if "`" in word else f"{fence}{word}{fence}"


def _lines(blocks: Iterable[Block]) -> Iterator[str]:
    """Lines, with an empty line between blocks except between list items."""
    previous: Block | None = None
    for block in blocks:
        if previous is not None and not (_is_item(previous) and _is_item(block)):
            yield ""
        yield from _block(block)
        previous = block


def _is_item(block: Block) -> bool:
    return isinstance(block, Sentence) and block.role == "item"


def _block(block: Block) -> Iterator[str]:
    match block:
        case Sentence(text, role):
            written = escape(text)
            yield {"lead": f"**{written}**", "item": f"- {written}", "note": f"<sub>{written}</sub>"}.get(role, written)
        case Table():
            yield from table_lines(block)
            if block.note:
                yield from ("", f"<sub>{escape(block.note)}</sub>")
        case Chart() | ImageStrip():
            yield escape(block.text)
        case Gallery(strips=strips):
            yield from _lines(strips)
        case Section(title, blocks, is_folded):
            yield f"<details><summary>{_html(title)}</summary>" if is_folded else f"### {escape(title)}"
            yield ""
            yield from _lines(blocks)
            if is_folded:
                yield from ("", "</details>")


def table_lines(table: Table) -> list[str]:
    """A pipe table, numbers aligned right."""
    rows = ([escape(cell.on_one_line) for cell in row] for row in table.rows)
    return [*table_head(table.columns, table.are_texts), *map(table_row, rows)]


def table_head(names: Iterable[str], are_texts: Iterable[bool]) -> list[str]:
    """The two lines above the rows of a pipe table."""
    return [table_row(map(escape, names)), table_row("---" if is_text else "---:" for is_text in are_texts)]


def table_row(cells: Iterable[str]) -> str:
    """A row of a pipe table, from escaped cells."""
    return f"| {' | '.join(cells)} |"


def _html(text: str) -> str:
    """A text within an HTML element in Markdown, where GitHub also links mentions and issues."""
    line = printable(text, MAX_CHARACTERS).replace(NO_BREAK, " ")
    plain = "".join(f"&#{ord(x)};" if x in "&<>\"'`*_[]|~\\:#$" else x for x in line)
    return re.sub(r"@|www\.", lambda match: f"{match[0]}<!-- -->", plain)
