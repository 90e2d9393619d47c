"""Models beside their published rows as a result: sentences, tables and all output formats."""

from collections.abc import Iterator
from typing import Any

from failmodes.analysis.judging.published_check import CheckedNumber, PublishedCheck
from failmodes.analysis.render.blocks import Block, Document, Section, Sentence, Table, TableCell
from failmodes.analysis.render.documents import Rendered
from failmodes.analysis.render.formatting import format_count, format_interval

VERBS = {
    "reproduced": "reproduces",
    "not reproduced": "does not reproduce",
    "not comparable": "cannot be compared with",
}
COLUMNS = ("number", "measured, %", "published, %", "within the interval")


class PublishedChecks(Rendered, tuple[PublishedCheck, ...]):
    """Models beside their published rows: what `Warehouse.check` returns.

    A tuple, which prints as sentences and tables. Numbers are 0-1 (mCE: 0 to infinity); documents show percentages.

    Examples:
        >>> checks = w.check("imagenet_corruptions_unaggregated.csv")
        >>> print(checks)
        >>> checks[0].outcome                         # 'reproduced', 'not reproduced' or 'not comparable'
        >>> [n.name for n in checks[0].numbers if not n.is_reproduced]
    """

    @property
    def document(self) -> Document:
        """Sentences and tables of each model."""
        blocks = [block for checked in self for block in _blocks(checked)]
        return Document("Published rows", tuple(blocks), {"checks": [_data(checked) for checked in self]})


def _blocks(checked: PublishedCheck) -> Iterator[Block]:
    cells = [number for number in checked.numbers if number.cell is not None]
    averages = [number for number in checked.numbers if number.cell is None]
    within = sum(number.is_reproduced for number in cells)
    counted = f": {within:,} of {format_count(len(cells), 'cell')} within their intervals" if cells else ""
    label = checked.evaluation.label
    yield Sentence(f"{label} {VERBS[checked.outcome]} {checked.row} ({checked.published_set}){counted}.", "lead")
    yield Sentence(f"Protocol of {label}: {checked.protocol}.", "item")
    if checked.differences is None:
        yield Sentence(f"No registered protocol is called {checked.published_set}: its own is unknown.", "item")
    elif checked.differences:
        yield Sentence(f"It differs from the protocol of the row in {'; '.join(checked.differences)}.", "item")
    if checked.omitted:
        cells_text = format_count(len(checked.omitted), "published cell")
        yield Sentence(f"Not evaluated, and in no average: {cells_text}.", "item")
    if averages:
        yield Table("Averages", "95% intervals over images.", COLUMNS, tuple(map(_line, averages)))
    note = "95% intervals that hold for all cells together."
    if cells:
        yield Section("Cells", (Table("Cells", note, COLUMNS, tuple(map(_line, cells))),), is_folded=True)


def _line(number: CheckedNumber) -> tuple[TableCell, ...]:
    measured = number.measured
    return (
        TableCell(number.name),
        TableCell(f"{100 * measured.value:.2f}", format_interval(measured.low, measured.high)),
        TableCell(f"{100 * number.published:.2f}"),
        TableCell("yes" if number.is_reproduced else "no"),
    )


def _data(checked: PublishedCheck) -> dict[str, Any]:
    return {
        "model": checked.evaluation.label,
        "evaluation_id": checked.evaluation.evaluation_id,
        "published_set": checked.published_set,
        "row": checked.row,
        "outcome": checked.outcome,
        "protocol": checked.evaluation.facts["protocol"],
        "deviations": checked.evaluation.facts["deviations"],
        "differences": None if checked.differences is None else list(checked.differences),
        "omitted_cells": [{"corruption": corruption, "severity": level} for corruption, level in checked.omitted],
        "numbers": [
            {
                "name": number.name,
                "corruption": number.cell and number.cell[0],
                "severity": number.cell and number.cell[1],
                "measured": number.measured.value,
                "low": number.measured.low,
                "high": number.measured.high,
                "published": number.published,
                "is_reproduced": number.is_reproduced,
            }
            for number in checked.numbers
        ],
    }
