"""What the explorer shows of a warehouse: curves, and the stored metrics of one cell (a model, corruption, severity)."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple

import duckdb
import polars as pl
import polars.selectors as cs

from failmodes.analysis.charts.confusion import cell_confusions
from failmodes.analysis.render.formatting import (
    format_count,
    format_interval,
    format_number,
    format_percent,
    format_severity,
    join_names,
    lower_label,
)
from failmodes.analysis.selection import Selection, corruption_names, read_for_selection
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.schema import CLEAN

BINS = 15  # of the view `cell_confidence_bins`
_OF_CELL = "where evaluation_id = $1 and corruption = $2 and severity = $3"
_FIGURES = f"from accuracy_by_severity {_OF_CELL}"
_BINS = f"""
select range / {BINS} as low, (range + 1) / {BINS} as high, coalesce(correct_count, 0) as correct,
    coalesce(image_count - correct_count, 0) as incorrect
from range({BINS}) left join (from cell_confidence_bins {_OF_CELL}) on bin_index = range order by range
"""
_RISKS = f"""
select coverage_percent / 100 as coverage, selective_risk from selective_risks {_OF_CELL} and score = 'confidence'
order by coverage
"""


class Cell(NamedTuple):
    """One model under one corruption at one severity; clean is severity 0 of any corruption.

    Attributes:
        evaluation_id: of the model on its images.
        label: the model, as charts call it.
        corruption: whose curve the cell is on.
        corruption_label: the same for people.
        severity: from 0, clean.
    """

    evaluation_id: str
    label: str
    corruption: str
    corruption_label: str
    severity: float

    @property
    def stored_corruption(self) -> str:
        """The corruption under which the cell's rows are stored: clean is stored once, for all curves."""
        return self.corruption if self.severity else CLEAN

    @property
    def name(self) -> str:
        """The cell in words: ResNet-18, fog at severity 3."""
        corrupted = f"{lower_label(self.corruption_label)} at severity {format_severity(self.severity)}"
        return f"{self.label}, {corrupted if self.severity else 'clean images'}"


class CellFigures(NamedTuple):
    """The stored metrics of a cell.

    Attributes:
        figures: its row of `accuracy_by_severity`.
        confusions: label_name, prediction, image_count and share_of_label (0-1), a row for each that occurred.
        bins: low and high (0-1), correct and incorrect (images), a row for each of the 15 equal bins of confidence.
        risks: coverage and selective_risk (0-1); empty where it was not computed.
    """

    figures: dict[str, Any]
    confusions: pl.DataFrame
    bins: pl.DataFrame
    risks: pl.DataFrame

    @property
    def summary(self) -> str:
        """Accuracy with its interval, drop, mean confidence, most frequent confusion and gain of abstention."""
        of = self.figures
        interval = format_interval(of["accuracy_low"], of["accuracy_high"])
        drop = f", {format_number(100 * of['accuracy_drop'])} points below clean" if of["severity"] else ""
        said = f"Accuracy {format_percent(of['accuracy'])} {interval} on {format_count(of['image_count'], 'image')}{drop}"
        if of["mean_confidence"] is None:
            return f"{said}. No confidence is a finite number."
        said += f"; mean confidence {format_percent(of['mean_confidence'])}."
        incorrect = self.confusions.filter(pl.col("label_name") != pl.col("prediction"))
        for row in incorrect.sort("image_count", descending=True, maintain_order=True).head(1).rows(named=True):
            share = format_percent(row["share_of_label"], 0)
            said += f" Most frequent confusion: {row['label_name']} predicted as {row['prediction']} ({share} of the class)."
        for risk in self.risks.filter((pl.col("coverage") - 0.5).abs() < 0.01)["selective_risk"].drop_nulls().head(1):
            said += f" Error rate of the more confident half: {format_percent(risk)}."
        return said


def selection_name(selection: Selection) -> str:
    """A selection where the reader chooses among several."""
    facts = selection.shared
    models = join_names(selection.labels.values()) if len(selection.ids) <= 2 else f"{len(selection.ids)} models"
    return f"{selection.images} ({facts['subset']}; {facts['source_label']}; {models}; {selection.ids[0]})"


def narrowed(selection: Selection, labels: Sequence[str], corruptions: Sequence[str]) -> Selection:
    """A selection with some of its models and corruptions, in its own order.

    Raises:
        StudyError: none of either is left.
    """
    evaluations = tuple(one for one in selection.evaluations if one.label in labels)
    kept = tuple(name for name in selection.corruptions if name in corruptions)
    if not evaluations or not kept:
        raise StudyError("choose at least one model and one corruption")
    extras = tuple(name for name in selection.extras if name in kept)
    return replace(selection, evaluations=evaluations, corruptions=kept, extras=extras)


def read_curves(con: duckdb.DuckDBPyConnection, selection: Selection) -> pl.DataFrame:
    """The points of the curves of a selection.

    Returns:
        A row a point: evaluation_id, label, corruption, corruption_label, severity (float), accuracy with accuracy_low
        and accuracy_high (exact 95% interval, 0-1), image_count; corruptions by the largest drop of a model.
    """
    names = corruption_names(con, selection)
    found = read_for_selection(con, "accuracy_by_severity", selection).with_columns(
        corruption_label=pl.col("corruption").replace_strict(names, return_dtype=pl.String),
        worst=pl.col("accuracy_drop").max().over("corruption"),
    )
    order = found.sort("worst", "corruption", "label", "severity", descending=[True, False, False, False])
    return order.select(*Cell._fields, "accuracy", "accuracy_low", "accuracy_high", "image_count")


def worst_cell(points: pl.DataFrame) -> Cell:
    """The cell of the lowest accuracy."""
    return Cell(*points.sort("accuracy", maintain_order=True).select(Cell._fields).row(0))


def nearest_cell(points: pl.DataFrame, **wanted: Any) -> Cell | None:
    """The cell with these fields, or with the nearest severity to the one that is wanted; None where there is none."""
    severity = float(wanted.pop("severity"))
    found = points.filter(**wanted).sort((pl.col("severity") - severity).abs(), maintain_order=True)
    return Cell(*found.select(Cell._fields).row(0)) if found.height else None


def read_figures(con: duckdb.DuckDBPyConnection, cell: Cell) -> CellFigures:
    """The stored metrics of a cell."""
    severity = Decimal(str(cell.severity))
    stored = [cell.evaluation_id, cell.stored_corruption, severity]
    figures = con.sql(_FIGURES, params=[cell.evaluation_id, cell.corruption, severity]).pl()
    return CellFigures(
        figures.with_columns(cs.decimal().cast(pl.Float64)).row(0, named=True),
        cell_confusions(con, cell._asdict()),
        con.sql(_BINS, params=stored).pl(),
        con.sql(_RISKS, params=stored).pl(),
    )
