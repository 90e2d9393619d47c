"""Mode collapse: cells where a network gives one answer to most images, far more than the class has labels."""

from statistics import NormalDist
from typing import NamedTuple

import duckdb
import numpy as np
import polars as pl

from failmodes.analysis.once import read_once
from failmodes.analysis.selection import EvaluationInfo, Selection, read_for_selection
from failmodes.warehouse.schema import CLEAN


class Collapse(NamedTuple):
    """The cell of an evaluation that is nearest to one answer for all images, and how many others are collapsed.

    Attributes:
        corruption: its name, or 'none' for the clean images.
        severity: of the cell.
        class_name: the commonest answer.
        answer_count: images that are taken for it.
        answered_count: images that are taken for a class of the data set.
        image_count: all images.
        share, low, high: share of `answered_count`, with its Wilson interval, of 95 % for all cells together.
        label_share: the class's share of the labels, 0-1.
        mean_confidence: over all images, 0-1; None where no logits are finite.
        accuracy: 0-1.
        collapsed: severities of all collapsed cells by corruption.
        cell_count: cells that were looked at.
    """

    corruption: str
    severity: float
    class_name: str
    answer_count: int
    answered_count: int
    image_count: int
    share: float
    low: float
    high: float
    label_share: float
    mean_confidence: float | None
    accuracy: float
    collapsed: dict[str, list[float]]
    cell_count: int


@read_once
def find_collapse(con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo) -> Collapse | None:
    """The most collapsed cell of one evaluation; None where no cell is collapsed beyond chance.

    Collapsed is a cell whose commonest answer has a share of the answers that is nearer to all of them than to the
    class's share of the labels, with the lower end of its interval; Bonferroni's correction is over the cells.
    """
    cells = read_for_selection(con, "answers_by_severity", selection.only(evaluation))
    cells = cells.drop_nulls("commonest_answer").with_columns(
        corruption=pl.when(pl.col("severity") > 0).then("corruption").otherwise(pl.lit(CLEAN))
    )
    cells = cells.unique(("corruption", "severity"), keep="first", maintain_order=True)
    if not len(cells):
        return None
    shares, counts = cells["commonest_answer_share"].to_numpy(), cells["answered_count"].to_numpy()
    low, high = wilson_interval(shares, counts, comparisons=len(cells))
    found = cells.with_columns(low=pl.Series(low), high=pl.Series(high)).filter(
        pl.col("low") > (1 + pl.col("commonest_answer_label_share")) / 2
    )
    if not len(found):
        return None
    worst = found.sort("commonest_answer_share", "severity", descending=True, maintain_order=True).row(0, named=True)
    collapsed = found.group_by("corruption", maintain_order=True).agg(pl.col("severity").sort())
    return Collapse(
        corruption=worst["corruption"],
        severity=worst["severity"],
        class_name=worst["commonest_answer_name"],
        answer_count=round(worst["commonest_answer_share"] * worst["answered_count"]),
        answered_count=worst["answered_count"],
        image_count=worst["image_count"],
        share=worst["commonest_answer_share"],
        low=worst["low"],
        high=worst["high"],
        label_share=worst["commonest_answer_label_share"],
        mean_confidence=worst["mean_confidence"],
        accuracy=worst["accuracy"],
        collapsed=dict(collapsed.rows()),
        cell_count=len(cells),
    )


def wilson_interval(
    shares: np.ndarray, counts: np.ndarray, *, comparisons: int = 1, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval (Wilson 1927) of shares (K,) of counts (K,), which holds for all `comparisons` together.

    Args:
        shares: (K,) 0-1.
        counts: (K,) above 0.
        comparisons: Bonferroni's correction: how many intervals hold at once.
        level: with this chance.

    Returns:
        Lower and upper ends, (K,) each.
    """
    z2 = NormalDist().inv_cdf(1 - (1 - level) / 2 / comparisons) ** 2 / counts
    centre = (shares + z2 / 2) / (1 + z2)
    half = np.sqrt(z2 * (shares * (1 - shares) + z2 / 4)) / (1 + z2)
    return centre - half, centre + half
