"""Results in RobustBench's CSV layout, with clean accuracies in a second file."""

from decimal import Decimal
from pathlib import Path

import duckdb
import polars as pl

from failmodes.analysis.evaluations.comparability import protocol_lines
from failmodes.analysis.evaluations.selection import Selection, read_for_selection
from failmodes.analysis.render.formatting import format_count, join_names
from failmodes.runtime.errors import WarehouseError, printable
from failmodes.warehouse.published_layout import CLEAN_CELL, MAX_LETTERS, PublishedModel, write_published


def write_robustbench(
    con: duckdb.DuckDBPyConnection, _warehouse: Path, selection: Selection, path: Path, force: bool
) -> list[str]:
    """Write the accuracy of every model at every whole severity, at full precision.

    Raises:
        WarehouseError: there is no whole severity, or a model has no clean accuracy.
        StorageError: a file cannot be written.
    """
    points = read_for_selection(con, "accuracy_by_severity", selection).filter(pl.col("severity") > 0)
    whole = points.filter(pl.col("severity") % 1 == 0)
    if whole.is_empty():
        raise WarehouseError("these models have no whole severity, which RobustBench's layout needs")
    if whole["clean_accuracy"].null_count():
        raise WarehouseError("these models have no reference level: RobustBench's layout needs clean accuracies")
    models = [
        _model(evaluation.label, evaluation.facts["architecture"], whole.filter(evaluation_id=evaluation.evaluation_id))
        for evaluation in selection.evaluations
    ]
    notes = list(protocol_lines(selection))
    if left_out := points.filter(pl.col("severity") % 1 != 0).select("corruption", "severity").unique().height:
        corruptions = join_names(points.filter(pl.col("severity") % 1 != 0)["corruption"].unique().sort())
        counted = format_count(left_out, "cell")
        notes.append(f"not included, since the layout has whole severities only: {counted} of {corruptions}")
    write_published(path, models, force=force)
    return notes


def _model(label: str, architecture: str, points: pl.DataFrame) -> PublishedModel:
    ordered = points.sort("corruption_order", "corruption", "severity")
    cells = ordered.select("corruption", "severity", "accuracy").rows()
    accuracies = {CLEAN_CELL: float(ordered["clean_accuracy"][0])}
    accuracies |= {(corruption, Decimal(int(severity))): float(value) for corruption, severity, value in cells}
    return PublishedModel(_one_line(label), accuracies, _one_line(architecture))


def _one_line(text: str) -> str:
    """A text on one line, within the limit of the layout."""
    return printable(text, MAX_LETTERS - 1).strip()
