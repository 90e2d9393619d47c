"""Predictions of a model: prediction collapse (one class dominates), and classes far below the others."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import duckdb
import polars as pl

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection, read_for_selection
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.analysis.statistics.run_rows import share_of_independent
from failmodes.analysis.statistics.shares import difference_of_groups, p_by_inversion
from failmodes.warehouse.database.connection import read_once
from failmodes.warehouse.metrics.intervals import wilson_interval
from failmodes.warehouse.schema import CLEAN

CLASS_GAP = 0.2  # a class is far below the others if its accuracy is this much lower, with the whole interval


class Collapse(NamedTuple):
    """The cell of a corruption with the most frequent prediction.

    Attributes:
        corruption: its name, or 'none' for the clean images.
        severity: of the cell.
        class_name: the most frequent prediction.
        predicted_count: images with that prediction.
        share: of the predictions within the dataset's classes; its 95% Wilson interval and p value (one-sided, of no
            collapse) hold for all cells of the evaluation together; n: all images.
        label_share: the class's share of the labels, 0-1.
    """

    corruption: str
    severity: float
    class_name: str
    predicted_count: int
    share: Estimate
    label_share: float

    @property
    def limit(self) -> float:
        """The share of predictions above which predictions are collapsed, 0-1."""
        return (1 + self.label_share) / 2


class ClassGap(NamedTuple):
    """The class and severity of a corruption with the largest gap to the accuracy of the other classes.

    `gap` is the accuracy of the others minus that of the class; n is of the class. Its 95% interval and its p value, of
    a gap not above CLASS_GAP, hold for all classes and corrupted cells of the evaluation together.
    """

    corruption: str
    severity: float
    class_name: str
    accuracy: float
    gap: Estimate


@read_once
def collapse_by_corruption(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> list[Collapse]:
    """The most collapsed cell of each corruption, and the clean cell; among ties the most severe."""
    cells = read_for_selection(con, "predictions_by_severity", selection.only(evaluation))
    cells = cells.drop_nulls("top_prediction").with_columns(
        corruption=pl.when(pl.col("severity") > 0).then("corruption").otherwise(pl.lit(CLEAN))
    )
    cells = cells.unique(("corruption", "severity"), keep="first", maintain_order=True)
    worst = cells.sort("top_prediction_share", "severity", descending=True, maintain_order=True)
    collapses = []
    independent = share_of_independent(con, evaluation.evaluation_id)
    for row in worst.unique("corruption", keep="first", maintain_order=True).rows(named=True):
        share = row["top_prediction_share"]
        count = row["predicted_count"]
        interval = partial(wilson_interval, share, count * independent, comparisons=len(cells))
        low, high = interval()
        collapse = Collapse(
            corruption=row["corruption"],
            severity=row["severity"],
            class_name=row["top_prediction_name"],
            predicted_count=round(share * count),
            share=Estimate(share, float(low), float(high), n=row["image_count"]),
            label_share=row["top_prediction_label_share"],
        )
        share_tested = collapse.share._replace(p_value=p_of_above(interval, collapse.limit))
        collapses.append(collapse._replace(share=share_tested))
    return collapses


def p_of_above(interval: Callable[..., tuple[Any, Any]], limit: float) -> float:
    """One-sided p value of a value not above `limit`, by inversion of the lower end of its interval."""
    return p_by_inversion(lambda level: bool(interval(level=level)[0] > limit)) / 2


@read_once
def class_gaps(con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo) -> list[ClassGap]:
    """The class farthest below the others under each corruption, the largest gap first; empty for a single class."""
    rows = read_for_selection(con, "accuracy_by_class", selection.only(evaluation)).filter(
        pl.col("severity") > 0, pl.col("image_count") > 0
    )
    counts = pl.col("image_count", "correct_count")
    others = counts.sum().over("corruption", "severity") - counts
    rows = rows.with_columns(others.name.prefix("other_")).filter(pl.col("other_image_count") > 0)
    rows = rows.with_columns(gap=pl.col("other_correct_count") / pl.col("other_image_count") - pl.col("accuracy"))
    widest = rows.sort("gap", descending=True, maintain_order=True)
    gaps = []
    independent = share_of_independent(con, evaluation.evaluation_id)
    for row in widest.unique("corruption", keep="first", maintain_order=True).rows(named=True):
        sizes = (row["other_image_count"], row["image_count"])
        shares = (row["gap"] + row["accuracy"], row["accuracy"])
        effective = sizes[0] * independent, sizes[1] * independent
        interval = partial(difference_of_groups, shares, effective, comparisons=len(rows))
        low, high = interval()
        name = row["class_name"] or str(row["class_index"])
        p_value = p_of_above(interval, CLASS_GAP)
        gap = Estimate(row["gap"], float(low), float(high), n=row["image_count"], p_value=p_value)
        gaps.append(ClassGap(row["corruption"], row["severity"], name, row["accuracy"], gap))
    return gaps
