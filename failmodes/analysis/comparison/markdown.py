"""A comparison as Markdown that is short enough for a pull request, and safe to paste whatever models are called."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from failmodes.analysis.comparison.tables import (
    LETTERS,
    Sides,
    cell_table,
    class_table,
    corruption_table,
    image_table,
    metric_table,
    side_names,
)
from failmodes.analysis.judging.comparison_sentences import (
    cells_sentence,
    changed_sentence,
    comparison_sentences,
    crossover_sentences,
    has_verdict,
)
from failmodes.analysis.statistics.model_comparison import ChangedImages, ComparedModel, Comparison
from failmodes.analysis.text_tables import TableCell, TextTable
from failmodes.warehouse.markdown import harmless

LONGEST_HEADING = 16  # letters of a name in a heading
MOST_CORRUPTIONS, MOST_CROSSOVERS, MOST_CLASSES, MOST_IMAGES = 6, 1, 2, 2
MOST_LEVELS = 5


def as_markdown(comparison: Comparison) -> str:
    """The answer, a table by corruption, and the rest folded: at most 60 lines and about 3,000 letters.

    Args:
        comparison: what was compared.
    """
    sides = side_names(comparison, LONGEST_HEADING)
    comparison = _in_code(comparison)
    if sides != LETTERS:
        sides = Sides(comparison.a.label, comparison.b.label)
    first, *rest = comparison_sentences(comparison)
    lines = [f"**{first}**", "", *(f"- {sentence}" for sentence in rest)]
    lines += [f"- {sentence}" for sentence in crossover_sentences(comparison)[:MOST_CROSSOVERS]]
    if sides == LETTERS:
        lines.append(f"- A: {comparison.a.label}; B: {comparison.b.label}")
    lines += ["", *_table(corruption_table(comparison, sides), 2 + MOST_CORRUPTIONS)]
    for title, parts in _folded(comparison, sides):
        lines += ["", f"<details><summary>{title}</summary>", "", *parts, "", "</details>"]
    return "\n".join(lines) + "\n"


def _folded(comparison: Comparison, sides: Sides) -> Iterator[tuple[str, list[str]]]:
    """Title and lines of what a reader opens; titles hold no text from outside: there it would be HTML."""
    cells = _table(cell_table(comparison, MOST_LEVELS, has_intervals=False), MOST_CORRUPTIONS)
    judged = ["", cells_sentence(comparison)] if has_verdict(comparison) else []
    yield "Other metrics, and points in every cell", [*_table(metric_table(comparison, sides)), "", *cells, *judged]
    classes = _table(class_table(comparison, sides, MOST_CLASSES)) if comparison.classes else []
    images = _images(comparison, sides)
    if classes or images:
        yield "Classes that lose or gain most, and images", [*classes, *([""] if classes and images else []), *images]


def _images(comparison: Comparison, sides: Sides) -> list[str]:
    """Newly wrong and newly right images in one table, and how many there are."""
    lost, gained = comparison.newly_incorrect, comparison.newly_correct
    if lost is None or gained is None:
        return []
    tables = {
        "incorrect": image_table(lost, comparison, sides, is_incorrect=True, most=MOST_IMAGES),
        "correct": image_table(gained, comparison, sides, is_incorrect=False, most=MOST_IMAGES),
    }
    rows = tuple((TableCell(now), *row) for now, table in tables.items() for row in table.rows)
    counts = f"Newly wrong: {changed_sentence(lost)}; newly right: {changed_sentence(gained)}."
    joined = TextTable("", "", ("Newly", *tables["incorrect"].columns), rows)
    return [*_table(joined), "", counts] if rows else [counts]


def _table(table: TextTable, most: int | None = None) -> list[str]:
    """The lines of a table; how many rows are left out is told in the last."""
    rows = [table.columns, ["---", *["---:"] * (len(table.columns) - 1)]]
    lines = [_row(cells) for cells in rows]
    lines += [_row([_cell(cell) for cell in row]) for row in table.rows[:most]]
    left = len(table.rows) - len(table.rows[:most])
    more = [f"and {left:,} more", *[""] * (len(table.columns) - 1)]
    return [*lines, _row(more)] if left else lines


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |"


def _cell(cell: TableCell) -> str:
    return f"{cell.text} {cell.small}".strip().replace("*", "\\*")


def _in_code(comparison: Comparison) -> Comparison:
    """The same with all text from outside made harmless."""
    return replace(
        comparison,
        a=_model(comparison.a),
        b=_model(comparison.b),
        pairing=replace(comparison.pairing, note=harmless(comparison.pairing.note)),
        missing_cells=tuple((harmless(corruption), severity) for corruption, severity in comparison.missing_cells),
        corruptions=tuple(replace(c, corruption_label=harmless(c.corruption_label)) for c in comparison.corruptions),
        classes=tuple(replace(one, class_name=harmless(one.class_name)) for one in comparison.classes),
        newly_incorrect=_changed(comparison.newly_incorrect),
        newly_correct=_changed(comparison.newly_correct),
    )


def _model(model: ComparedModel) -> ComparedModel:
    return replace(model, label=harmless(model.label), source_line=harmless(model.source_line))


def _changed(changed: ChangedImages | None) -> ChangedImages | None:
    if changed is None:
        return None
    images = tuple(
        replace(
            image,
            label_name=harmless(image.label_name),
            predicted_a=image.predicted_a and harmless(image.predicted_a),
            predicted_b=image.predicted_b and harmless(image.predicted_b),
        )
        for image in changed.images
    )
    return replace(changed, images=images)
