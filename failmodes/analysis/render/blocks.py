"""Blocks: what a result says, whatever it is printed in.

Commands build blocks; the modules of `render.formats` lay them out. Texts in blocks are plain text: labels, class names
and file names stand in them as they are, and each format escapes whatever it is given.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from failmodes.analysis.render.formatting import format_severity

EMPTY = "\u2013"
MOST_LEVELS = 11  # severities side by side


class Cell(NamedTuple):
    """A value in a table and, in smaller type beneath it, its interval or note."""

    text: str
    small: str = ""

    @property
    def on_one_line(self) -> str:
        """Value and note; the note alone where there is no value."""
        if not self.small:
            return self.text
        return self.small if self.text == EMPTY else f"{self.text} {self.small}"


class Table(NamedTuple):
    """A table: caption, what it means, columns by name, rows that begin with their name, and the model it is about.

    The columns in `texts` hold words, and so does the first; others hold numbers, which are aligned right.
    """

    caption: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    model: str = ""
    texts: tuple[str, ...] = ()

    @property
    def are_texts(self) -> list[bool]:
        """For each column whether it holds words."""
        return [not place or name in self.texts for place, name in enumerate(self.columns)]


class Sentence(NamedTuple):
    """A sentence, or several in one paragraph.

    Attributes:
        text: plain text.
        role: `lead` is what a reader takes away, `item` one of a list, `note` small print.
        query: SQL that gives its figures; empty without.
    """

    text: str
    role: Literal["plain", "lead", "item", "note"] = "plain"
    query: str = ""


class Chart(NamedTuple):
    """A chart.

    Attributes:
        name: as in `failmodes chart`.
        finding: what it shows, in a sentence.
        subtitle: what is drawn, of which data.
        datasets: rows by the name that the specifications give them.
        specs: Vega-Lite specifications without data, theme and texts, by layout (page, paper).
        source: where the data come from, with their seeds; a saved copy has it.
    """

    name: str
    finding: str
    subtitle: str
    datasets: Mapping[str, Any]
    specs: Mapping[str, Mapping[str, Any]]
    source: str = ""


class Frame(NamedTuple):
    """One picture of a strip: its severity or cell as shown, the prediction, its confidence, whether it is correct."""

    severity: str
    prediction: str
    confidence: str
    is_correct: bool


class ImageStrip(NamedTuple):
    """One image from clean to the last severity, with what a model predicts at each.

    Attributes:
        title: which image, under which corruption, and which model.
        note: how the image was chosen.
        url: data URL of all pictures side by side.
        width: of one picture, in pixels.
        height: likewise.
        frames: one a picture, in order.
        maps: attention of each picture as 8-bit values, row by row, scaled by their largest, in base64; "" without.
        map_size: columns and rows of a map.
    """

    title: str
    note: str
    url: str
    width: int
    height: int
    frames: tuple[Frame, ...]
    maps: str = ""
    map_size: tuple[int, int] = (0, 0)


class Gallery(NamedTuple):
    """Image strips that a page shows small and opens large.

    Attributes:
        strips: the first ones matter most.
        note: what they show, and what is left out.
        labels: by the name of a filter its value for each strip.
    """

    strips: tuple[ImageStrip, ...]
    note: str
    labels: Mapping[str, tuple[str, ...]] = {}


class Section(NamedTuple):
    """Blocks under a heading.

    Attributes:
        title: the heading.
        blocks: beneath it.
        is_folded: whether a format that can fold does so.
        anchor: its id in a page, to which links lead; "" without.
    """

    title: str
    blocks: "tuple[Block, ...]"
    is_folded: bool = False
    anchor: str = ""


Block = Sentence | Table | Chart | ImageStrip | Gallery | Section


class Case(NamedTuple):
    """A test case of JUnit: what was checked, and how that ended.

    Attributes:
        name: of the case.
        group: that it belongs to.
        outcome: `error` where nothing could be checked.
        message: what was found.
        kind: of a failure or error, in a word.
    """

    name: str
    group: str
    outcome: Literal["passed", "failure", "error", "skipped"]
    message: str
    kind: str = ""


@dataclass(frozen=True)
class Document:
    """A result as every format prints it.

    Attributes:
        title: what it is, in a few words.
        blocks: for people.
        data: for programs: dicts, lists, texts, numbers, None; numbers that are not finite become null.
        cases: for test reports.
    """

    title: str
    blocks: tuple[Block, ...]
    data: Mapping[str, Any]
    cases: tuple[Case, ...] = ()


def severity_table(
    caption: str,
    note: str,
    names: Mapping[str, str],
    cells: Mapping[tuple[str, float], Cell],
    whole: str,
    most: int = MOST_LEVELS,
) -> Table:
    """Corruptions against severities, of a dense grid the whole ones.

    Args:
        caption: of the table.
        note: what it means.
        names: human name by corruption, in order; those without cells have no row.
        cells: by corruption and severity.
        whole: where all severities are, for the note where some are left out.
        most: severities side by side; of more only the whole ones are shown.
    """
    levels = sorted({severity for _, severity in cells})
    shown = levels if len(levels) <= most else [level for level in levels if not level % 1]
    if len(shown) < len(levels):
        note += f" Whole severities; all {len(levels)} are in {whole}."
    present = {corruption for corruption, _ in cells}
    rows = (
        (Cell(name), *(cells.get((corruption, level), Cell(EMPTY)) for level in shown))
        for corruption, name in names.items()
        if corruption in present
    )
    return Table(caption, note, ("Corruption", *map(format_severity, shown)), tuple(rows))


def text_table(caption: str, columns: tuple[str, ...], rows: Iterable[Sequence[str]], note: str = "") -> Table:
    """A table of words."""
    return Table(caption, note, columns, tuple(tuple(map(Cell, row)) for row in rows), texts=columns)
