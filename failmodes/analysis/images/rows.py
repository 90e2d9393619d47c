"""Rows of images: those that match an SQL condition, or images along their curves."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import duckdb

from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.render.formatting import format_percent, format_severity
from failmodes.runtime.errors import QueryError, StudyError
from failmodes.warehouse.database.query import first_rows, run_query
from failmodes.warehouse.schema import CLEAN

DEFAULT_PICTURES = 24  # if a filter has no limit
MAX_PICTURES = 200  # of one sheet, which stays a file of a few megabytes
NO_PREDICTION, OTHER_CLASS = "no prediction", "another class"  # logits not finite; class outside the dataset

# The columns of PictureRow, in order
_COLUMNS = """
select
    evaluation_id, model_label, dataset_id, source_id, corruption, corruption_label, severity, image_id, label,
    label_name, predicted_name, correct, confidence, rmse, file
"""
# Rows of `predictions` with the names of corruption and source; a condition follows
PICTURES = f"""
from (
    select
        predictions.* replace (
            coalesce(predictions.label_name, predictions.label::varchar) as label_name,
            coalesce(predicted_name, if(confidence is null, '{NO_PREDICTION}', '{OTHER_CLASS}')) as predicted_name
        ),
        predictions.label_name as class_name, evaluation_labels.source_id, evaluation_labels.source_label,
        evaluation_labels.seed,
        coalesce(corruptions.corruption_label, predictions.corruption) as corruption_label,
        corruptions.corruption_group, images.pixel_hash
    from predictions
    inner join evaluation_labels on predictions.evaluation_id = evaluation_labels.evaluation_id
    left join corruptions on predictions.corruption = corruptions.corruption
    left join images on predictions.dataset_id = images.dataset_id and predictions.image_id = images.image_id
) as pictures
where
"""


class PictureRow(NamedTuple):
    """One image of one cell: a row of `outcomes` with names."""

    evaluation_id: str
    model_label: str
    dataset_id: str
    source_id: str
    corruption: str
    corruption_label: str
    severity: Decimal
    image_id: int
    label: int
    label_name: str
    predicted_name: str
    correct: bool
    confidence: float | None
    rmse: float | None
    file: str | None

    @property
    def cell_name(self) -> str:
        """The cell in words: Fog, severity 3; or clean."""
        severity = format_severity(float(self.severity))
        return f"{self.corruption_label}, severity {severity}" if self.severity else severity

    @property
    def short_cell_name(self) -> str:
        """The cell in short: Fog 3; or clean."""
        severity = format_severity(float(self.severity))
        return f"{self.corruption_label} {severity}" if self.severity else severity

    @property
    def image_name(self) -> str:
        """The image in words: image 17, with its file if known."""
        return f"image {self.image_id}" + (f" ({self.file})" if self.file else "")

    @property
    def confidence_text(self) -> str:
        """The confidence in percent, or ""."""
        return "" if self.confidence is None else format_percent(self.confidence, 0)

    @property
    def notes(self) -> list[str]:
        """The lines below the prediction on a contact sheet, above the file."""
        lines = f"{self.confidence_text}, true: {self.label_name}", self.short_cell_name, self.model_label
        return [lines[0].removeprefix(", "), *lines[1:], f"image {self.image_id}"]


class FoundRows(NamedTuple):
    """Rows that match a condition: those to show, and the number of matches without limit.

    `cut` says why not all requested rows are shown, or is "".
    """

    rows: list[PictureRow]
    matching: int
    cut: str


def matching_rows(path: Path, condition: str, *, timeout_s: float | None = 60) -> FoundRows:
    """Rows of evaluated images that match a condition.

    It runs as one statement on the locked connection, like every query of a user.

    Args:
        path: the warehouse.
        condition: the text after `where`, such as "not correct order by confidence desc limit 24".
        timeout_s: time limit in seconds.

    Raises:
        QueryError: it is not a condition, or names an unknown column.
        LimitError: out of time or memory.
    """
    statement = _COLUMNS + PICTURES + condition
    values: dict[str, object] = {"statement": statement}
    parsed = json.loads(run_query(path, "select json_serialize_sql($statement)", values, timeout_s=timeout_s).item())
    select = {} if parsed["error"] else parsed["statements"][0]["node"]  # the statement itself fails on invalid SQL
    if select and select["type"] != "SELECT_NODE":
        raise QueryError(
            "the filter adds another SELECT: expected a condition with order and limit, such as "
            "\"corruption = 'fog' and not correct order by confidence desc limit 24\""
        )
    matching = first_rows(path, statement, MAX_PICTURES, timeout_s=timeout_s)
    rows = [PictureRow(*row) for row in matching.rows]
    cut = ""
    if not any(modifier["type"].startswith("LIMIT") for modifier in select["modifiers"]):
        if len(rows) > DEFAULT_PICTURES:
            cut = f"the first {DEFAULT_PICTURES} are shown: end the filter with `limit N` for more"
        rows = rows[:DEFAULT_PICTURES]
    elif matching.row_count != len(rows):
        cut = f"the first {len(rows)} are shown, the maximum"
    select["modifiers"] = []  # order and limit
    count = "select count(*) from json_execute_serialized_sql($statement)"
    counted = run_query(path, count, {"statement": json.dumps(parsed)}, timeout_s=timeout_s)
    return FoundRows(rows, counted.item(), cut)


def curve_rows(
    con: duckdb.DuckDBPyConnection, selection: Selection, image_ids: Sequence[int]
) -> list[list[PictureRow]]:
    """Rows from clean to the last severity: one list per image, corruption and model, in this order.

    Raises:
        StudyError: an image was not evaluated, or there are too many images.
    """
    cells = [*selection.corruptions, CLEAN]
    condition = "evaluation_id = any($1) and image_id = any($2) and corruption = any($3) order by severity"
    statement = _COLUMNS + PICTURES + condition
    stored = con.execute(statement, [selection.ids, list(image_ids), cells]).fetchall()
    rows = [PictureRow(*row) for row in stored]
    for image_id in image_ids:
        if not any(row.image_id == image_id for row in rows):
            raise StudyError(f"image {image_id} was not evaluated: {_evaluated(con, selection)}")
    curves = [
        [row for row in rows if (row.evaluation_id, row.image_id) == (e, image_id) and row.corruption in (name, CLEAN)]
        for image_id in image_ids
        for name in selection.corruptions
        for e in selection.ids
    ]
    if (count := sum(map(len, curves))) > MAX_PICTURES:
        raise StudyError(f"{count:,} images, more than {MAX_PICTURES}: name fewer images or corruptions")
    return [curve for curve in curves if curve]


def rows_to_cells(
    con: duckdb.DuckDBPyConnection, evaluation_id: str, cells: Mapping[int, tuple[str, float]]
) -> list[PictureRow]:
    """Rows of images of one evaluation, each from clean to the last whole severity of one corruption.

    Args:
        con: the warehouse.
        evaluation_id: of the model.
        cells: corruption and severity by image_id; this severity is included even if it is fractional.
    """
    condition = "evaluation_id = $1 and image_id = any($2) and corruption = any($3) order by image_id, severity"
    names = [CLEAN, *(corruption for corruption, _ in cells.values())]
    rows = con.execute(_COLUMNS + PICTURES + condition, [evaluation_id, list(cells), names]).fetchall()
    return [
        row
        for row in map(PictureRow._make, rows)
        if row.corruption in (CLEAN, cells[row.image_id][0])
        and (not row.severity % 1 or float(row.severity) == cells[row.image_id][1])
    ]


def _evaluated(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """The evaluated images in words."""
    ids = con.execute(
        "select distinct image_id from outcomes where evaluation_id = $1 and corruption = $2 order by 1",
        [selection.ids[0], CLEAN],
    ).fetchall()
    return f"{len(ids):,} images were, from {ids[0][0]} to {ids[-1][0]}" if ids else "no image was"
