"""Slices as a result: sentences, a table, a data frame and all output formats."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

import polars as pl

from failmodes.analysis.judging.slices import SliceRow, SlicesOfSelection
from failmodes.analysis.judging.wording import MARKS, json_head
from failmodes.analysis.render.blocks import EMPTY, Block, Document, Sentence, Table, TableCell
from failmodes.analysis.render.documents import Rendered
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
from failmodes.analysis.statistics.slice_search import MAX_CONDITIONS
from failmodes.analysis.statistics.slices import SliceOptions
from failmodes.runtime.errors import StudyError, shown
from failmodes.warehouse.metrics.metric import FEWEST_IMAGES
from failmodes.warehouse.schema import CLEAN

MAX_SENTENCES = 3  # of a model
MAX_NAMES = 12  # attributes that a note lists
COLUMNS = ("Slice", "Under", "Images", "Accuracy", "Others", "Difference", "p", "Verdict", "Clean images")
TEXTS = ("Under", "Verdict", "Clean images")
ON_CLEAN = {"worse": "worse too", "not worse": "not worse", "inconclusive": "inconclusive", None: EMPTY}
_TEXT, _NUMBER = pl.String(), pl.Float64()
SCHEMA: dict[str, pl.DataType] = {
    **dict.fromkeys(SliceRow._fields, _NUMBER),
    **dict.fromkeys(
        ("model_label", "evaluation_id", "slice", "corruption", "verdict", "on_clean", "condition", "query"), _TEXT
    ),
    **dict.fromkeys(("images", "explained"), pl.Int64()),
}


class SlicesResult(Rendered, tuple[SliceRow, ...]):
    """Slices that models predict correctly less often than all other images: what `Warehouse.slices` returns.

    A tuple of rows by corrected p value, which prints as sentences and a table. Shares are 0-1, their differences -1 to
    1; documents show percentages and points.

    Examples:
        >>> found = w.slices(corruption="fog")
        >>> print(found)                                         # a notebook shows a table
        >>> found[0].slice, found[0].estimate, found[0].on_clean
        >>> w.sql(found[0].query)
        >>> found.to_frame().filter(verdict="supported")
    """

    parts: tuple[SlicesOfSelection, ...]

    def __new__(cls, parts: Sequence[SlicesOfSelection] = ()) -> "SlicesResult":
        """The rows of all selections."""
        rows = [row for part in parts for row in part.rows]
        result = super().__new__(cls, sorted(rows, key=lambda row: row.p))
        result.parts = tuple(parts)
        return result

    def to_frame(self) -> pl.DataFrame:
        """One row per slice, model and corruption."""
        return pl.DataFrame(list(self), schema=SCHEMA, orient="row")

    @property
    def document(self) -> Document:
        """Sentences, tables and what was searched; docs/slices.md lists the keys of its data."""
        blocks: list[Block] = []
        for part in self.parts:
            blocks += slice_blocks(part)
        data = {
            **json_head("slices", 1 - ALPHA),
            "searched": [
                {
                    "dataset": part.selection.shared["dataset_label"],
                    "models": list(part.selection.labels.values()),
                    "images": part.searched.images,
                    "distinct_images": part.searched.distinct,
                    "filter": part.options.filter or None,
                    "clean_prediction": part.options.clean_prediction or None,
                    "attributes": list(part.searched.attributes),
                    "depth": part.searched.depth,
                    "fewest_images": part.options.fewest_images,
                    "slices": part.searched.slice_count,
                    "cells": part.searched.cell_count,
                    "tests": part.searched.test_count,
                }
                for part in self.parts
            ],
            "slices": [row._asdict() for row in self],
        }
        return Document("Slices", tuple(blocks), data)


def slice_blocks(part: SlicesOfSelection) -> list[Block]:
    """Sentences, the table and notes on the slices of models that were evaluated on the same images."""
    table = (slice_table(part),) if part.rows else ()
    return [*(Sentence(text, "item") for text in slice_sentences(part)), *table, Sentence(searched_note(part), "note")]


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
        f"that any supported slice has no true difference is at most {format_percent(ALPHA, 0)} (Fisher's exact tests with "
        "Bonferroni's correction). Slices that a listed one explains are not listed."
    )
    if options.filter:
        said += f" Only {filter_phrase(options.filter)}."
    if options.clean_prediction:
        said += f" Only images whose clean image is predicted {options.clean_prediction}."
    if searched.left_out:
        said += f" Left out, since their cells show different images: {join_names(searched.left_out)}."
    return said


def slice_options(
    *,
    corruption: str | Sequence[str] | None = None,
    severity: float | Sequence[float] | None = None,
    by: str | Sequence[str] | None = None,
    depth: int | None = None,
    min_images: int = FEWEST_IMAGES,
    filter: str = "",
    clean_prediction: str = "",
) -> SliceOptions:
    """Check what is to be searched.

    Args:
        corruption: one or several names.
        severity: one or several.
        by: attributes, or text with several separated by commas.
        depth: see `SliceOptions`.
        min_images: likewise, `fewest_images`.
        filter: likewise.
        clean_prediction: likewise.

    Raises:
        StudyError: a number is out of range.
    """
    if depth is not None and (isinstance(depth, bool) or depth not in range(1, MAX_CONDITIONS + 1)):
        raise StudyError(f"depth {shown(depth)}: expected 1 to {MAX_CONDITIONS} conditions")
    if not isinstance(min_images, int) or isinstance(min_images, bool) or min_images < 1:
        raise StudyError(f"min_images {shown(min_images)}: expected a number of images, such as {FEWEST_IMAGES}")
    severities = list(severity) if isinstance(severity, Sequence) else [] if severity is None else [severity]
    if not all(isinstance(one, int | float | Decimal) and not isinstance(one, bool) for one in severities):
        raise StudyError(f"severity {shown(severity)}: expected numbers, such as 3")
    names = by.split(",") if isinstance(by, str) else list(by or ())
    return SliceOptions(
        tuple([corruption] if isinstance(corruption, str) else corruption or ()),
        tuple(map(float, severities)), tuple(name.strip() for name in names), depth, min_images, filter,
        clean_prediction,
    )  # fmt: skip
