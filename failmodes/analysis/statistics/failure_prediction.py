"""Failure prediction: how well confidence predicts failures."""

from collections.abc import Iterable
from math import erfc, sqrt
from typing import NamedTuple

import duckdb
import polars as pl

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection, read_for_selection
from failmodes.analysis.evaluations.trained_models import TrainedModel
from failmodes.analysis.statistics.difference import Measured, ModelMetrics
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.analysis.statistics.model_accuracy import rows_of
from failmodes.analysis.statistics.run_rows import share_of_independent
from failmodes.warehouse.database.connection import read_once
from failmodes.warehouse.metrics.failure_prediction import FEWEST
from failmodes.warehouse.metrics.intervals import auroc_error, auroc_interval
from failmodes.warehouse.schema import CLEAN

CHANCE = 0.5  # AUROC of a score without information


def enough(independent: float = 1.0) -> pl.Expr:
    """Whether a cell has FEWEST failures and correct predictions, by the effective number of images."""
    failures = pl.col("failures") * independent
    count = pl.col("n") * independent
    return (failures >= FEWEST) & (count - failures >= FEWEST)


class CellAuroc(NamedTuple):
    """AUROC of confidence in one cell.

    Its 95% interval and its p value, one-sided, of not being below chance, hold for all cells together (Bonferroni).
    """

    corruption: str
    severity: float
    auroc: Estimate


def averaged(cells: pl.DataFrame, selection: Selection, by: Iterable[str], **means: pl.Expr) -> pl.DataFrame:
    """Means over corruptions (without the extras) by model, severity and `by`; the clean cell is severity 0."""
    kept = cells.filter(pl.col("corruption").is_in([CLEAN, *selection.averaged]))
    keys = ["label", "severity", *by]
    return kept.group_by(keys).agg(**{name: mean.mean() for name, mean in means.items()}).sort(keys)


@read_once
def auroc_by_cell(con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo) -> list[CellAuroc]:
    """Corrupted cells with enough failures and correct predictions, the lowest AUROC first."""
    independent = share_of_independent(con, evaluation.evaluation_id)
    cells = read_for_selection(con, "failure_prediction", selection.only(evaluation)).filter(
        enough(independent), pl.col("severity") > 0, score="confidence"
    )
    cells = cells.select("corruption", "severity", "auroc", "failures", "n").sort("auroc", "corruption", "severity")
    found = []
    for corruption, severity, auroc, failures, count in cells.rows():
        counts = failures * independent, (count - failures) * independent
        ends = auroc_interval(auroc, *counts, comparisons=len(cells))
        deviations = (CHANCE - auroc) / auroc_error(CHANCE, *counts)
        p_value = min(1.0, len(cells) * erfc(deviations / sqrt(2)) / 2)
        found.append(CellAuroc(corruption, severity, Estimate(auroc, *ends, n=count, p_value=p_value)))
    return found


@read_once
def mean_auroc(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> dict[float, Estimate]:
    """AUROC of confidence by severity, the mean over corruptions, with its 95% interval over images.

    Only cells with at least `FEWEST` failures and correct predictions count, since the interval of a mean over cells
    with fewer is too narrow; severities without any, and extra corruptions, are excluded.
    """
    cells = read_for_selection(con, "failure_prediction", selection.only(evaluation)).filter(
        enough(), pl.col("corruption").is_in([CLEAN, *selection.averaged]), score="confidence"
    )
    metrics = ModelMetrics(rows_of(con, TrainedModel(evaluation.label, (evaluation,))))
    aurocs = {}
    for (severity,), at_severity in cells.sort("severity", "corruption").group_by("severity", maintain_order=True):
        measured = metrics.mean("auroc", at_severity.select("corruption", "severity").rows(), "confidence")
        assert isinstance(measured, Measured), "it is defined in every cell with failures and correct predictions"
        aurocs[float(severity)] = measured.interval()
    return aurocs
