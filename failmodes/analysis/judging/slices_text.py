"""The sentences and the table of slices."""

from collections.abc import Iterator

from failmodes.analysis.judging.slices import SliceRow, SlicesOfSelection
from failmodes.analysis.judging.wording import MARKS
from failmodes.analysis.render.blocks import EMPTY, Block, Section, Sentence, Table, TableCell
from failmodes.analysis.render.formatting import (
    NO_BREAK,
    format_count,
    format_interval,
    format_number,
    format_p,
    format_percent,
    format_points_interval,
    format_severity,
    join_names,
)
from failmodes.analysis.statistics.filters import filter_phrase
from failmodes.analysis.statistics.shares import ALPHA
from failmodes.warehouse.schema import CLEAN

MAX_SENTENCES = 3  # of a model
MAX_NAMES = 12  # attributes that a note lists
COLUMNS = ("Slice", "Under", "Images", "Accuracy", "Others", "Difference", "p", "Verdict", "Clean images")
TEXTS = ("Under", "Verdict", "Clean images")
ON_CLEAN = {"worse": "worse too", "not worse": "not worse", "inconclusive": "inconclusive", None: EMPTY}


def slice_blocks(part: SlicesOfSelection, most: int | None = None) -> list[Block]:
    """Sentences, the table and notes on the slices of models that were evaluated on the same images.

    Args:
        part: the slices.
        most: only so many supported rows; None for all rows.
    """
    if most is not None:
        part = part._replace(rows=tuple(row for row in part.rows if row.verdict == "supported")[:most])
    table: list[Block] = [slice_table(part)] if part.rows else []
    gaps = [Section(one.caption, (one,)) for one in gap_tables(part)]
    return [
        *(Sentence(text, "item") for text in slice_sentences(part)),
        *table,
        Sentence(searched_note(part), "note"),
        *gaps,
    ]


def slice_sentences(part: SlicesOfSelection) -> Iterator[str]:
    """The first supported slices of each model, each under the corruption where its p value is smallest."""
    for label in part.selection.labels.values():
        supported = [row for row in part.rows if row.model_label == label and row.verdict == "supported"]
        first = {row.slice: row for row in reversed(supported)}
        shown = sorted(first.values(), key=lambda row: row.p)[:MAX_SENTENCES]
        for row in shown:
            yield slice_sentence(row, part.labels)
        if not shown:
            yield f"No slice of {label} is shown to be less accurate than all other images."


def slice_sentence(row: SliceRow, labels: dict[str, str]) -> str:
    """A supported slice in words."""
    lower = format_points_interval(-row.estimate)
    where = where_text(row, labels)
    said = (
        f"{row.model_label} is {lower} less accurate where {row.slice} ({format_count(row.images, 'image')}) than on "
    )
    said += f"all other images {where}"
    if row.on_clean == "worse":
        return f"{said}, and on clean images too."
    return f"{said}, and not on clean images." if row.on_clean == "not worse" else f"{said}."


def where_text(row: SliceRow, labels: dict[str, str]) -> str:
    """The cell: under fog at severity 5, on clean images."""
    if row.corruption == CLEAN:
        return "on clean images"
    return f"under {labels[row.corruption]} at severity {format_severity(row.severity)}"


def slice_table(part: SlicesOfSelection) -> Table:
    """A row for each slice, model and corruption, by corrected p value."""
    has_models = len(part.selection.evaluations) > 1
    lines = []
    for row in part.rows:
        under = "clean" if row.corruption == CLEAN else f"{part.labels[row.corruption]}{NO_BREAK}{row.severity:g}"
        lines.append((
            TableCell(row.slice),
            *([TableCell(row.model_label)] if has_models else []),
            TableCell(under),
            TableCell(f"{row.images:,}"),
            TableCell(format_number(100 * row.accuracy)),
            TableCell(format_number(100 * row.rest_accuracy)),
            TableCell(format_number(100 * row.difference, signed=True), format_interval(row.low, row.high)),
            TableCell(format_p(row.p)),
            TableCell(f"{MARKS[row.verdict]} {row.verdict}"),
            TableCell(ON_CLEAN[row.on_clean], _clean_interval(row)),
        ))  # fmt: skip
    first, *others = COLUMNS
    columns = (first, *(["Model"] if has_models else []), *others)
    note = (
        "Accuracy of the slice and of all other images in percent, at the severity at which they differ most, and the "
        "difference in points. p values and intervals hold for everything searched together. Clean images: whether the "
        "slice is worse there too, with the difference in points."
    )
    return Table("Slices", note, columns, tuple(lines), texts=("Model", *TEXTS), is_stacked=True)


def gap_tables(part: SlicesOfSelection) -> list[Table]:
    """The largest gap between groups under each corruption, by model, where one attribute was searched."""
    if not part.searched.gaps:
        return []
    lines = []
    for gap in sorted(part.searched.gaps, key=lambda one: -one.gap.value):
        corruption, severity = gap.cell
        under = "clean" if corruption == CLEAN else f"{part.labels[corruption]}{NO_BREAK}{severity:g}"
        lines.append((
            TableCell(under),
            TableCell(gap.evaluation.label),
            TableCell(gap.worst, format_percent(gap.worst_accuracy)),
            TableCell(gap.best, format_percent(gap.best_accuracy)),
            TableCell(format_number(100 * gap.gap.value), format_interval(gap.gap.low, gap.gap.high)),
        ))  # fmt: skip
    note = (
        "The groups with the lowest and the highest accuracy at the severity with the largest gap, and the gap in "
        "points with its 95% interval of the largest difference between any two groups, which holds for all cells and "
        "models together."
    )
    columns = ("Under", "Model", "Lowest", "Highest", "Gap")
    caption = f"Gap between groups by {part.searched.attributes[0]}"
    return [Table(caption, note, columns, tuple(lines), texts=columns[1:4])]


def _clean_interval(row: SliceRow) -> str:
    if row.clean_difference is None or row.clean_low is None or row.clean_high is None:
        return ""
    value = format_number(100 * row.clean_difference, signed=True)
    return f"{value} {format_interval(row.clean_low, row.clean_high)}"


def searched_note(part: SlicesOfSelection) -> str:
    """What was searched and how errors are held."""
    searched, options = part.searched, part.options
    names = searched.attributes
    listed = join_names(names) if len(names) <= MAX_NAMES else f"{join_names(names[:MAX_NAMES])} and others"
    upto = f"up to {searched.depth} of" if searched.depth > 1 else "one of"
    duplicates = f" ({searched.distinct:,} distinct)" if searched.distinct < searched.images else ""
    said = (
        f"Searched: {format_count(searched.slice_count, 'slice')} by {upto} {format_count(len(names), 'attribute')} "
        f"({listed}), of at least {options.fewest_images} of {format_count(searched.images, 'image')}{duplicates}, in "
        f"{format_count(searched.cell_count, 'cell')}: {format_count(searched.test_count, 'test')}. The probability "
        f"that any supported slice has no true difference is at most {format_percent(ALPHA, 0)} (Fisher's exact tests, "
        "Bonferroni's correction). Slices that a listed one explains are not listed."
    )
    if options.filter:
        said += f" Only {filter_phrase(options.filter)}."
    if options.clean_prediction:
        said += f" Only images whose clean image is predicted {options.clean_prediction}."
    if searched.left_out:
        said += f" Left out, since their cells show different images: {join_names(searched.left_out)}."
    return said
