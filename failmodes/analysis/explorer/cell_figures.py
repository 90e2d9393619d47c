"""The stored metrics of one cell: its figures, confusions, confidence and risk, without a row of an image."""

from decimal import Decimal
from typing import Any, NamedTuple

import duckdb
import polars as pl
import polars.selectors as cs

from failmodes.analysis.charts.confusion import cell_confusions
from failmodes.analysis.explorer.model_cell import ModelCell
from failmodes.analysis.render.formatting import format_count, format_interval, format_number, format_percent

BINS = 15  # of the stored measure `cell_confidence_bins`
_FIGURES = "from accuracy_by_severity where evaluation_id = $1 and corruption = $2 and severity = $3"
_BINS = (
    "select bin_index, image_count, correct_count from cell_confidence_bins "
    "where evaluation_id = $1 and corruption = $2 and severity = $3 order by bin_index"
)
_RISKS = (
    "select coverage_percent / 100 as coverage, selective_risk from selective_risks where evaluation_id = $1 "
    "and corruption = $2 and severity = $3 and score = 'confidence' order by coverage"
)


class CellFigures(NamedTuple):
    """What is on record of one cell.

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


def read_figures(con: duckdb.DuckDBPyConnection, cell: ModelCell) -> CellFigures:
    """The stored metrics of a cell."""
    severity = Decimal(str(cell.severity))
    stored = [cell.evaluation_id, cell.stored_corruption, severity]
    figures = con.sql(_FIGURES, params=[cell.evaluation_id, cell.corruption, severity]).pl()
    return CellFigures(
        figures.with_columns(cs.decimal().cast(pl.Float64)).row(0, named=True),
        cell_confusions(con, cell._asdict()),
        full_bins(con.sql(_BINS, params=stored).pl()),
        con.sql(_RISKS, params=stored).pl(),
    )


def full_bins(counts: pl.DataFrame) -> pl.DataFrame:
    """Every bin of confidence: low, high, right and wrong, of the bins that occurred.

    Args:
        counts: bin_index (from 0), image_count and correct_count.
    """
    index = pl.col("bin_index")
    every = pl.DataFrame({"bin_index": range(BINS)}, schema={"bin_index": pl.Int32})
    known = counts.with_columns(index.cast(pl.Int32))
    return every.join(known, on="bin_index", how="left", maintain_order="left").select(
        low=index / BINS,
        high=(index + 1) / BINS,
        correct=pl.col("correct_count").fill_null(0).cast(pl.Int64),
        incorrect=(pl.col("image_count") - pl.col("correct_count")).fill_null(0).cast(pl.Int64),
    )


def figures_sentence(of: CellFigures) -> str:
    """Accuracy with its interval, its drop from clean, and mean confidence, in two sentences."""
    figures = of.figures
    interval = format_interval(figures["accuracy_low"], figures["accuracy_high"])
    images = format_count(figures["image_count"], "image")
    correct = f"Right on {format_percent(figures['accuracy'])} {interval} of {images}"
    if figures["severity"]:
        correct += f", {format_number(100 * figures['accuracy_drop'])} points below clean"
    confidence = figures["mean_confidence"]
    if confidence is None:
        return f"{correct}. No confidence is a finite number."
    gap = confidence - figures["accuracy"]
    side = f"{format_number(abs(100 * gap))} points {'above' if gap > 0 else 'below'} accuracy"
    return f"{correct}. Mean confidence is {format_percent(confidence)}, {side}."


def most_common_confusion(of: CellFigures) -> str:
    """The most frequent wrong answer, in a sentence."""
    incorrect = of.confusions.filter(pl.col("label_name") != pl.col("prediction"))
    if incorrect.is_empty():
        return "No image is read wrong."
    row = incorrect.sort("image_count", descending=True, maintain_order=True).row(0, named=True)
    share = format_percent(row["share_of_label"], 0)
    return f"Most frequent mistake: {row['label_name']} taken for {row['prediction']} ({share} of the class)."
