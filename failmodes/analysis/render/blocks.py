"""Blocks: the content of a result, independent of its output format.

Commands build blocks; the modules of `render.formats` lay them out. Blocks contain plain text, with labels, class names
and file names unchanged; each format escapes all text.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from failmodes.analysis.render.formatting import format_severity

EMPTY = "\u2013"
MAX_LEVELS = 11  # severity columns


class TableCell(NamedTuple):
    """A value in a table, with its interval or note in smaller type."""

    text: str
    small: str = ""

    @property
    def on_one_line(self) -> str:
        """Value and note; only the note if there is no value."""
        if not self.small:
            return self.text
        return self.small if self.text == EMPTY else f"{self.text} {self.small}"


class Table(NamedTuple):
    """A table: caption, note, column names, rows that begin with their name, and its model.

    The first column and those in `texts` hold text; others hold numbers, aligned right. On a phone, the cells of a row
    stand below each other if it `is_stacked`.
    """

    caption: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    model: str = ""
    texts: tuple[str, ...] = ()
    is_stacked: bool = False

    @property
    def are_texts(self) -> list[bool]:
        """Whether each column holds text."""
        return [not place or name in self.texts for place, name in enumerate(self.columns)]


class Sentence(NamedTuple):
    """A sentence, or several in one paragraph.

    Attributes:
        text: plain text.
        role: `lead` is the main statement, `item` a list item, `note` small print.
        query: SQL for its numbers, or "".
    """

    text: str
    role: Literal["plain", "lead", "item", "note"] = "plain"
    query: str = ""


class Chart(NamedTuple):
    """A chart.

    Attributes:
        name: as in `failmodes chart`.
        finding: its title, a sentence.
        subtitle: its caption.
        datasets: rows by the name of their dataset in the specifications.
        specs: Vega-Lite specifications without data, theme and texts, by layout (page, paper).
        source: data source with seeds, for a saved copy.
    """

    name: str
    finding: str
    subtitle: str
    datasets: Mapping[str, Any]
    specs: Mapping[str, Mapping[str, Any]]
    source: str = ""

    @property
    def text(self) -> str:
        """The chart in words."""
        return f"{self.finding}. {self.subtitle}"


class StripFrame(NamedTuple):
    """One image of a strip: severity, prediction, confidence, and whether the prediction is correct."""

    severity: str
    prediction: str
    confidence: str
    is_correct: bool


class ImageStrip(NamedTuple):
    """One image from clean to the last severity, with the predictions of a model.

    Attributes:
        title: image, corruption and model.
        note: how the image was chosen.
        url: data URL of all images side by side.
        width: of one image, in pixels.
        height: likewise.
        frames: one per image, in order.
        maps: attention of each image as 8-bit values, row by row, scaled by the largest, in base64; or "".
        map_size: columns and rows of a map.
        file: path of the image within its dataset, or "".
    """

    title: str
    note: str
    url: str
    width: int
    height: int
    frames: tuple[StripFrame, ...]
    maps: str = ""
    map_size: tuple[int, int] = (0, 0)
    file: str = ""

    @property
    def text(self) -> str:
        """The image in words."""
        return ". ".join(filter(None, (self.title, self.file, self.note)))


class Gallery(NamedTuple):
    """Image strips that a page shows small and enlarges.

    Attributes:
        strips: the most important first.
        note: what they show, and what is not shown.
        labels: for each filter its value for each strip.
    """

    strips: tuple[ImageStrip, ...]
    note: str
    labels: Mapping[str, tuple[str, ...]] = {}

    @property
    def files(self) -> list[str]:
        """The files of the images, each once."""
        return list(dict.fromkeys(strip.file for strip in self.strips if strip.file))


class Section(NamedTuple):
    """Blocks under a heading.

    Attributes:
        title: the heading.
        blocks: its content.
        is_folded: whether it is collapsed, in formats that support this.
        anchor: its ID in a page, for links, or "".
    """

    title: str
    blocks: "tuple[Block, ...]"
    is_folded: bool = False
    anchor: str = ""


Block = Sentence | Table | Chart | ImageStrip | Gallery | Section


class Case(NamedTuple):
    """A JUnit test case.

    Attributes:
        name: of the case.
        group: its class name.
        outcome: `error` if nothing could be checked.
        message: the result.
        kind: type of a failure or error.
    """

    name: str
    group: str
    outcome: Literal["passed", "failure", "error", "skipped"]
    message: str
    kind: str = ""


@dataclass(frozen=True)
class Document:
    """A result for all output formats.

    Attributes:
        title: a short title.
        blocks: for people.
        data: for programs: dicts, lists, strings, numbers, None; non-finite numbers become null.
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
    cells: Mapping[tuple[str, float], TableCell],
    whole: str,
    most: int = MAX_LEVELS,
) -> Table:
    """A table of corruptions (rows) by severities (columns).

    Args:
        caption: of the table.
        note: of the table.
        names: label by corruption, in order; those without cells have no row.
        cells: by corruption and severity.
        whole: where to find all severities, for the note if some are not shown.
        most: maximum number of severities; of more, only whole ones are shown, and of these evenly spaced ones.
    """
    levels = sorted({severity for _, severity in cells})
    shown = levels if len(levels) <= most else [level for level in levels if not level % 1]
    which = "Whole severities only"
    if len(shown) > most:
        shown = [shown[round(place * (len(shown) - 1) / (most - 1))] for place in range(most)]
        which = f"{most} severities"
    if len(shown) < len(levels):
        note += f" {which}; all {len(levels)} are in {whole}."
    present = {corruption for corruption, _ in cells}
    rows = (
        (TableCell(name), *(cells.get((corruption, level), TableCell(EMPTY)) for level in shown))
        for corruption, name in names.items()
        if corruption in present
    )
    return Table(caption, note, ("Corruption", *map(format_severity, shown)), tuple(rows))


def text_table(caption: str, columns: tuple[str, ...], rows: Iterable[Sequence[str]], note: str = "") -> Table:
    """A table of text."""
    return Table(caption, note, columns, tuple(tuple(map(TableCell, row)) for row in rows), texts=columns)
