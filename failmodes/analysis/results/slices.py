"""Slices as a result: sentences, a table, a data frame and all output formats."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from failmodes.analysis.judging.slices import SliceRow, SlicesOfSelection
from failmodes.analysis.judging.slices_text import slice_blocks
from failmodes.analysis.judging.wording import json_head
from failmodes.analysis.render.blocks import Block, Document
from failmodes.analysis.render.documents import Rendered
from failmodes.analysis.render.formatting import format_count
from failmodes.analysis.statistics.shares import ALPHA
from failmodes.analysis.statistics.slice_search import MAX_CONDITIONS
from failmodes.analysis.statistics.slices import SliceOptions
from failmodes.runtime.errors import StudyError, shown
from failmodes.warehouse.database.query import run_query
from failmodes.warehouse.metrics.metric import FEWEST_IMAGES
from failmodes.warehouse.schema import CLEAN

if TYPE_CHECKING:
    from failmodes.analysis.images.collection import Pictures
    from failmodes.analysis.images.stored_images import OpenStudy
    from failmodes.analysis.results.shown_images import ImageSheet

MAX_PICTURED, IMAGES_OF_SLICE = 5, 6
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
        >>> found.images().save("slices.png")
        >>> found.to_frame().filter(verdict="supported")
    """

    parts: tuple[SlicesOfSelection, ...]
    _path: Path
    _open_study: "OpenStudy | None"

    def __new__(
        cls, parts: Sequence[SlicesOfSelection], path: Path, open_study: "OpenStudy | None" = None
    ) -> "SlicesResult":
        """The rows of all selections of a warehouse; `Warehouse.slices` searches them."""
        rows = [row for part in parts for row in part.rows]
        result = super().__new__(cls, sorted(rows, key=lambda row: row.p))
        result.parts = tuple(parts)
        result._path = path
        result._open_study = open_study
        return result

    def images(self) -> "ImageSheet":
        """IMAGES_OF_SLICE images of each of the first MAX_PICTURED slices, from clean to the last severity.

        They are evenly spaced by image_id, whatever the prediction: an illustration, not evidence.

        Raises:
            StudyError: no slice is under a corruption, or only a study has the images.
            WarehouseError, DataError: a clean image is missing or damaged.
        """
        from failmodes.analysis.results.shown_images import ImageSheet

        return ImageSheet(pictures_of_slices(self._path, self, open_study=self._open_study))

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
            "gaps": [
                {
                    "model_label": gap.evaluation.label,
                    "evaluation_id": gap.evaluation.evaluation_id,
                    "attribute": part.searched.attributes[0],
                    "corruption": gap.cell[0],
                    "severity": gap.cell[1],
                    "worst": gap.worst,
                    "worst_accuracy": gap.worst_accuracy,
                    "best": gap.best,
                    "best_accuracy": gap.best_accuracy,
                    "gap": gap.gap.value,
                    "low": gap.gap.low,
                    "high": gap.gap.high,
                }
                for part in self.parts
                for gap in part.searched.gaps
            ],
        }
        return Document("Slices", tuple(blocks), data)


def pictures_of_slices(path: Path, rows: Sequence[SliceRow], *, open_study: "OpenStudy | None" = None) -> "Pictures":
    """Images of the first slices under a corruption; see `SlicesResult.images`."""
    from failmodes.analysis.images.collection import find_curves

    first_rows: dict[tuple[str, str], SliceRow] = {}
    for row in rows:
        if row.corruption != CLEAN:
            first_rows.setdefault((row.evaluation_id, row.slice), row)
    if not first_rows:
        raise StudyError("no slice is under a corruption: there are no images to show along severity")
    has_models = len({row.model_label for row in rows}) > 1
    sheets = []
    titles: list[str] = []
    for row in list(first_rows.values())[:MAX_PICTURED]:
        ids = run_query(path, f"select distinct image_id {row.query} order by image_id")["image_id"].to_list()
        step = max(1, len(ids) // IMAGES_OF_SLICE)
        found = find_curves(
            path, ids[step // 2 :: step][:IMAGES_OF_SLICE], corruptions=[row.corruption],
            evaluations=[row.evaluation_id], open_study=open_study,
        )  # fmt: skip
        sheets.append(found)
        doubt = "" if row.verdict == "supported" else f"{row.verdict}: "
        model = f"{row.model_label}: " if has_models else ""
        titles += [f"{model}{doubt}{row.slice}"] * len(found.rows)
    first = sheets[0]
    return first._replace(
        rows=[row for sheet in sheets for row in sheet.rows],
        headline=f"Images of {format_count(len(sheets), 'slice')} on which accuracy is lowest relative to all others",
        details=f"{IMAGES_OF_SLICE} images of each slice, evenly spaced by number, whatever the prediction. "
        f"{first.details}",
        notes=list(dict.fromkeys(note for sheet in sheets for note in sheet.notes)),
        titles=tuple(titles),
    )


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
