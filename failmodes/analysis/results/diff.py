"""Why two numbers differ, as a result: sentences, tables, image strips and all output formats."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import polars as pl

from failmodes.analysis.images.collection import RELATIONS, changed_pictures
from failmodes.analysis.images.strips import picture_strip
from failmodes.analysis.judging.diff import Cause, Changed, Diff, Number
from failmodes.analysis.render.blocks import (
    Block,
    Case,
    Document,
    Gallery,
    ImageStrip,
    Section,
    Sentence,
    Table,
    TableCell,
    text_table,
)
from failmodes.analysis.render.documents import Rendered
from failmodes.analysis.render.formatting import (
    format_count,
    format_interval,
    format_number,
    format_percent,
    format_points,
    join_names,
)
from failmodes.analysis.statistics.decomposition import LEVEL, MEAN
from failmodes.analysis.statistics.run_rows import CLEAN_CELL, CellKey
from failmodes.warehouse.database.connection import open_warehouse

DIGITS = 2  # of percent and points: published numbers have as many
MAX_ROWS, MAX_STRIPS = 10, 4  # of cells, classes and images
MEANINGS = {
    "images": "images that only one side has",
    "severities and names": "cells that only one side averages",
    "averaging": "form of the average",
    "labels": "labels of the same images",
    "classes": "order of the classes",
    "predictions": "predictions on the same images",
}
STATED = {"equal": "passed", "differs": "failure", "not comparable": "error"}


class DiffResult(Rendered):
    """Why two numbers differ: what `Warehouse.diff` returns.

    Differences are second − first, -1 to 1 (mCE: any number); documents show points.

    Attributes:
        diff: all results, as dataclasses.

    Examples:
        >>> result = w.diff("Net", "other.duckdb::Net")
        >>> print(result)                                        # a notebook shows tables and images
        >>> result.diff.outcome                                  # 'equal', 'differs' or 'not comparable'
        >>> [factor.name for cause in result.diff.causes for factor in cause.factors]
        >>> result.to_frame().filter(status="differs")
        >>> result.save("diff.html")
    """

    def __init__(self, diff: Diff) -> None:
        """Wrap a diff; `Warehouse.diff` computes it."""
        self.diff = diff

    def to_frame(self) -> pl.DataFrame:
        """One row per factor: factor, status ('same', 'differs' or 'unknown'), evidence."""
        return pl.DataFrame(self.diff.factors, schema=["factor", "status", "evidence"], orient="row")

    @property
    def sentences(self) -> list[str]:
        """The difference, then each cause with what it explains, then what is unknown."""
        return list(_sentences(self.diff))

    @property
    def document(self) -> Document:
        """Sentences, what explains how much, all factors, and where predictions differ.

        Its test case checks that the numbers, and the predictions behind them, are equal.
        """
        diff = self.diff
        lead, *rest = self.sentences
        blocks: list[Block] = [Sentence(lead, "lead"), *(Sentence(text, "item") for text in rest)]
        if diff.difference is not None and diff.outcome == "differs":
            blocks.append(_shares(diff))
        note = "Unknown: not recorded, and never named as a cause."
        blocks.append(text_table("Factors", ("Factor", "Status", "Evidence"), diff.factors, note))
        if diff.cells:
            columns = (diff.a.label, diff.b.label)
            blocks += [
                Section(title, (_places(title, kind, found, columns),), is_folded=True)
                for title, kind, found in (("Cells", "Cell", diff.cells), ("Classes", "Class", diff.classes))
                if found
            ]
            blocks.append(Section("Images", tuple(self._images()), is_folded=True))
        outcome: Any = STATED[diff.outcome]
        case = Case("the same number", "failmodes.diff", outcome, " ".join(self.sentences), diff.outcome)
        return Document(f"{diff.b.label} against {diff.a.label}", tuple(blocks), _data(diff), (case,))

    def _images(self) -> Iterator[Block]:
        """The images whose predictions differ in most cells, with strips as far as the warehouses have them."""
        images = self.diff.images
        shown = images[:MAX_ROWS]
        rows = [
            (str(image.image_a), image.label, str(image.cell_count), _cell(image.cell),
             "" if image.confidence_change is None else f"{100 * image.confidence_change:.1f}")
            for image in shown
        ]  # fmt: skip
        of = f"{format_count(len(images), 'image')}; those that differ in most cells come first."
        columns = ("Image", "Class", "Cells", "Mildest", "Change of confidence, points")
        yield text_table("Images whose predictions differ", columns, rows, of)
        strips, note = self._strips
        if strips or note:
            yield Gallery(tuple(strips), note)

    @cached_property
    def _strips(self) -> tuple[list[ImageStrip], str]:
        """Each image with the predictions of both sides, and why there are none."""
        shown = self.diff.images[:MAX_STRIPS]
        found: dict[int, list[ImageStrip]] = {place: [] for place in range(len(shown))}
        reason = ""
        for number, name in ((self.diff.a, "image_a"), (self.diff.b, "image_b")):
            if number.path is None or number.evaluation_id is None:
                continue
            corrupted = next((row.cell for row in self.diff.cells if row.cell not in (None, CLEAN_CELL)), CLEAN_CELL)
            assert corrupted is not None
            cells = {getattr(i, name): i.cell if i.cell != CLEAN_CELL else (corrupted[0], 0.0) for i in shown}
            with open_warehouse(number.path, RELATIONS) as con:
                pictures, reason = changed_pictures(con, number.evaluation_id, cells)
            for place, image in enumerate(shown):
                if strip := pictures.get(getattr(image, name)):
                    note = f"Predictions differ in {format_count(image.cell_count, 'cell')}"
                    found[place].append(picture_strip(strip, number.label, note))
        strips = [strip for of_image in found.values() for strip in of_image]
        missing = f" No images: {reason}." if reason else ""
        return strips, f"Images whose predictions differ in most cells, of both sides.{missing}"


def _sentences(diff: Diff) -> Iterator[str]:
    a, b = diff.a, diff.b
    if diff.difference is None:
        yield f"{a.label} and {b.label} cannot be compared: {diff.reason}."
        return
    values = f"{_value(b)} against {_value(a)}"
    changed = diff.changed
    if diff.outcome == "equal":
        same = f", and so are all {changed.total:,} predictions on the same images" if changed else ""
        yield f"{b.label} and {a.label} are equal: {values}{same}."
    else:
        size = format_points(abs(diff.difference.value), DIGITS)
        low, high = sorted(diff.difference[1:3])
        ends = "" if low == high else f", {format_interval(low, high, DIGITS)} over images"
        words = ("worse", "better") if MEAN != a.form == b.form else ("higher", "lower")  # other forms are of errors
        word = words[diff.difference.value < 0]
        by = f"{size} {word} than" if abs(diff.difference.value) >= 5e-5 else "within 0.01 points of"
        yield f"{b.label} is {by} {a.label}: {values} (difference {_points(diff.difference.value)}{ends})."
        yield from (_cause(cause, diff) for cause in diff.causes)
        if not diff.causes:
            yield "No recorded fact explains the difference."
    if diff.unknown and diff.outcome == "differs":
        yield f"Not recorded, and so not named: {join_names(diff.unknown)}."


def _cause(cause: Cause, diff: Diff) -> str:
    """What differs, with its evidence, and the points that it explains."""
    said = [f"{factor.name} ({factor.evidence})" for factor in cause.factors]
    changed = ""
    if cause.factors[0].name not in MEANINGS and diff.changed is not None:
        changed = f"; {diff.changed.differing:,} of {diff.changed.total:,} predictions on the same images differ"
    if len(said) == 1:
        return f"Cause: {said[0]}: {_points(cause.share)}{changed}."
    return (
        f"Candidates, which stored rows cannot separate: {join_names(said)}: {_points(cause.share)} together{changed}."
    )


def _value(number: Number) -> str:
    value = "" if number.value is None else format_percent(number.value, DIGITS)
    return value if number.form == MEAN else f"{value} {number.form}"


def _points(value: float) -> str:
    return format_points(value, DIGITS, signed=True)


def _shares(diff: Diff) -> Table:
    """What each respect explains."""
    assert diff.difference is not None
    is_published = diff.changed is None
    names = MEANINGS | ({"predictions": "predictions or images, which a published row lacks"} if is_published else {})
    rows = [
        (TableCell(names[share.respect]), TableCell(format_number(100 * share.value, DIGITS, signed=True)))
        for share in diff.shares
    ]
    low, high = diff.difference[1:3]
    interval = "" if low == high else format_interval(low, high, DIGITS)
    total = TableCell(format_number(100 * diff.difference.value, DIGITS, signed=True), interval)
    note = f"Points, which add up exactly; {format_percent(LEVEL, 0)} interval over images." if interval else "Points."
    return Table("What explains the difference", note, ("By", "Points"), (*rows, (TableCell("difference"), total)))


def _places(title: str, kind: str, rows: Sequence[Changed], labels: tuple[str, str]) -> Table:
    """Cells or classes where predictions differ."""
    lines = [
        (TableCell(row.name or _cell(row.cell)), TableCell(f"{row.differing:,} of {row.total:,}"),
         *(TableCell(format_number(100 * value, DIGITS)) for value in (row.a, row.b)),
         TableCell(format_number(100 * (row.b - row.a), DIGITS, signed=True)))
        for row in rows[:MAX_ROWS]
    ]  # fmt: skip
    cut = f" {MAX_ROWS} of {len(rows):,}; JSON has all." if len(rows) > MAX_ROWS else ""
    note = f"Accuracy in percent on the images that both have, largest change first.{cut}"
    return Table(title, note, (kind, "Predictions that differ", *labels, "Difference"), tuple(lines))


def _cell(cell: CellKey | None) -> str:
    return "clean" if cell is None or cell == CLEAN_CELL else f"{cell[0]} {cell[1]:g}"


def _data(diff: Diff) -> dict[str, Any]:
    """What docs/differing.md lists."""
    numbers = {
        name: {"label": n.label, "value": n.value, "averaging": n.form, "evaluation_id": n.evaluation_id}
        for name, n in (("a", diff.a), ("b", diff.b))
    }
    estimate = diff.difference
    return {
        "kind": "diff",
        "outcome": diff.outcome,
        "reason": diff.reason or None,
        "sentences": list(_sentences(diff)),
        **numbers,
        "difference": estimate and estimate.value,
        "low": estimate and estimate.low,
        "high": estimate and estimate.high,
        "level": LEVEL,
        "shares": [share._asdict() for share in diff.shares],
        "causes": [{"factors": [f.name for f in cause.factors], "share": cause.share} for cause in diff.causes],
        "factors": [factor._asdict() for factor in diff.factors],
        "changed": diff.changed and {"differing": diff.changed.differing, "total": diff.changed.total},
        "cells": [_place(row) for row in diff.cells],
        "classes": [_place(row) for row in diff.classes],
        "images": [
            {**image._asdict(), "cell": {"corruption": image.cell[0], "severity": image.cell[1]}}
            for image in diff.images
        ],
    }


def _place(row: Changed) -> dict[str, Any]:
    where = {"class_name": row.name} if row.cell is None else {"corruption": row.cell[0], "severity": row.cell[1]}
    return {**where, "differing": row.differing, "total": row.total, "a": row.a, "b": row.b}
