"""A comparison as plain text, in tables that fit a terminal."""

import io
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from failmodes.analysis.comparison.tables import (
    BETTER,
    CROSSOVER,
    IMAGE,
    LETTERS,
    cell_table,
    class_table,
    corruption_table,
    image_table,
    metric_table,
)
from failmodes.analysis.formatting import format_count
from failmodes.analysis.judging.comparison_sentences import (
    comparison_sentences,
    crossover_sentences,
    no_images_sentence,
)
from failmodes.analysis.statistics.model_comparison import Comparison
from failmodes.analysis.text_tables import TextTable
from failmodes.warehouse.errors import printable
from failmodes.warehouse.runner_commands import without_commands

USUAL_WIDTH, NARROWEST = 80, 40  # letters of a line
MOST_CLASSES, MOST_IMAGES = 5, 8
MOST_LEVELS = 6  # severities side by side


def as_text(comparison: Comparison, width: int = USUAL_WIDTH) -> str:
    """Sentences, then tables.

    Args:
        comparison: what was compared.
        width: letters of a line.
    """
    file = io.StringIO()
    width = max(NARROWEST, width)
    console = Console(
        file=file, width=width, markup=False, highlight=False, emoji=False, color_system=None,
        force_jupyter=False,  # else a notebook would show it at once
    )  # fmt: skip
    a, b = printable(comparison.a.label), printable(comparison.b.label)
    console.print(f"A: {a}\nB: {b}; differences are B minus A\n")
    for sentence in (*comparison_sentences(comparison), *crossover_sentences(comparison)):
        console.print(printable(sentence))
    for table in _tables(comparison):
        console.print()
        console.print(f"{table.caption}")
        console.print(_laid_out(table))
        console.print(printable(table.note))
    if comparison.newly_incorrect is None:
        console.print(f"\n{no_images_sentence(comparison)}")
    console.print()
    for source in dict.fromkeys((comparison.a.source_line, comparison.b.source_line)):
        console.print(printable(source))
    return without_commands("\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n")


def _tables(comparison: Comparison) -> Iterator[TextTable]:
    yield corruption_table(comparison, LETTERS)
    yield metric_table(comparison, LETTERS)
    yield cell_table(comparison, MOST_LEVELS, has_intervals=False)
    if comparison.classes:
        yield class_table(comparison, LETTERS, MOST_CLASSES)
    for changed, is_incorrect in ((comparison.newly_incorrect, True), (comparison.newly_correct, False)):
        if changed is not None:
            table = image_table(changed, comparison, LETTERS, is_incorrect=is_incorrect, most=MOST_IMAGES)
            rest = len(changed.images) - len(table.rows)
            more = f" {format_count(rest, 'more image')} in JSON." if rest else ""
            yield table._replace(note=table.note + more)


def _laid_out(table: TextTable) -> Table:
    """The table for a terminal: intervals stand beside their figure."""
    laid = Table(box=None, pad_edge=False, show_edge=False, header_style="")
    for place, name in enumerate(table.columns):
        is_text = not place or name in (BETTER, CROSSOVER) or table.columns[0] == IMAGE
        laid.add_column(printable(name), justify="left" if is_text else "right", overflow="fold")
    for row in table.rows:
        laid.add_row(*(printable(f"{cell.text} {cell.small}".strip()) for cell in row))
    return laid
