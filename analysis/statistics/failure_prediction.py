"""Whether a score tells failures from right answers, and what abstaining on the least sure images would gain."""

from collections.abc import Iterable
from statistics import NormalDist
from typing import NamedTuple

import duckdb
import numpy as np
import polars as pl

from failmodes.analysis.once import read_once
from failmodes.analysis.selection import EvaluationInfo, Selection, read_for_selection
from failmodes.analysis.statistics.bootstrap import Estimate, share_estimate
from failmodes.warehouse.database.relations import is_current
from failmodes.warehouse.errors import WarehouseError
from failmodes.warehouse.measures.tables import FAILURE_SCORES, SELECTIVE_RISKS
from failmodes.warehouse.schema import CLEAN

CHANCE = 0.5  # AUROC of a score that knows nothing
FEWEST = 10  # failures and right answers of a cell that a sentence speaks of: a standard error of fewer says little
ENOUGH = (pl.col("failures") >= FEWEST) & (pl.col("n") - pl.col("failures") >= FEWEST)
KEPT_SHARE = 0.8  # coverage that sentences speak of


class CellAuroc(NamedTuple):
    """AUROC of confidence in one cell, with its interval, of 95 % for all cells together (Bonferroni)."""

    corruption: str
    severity: float
    auroc: Estimate


class FailurePrediction(NamedTuple):
    """How well confidence tells the failures of one network from its right answers.

    Attributes:
        clean: AUROC on clean images; None where there are too few failures or right answers.
        lowest: the corrupted cell of the lowest AUROC.
        worse_than_chance: severities by corruption where the whole interval is below chance.
        cell_count: corrupted cells that were looked at.
        by_score: AUROC of each score at the last severity, averaged over corruptions.
        error_rate: at the last severity, averaged over corruptions.
        error_rate_kept: the same of the surest images, KEPT_SHARE of each cell.
    """

    clean: Estimate | None
    lowest: CellAuroc
    worse_than_chance: dict[str, list[float]]
    cell_count: int
    by_score: dict[str, Estimate]
    error_rate: Estimate
    error_rate_kept: Estimate


@read_once
def cell_scores(con: duckdb.DuckDBPyConnection, selection: Selection) -> pl.DataFrame:
    """Rows of failure_prediction of the cells of a selection, the clean one as 'none'.

    Raises:
        WarehouseError: the warehouse was loaded before there was this measure.
    """
    return _of_cells(con, "failure_prediction", selection)


@read_once
def cell_risks(con: duckdb.DuckDBPyConnection, selection: Selection) -> pl.DataFrame:
    """Rows of risk_coverage of the cells of a selection, the clean one as 'none'.

    Raises:
        WarehouseError: the warehouse was loaded before there was this measure.
    """
    return _of_cells(con, "risk_coverage", selection)


def has_failure_scores(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether they are stored: from the rows of a large warehouse they would take minutes and all memory."""
    return is_current(con, FAILURE_SCORES.name) and is_current(con, SELECTIVE_RISKS.name)


def _of_cells(con: duckdb.DuckDBPyConnection, view: str, selection: Selection) -> pl.DataFrame:
    if not has_failure_scores(con):
        raise WarehouseError(
            "no failure prediction to show: the warehouse was loaded by another version of failmodes; `failmodes load` "
            "with the same folders computes it"
        )
    return read_for_selection(con, view, selection).filter(pl.col("severity").is_not_null())


def averaged(cells: pl.DataFrame, selection: Selection, by: Iterable[str], **means: pl.Expr) -> pl.DataFrame:
    """Means over corruptions (without the extras) by network, severity and `by`; the clean cell is severity 0."""
    kept = cells.filter(pl.col("corruption").is_in([CLEAN, *selection.averaged]))
    keys = ["label", "severity", *by]
    return kept.group_by(keys).agg(**{name: mean.mean() for name, mean in means.items()}).sort(keys)


@read_once
def predict_failures(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> FailurePrediction | None:
    """How well confidence tells failures from right answers; None where too few of either are in every corrupted cell.

    Standard errors of a mean over corruptions are the mean of theirs, as if all said the same of the same images: the
    interval is rather too wide.

    Raises:
        WarehouseError: the warehouse was loaded before there was this measure.
    """
    scores = cell_scores(con, selection).filter(evaluation_id=evaluation.evaluation_id)
    cells = scores.filter(ENOUGH, score="confidence")
    corrupted = cells.filter(pl.col("severity") > 0).sort("auroc", "corruption", "severity")
    if not len(corrupted):
        return None
    clean = cells.filter(severity=0)
    quantile = NormalDist().inv_cdf(1 - 0.025 / len(corrupted))
    high = corrupted["auroc"] + quantile * corrupted["auroc_error"]
    worse = corrupted.filter(high < CHANCE).group_by("corruption", maintain_order=True).agg(pl.col("severity").sort())
    lowest = corrupted.row(0, named=True)
    at_last = scores.filter(ENOUGH & (pl.col("severity") == pl.col("severity").max().over("corruption")))
    by_score = at_last.filter(pl.col("corruption").is_in(list(selection.averaged))).group_by("score").agg(
        pl.col("auroc").mean(), pl.col("auroc_error").mean()
    )  # fmt: skip
    return FailurePrediction(
        clean=share_estimate(*clean.select("auroc", "auroc_error").row(0)) if len(clean) else None,
        lowest=CellAuroc(
            lowest["corruption"], lowest["severity"], share_estimate(lowest["auroc"], lowest["auroc_error"], quantile)
        ),
        worse_than_chance=dict(worse.rows()),
        cell_count=len(corrupted),
        by_score={score: share_estimate(*found) for score, *found in sorted(by_score.rows(), key=lambda row: -row[1])},
        error_rate=_risk_at_last(con, selection, evaluation, 1.0),
        error_rate_kept=_risk_at_last(con, selection, evaluation, KEPT_SHARE),
    )


def _risk_at_last(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo, coverage: float
) -> Estimate:
    """Error rate of the surest images by confidence at the last severity, averaged over corruptions."""
    rows = cell_risks(con, selection).filter(
        pl.col("corruption").is_in(list(selection.averaged)),
        evaluation_id=evaluation.evaluation_id, score="confidence",
    )  # fmt: skip
    at_last = rows.filter(
        pl.col("severity") == pl.col("severity").max().over("corruption"), pl.col("coverage") == coverage
    )
    risks = at_last["selective_risk"].to_numpy()
    kept = coverage * selection.image_count
    return share_estimate(float(risks.mean()), float(np.sqrt(risks * (1 - risks) / kept).mean()))
