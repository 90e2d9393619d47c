"""Pairs of models: which is more accurate on average over corruptions, and in each cell (McNemar's test)."""

from collections.abc import Hashable, Iterable, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import duckdb
import numpy as np
import polars as pl

from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.evaluations.shared_cells import CellKey
from failmodes.analysis.evaluations.trained_models import TrainedModel, pairs_of_models, trained_models
from failmodes.analysis.statistics.difference import Measured, ModelMetrics, Term
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.analysis.statistics.model_accuracy import accuracy_over, mean_corrupted, rows_of
from failmodes.analysis.statistics.run_rows import CLEAN_CELL, ModelRows, share_of_independent
from failmodes.analysis.statistics.shares import ALPHA, BETTER_MODEL_ERROR, exact_mcnemar, holm
from failmodes.warehouse.database.connection import read_once
from failmodes.warehouse.schema import CLEAN

LEVEL = 1 - BETTER_MODEL_ERROR  # of a verdict on two models, and of its interval


class PairDifference(NamedTuple):
    """Mean corrupted accuracy of one model minus that of another; of clean images if there are no others.

    Over training seeds and images if both have several runs, otherwise over images, for these checkpoints.

    Attributes:
        a: the first.
        b: the second.
        difference: -1 to 1, the mean over the corruptions that both have of the mean over their whole severities, with
            its interval of LEVEL and its p value of 0, uncorrected.
        adjusted_p: of a difference of 0, with Holm's correction over all pairs.
        images_needed: images that would detect the difference with a power of 80% if it is as measured; None if no
            number would.
    """

    a: TrainedModel
    b: TrainedModel
    difference: Estimate
    adjusted_p: float
    images_needed: int | None = None

    @property
    def is_about_training(self) -> bool:
        """Whether it covers training seeds too, and so is about the models: both have several runs."""
        return self.a.has_several_seeds and self.b.has_several_seeds

    @property
    def winner(self) -> TrainedModel | None:
        """The more accurate model at a report's error rate; None if that is not shown."""
        if self.adjusted_p > BETTER_MODEL_ERROR or not self.difference.value:
            return None
        return self.a if self.difference.value > 0 else self.b


class WinCount(NamedTuple):
    """A model with the number of others that it is more accurate than, less accurate than, and compared with."""

    model: TrainedModel
    won: int
    lost: int
    others: int


@read_once
def compare_models_of(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[PairDifference]:
    """The difference of every two models with a common corruption; pairs with training seeds first."""
    sums: dict[Hashable, Any] = {}
    models = trained_models(selection.evaluations)
    pairs = sorted(combinations(models, 2), key=lambda pair: not all(model.has_several_seeds for model in pair))
    compared = [
        (a, b, difference)
        for a, b in pairs
        if (difference := _shared_difference(rows_of(con, a), rows_of(con, b), selection, sums))
    ]
    p_values = [difference.p_value for *_, difference in compared]
    return [
        PairDifference(
            a, b, difference.interval(LEVEL)._replace(p_value=p_value), adjusted,
            difference.images_needed(0, LEVEL),
        )
        for (a, b, difference), p_value, adjusted in zip(compared, p_values, holm(p_values), strict=True)
    ]  # fmt: skip


def _shared_difference(a: ModelRows, b: ModelRows, selection: Selection, sums: dict[Hashable, Any]) -> Measured | None:
    """The same over the shared cells of a selection, or on clean images if it has no others."""
    if not selection.corruptions:
        return accuracy_over(
            ModelMetrics(a, b, sums=sums), [Term(CLEAN_CELL, 1), Term(CLEAN_CELL, -1, of_baseline=True)]
        )
    both = selection.averaged_cells({*a.cells} & {*b.cells})
    return corrupted_difference(a, b, selection.averaged, sums, both)


def corrupted_difference(
    a: ModelRows,
    b: ModelRows,
    corruptions: Sequence[str],
    sums: dict[Hashable, Any] | None = None,
    cells: Iterable[CellKey] | None = None,
) -> Measured | None:
    """Mean corrupted accuracy of `a` minus that of `b`; None without a corruption that all runs of both have.

    Args:
        a: rows of one model.
        b: those of another.
        corruptions: that the average is over, each with its whole severities.
        sums: shared by comparisons of many models (see `ModelMetrics`).
        cells: that the average is over; None for all that both have.
    """
    metrics = ModelMetrics(a, b, sums=sums)
    terms = mean_corrupted(metrics.cells if cells is None else cells, corruptions)
    others = [term._replace(weight=-term.weight, of_baseline=True) for term in terms]
    return accuracy_over(metrics, [*terms, *others]) if terms else None


def rank_by_wins(differences: Sequence[PairDifference]) -> list[WinCount]:
    """Rank models by how many others they are more accurate than, then by how few are more accurate than them."""
    counts = []
    for model in dict.fromkeys(model for pair in differences for model in (pair.a, pair.b)):
        pairs = [pair for pair in differences if model in (pair.a, pair.b)]
        won = sum(pair.winner == model for pair in pairs)
        decided = sum(pair.winner is not None for pair in pairs)
        counts.append(WinCount(model, won, decided - won, len(pairs)))
    return sorted(counts, key=lambda count: (-count.won, count.lost))


@read_once
def compare_pairs(con: duckdb.DuckDBPyConnection, selection: Selection) -> pl.DataFrame:
    """Exact McNemar tests of every pair of evaluations of different models in every shared cell that both have.

    The clean cell counts once. Holm's correction is over the cells of all pairs: they are one family. Where corrupted
    images do not pair with clean ones, the two models still see the same images in a cell.

    Returns:
        A row per pair and cell: `a` and `b` (evaluation_id), `corruption`, `severity`, `only_a` and `only_b` (images
        that only one of them predicts correctly), `adjusted_p`, and `winner` (evaluation_id; null if inconclusive).
    """
    rows: pl.DataFrame = con.sql(
        "select evaluation_id_a as a, evaluation_id_b as b, corruption, severity::double as severity, "
        "only_a_correct_count as only_a, only_b_correct_count as only_b from pair_cells "
        "where a = any($1) and b = any($1) and (corruption = any($2) or corruption = $3) order by all",
        params=[selection.ids, list(selection.corruptions), CLEAN],
    ).pl()
    swapped = rows.select("corruption", "severity", a="b", b="a", only_a="only_b", only_b="only_a")
    ids = [(a.evaluation_id, b.evaluation_id) for a, b in pairs_of_models(selection.evaluations)]
    pairs = pl.DataFrame(ids, {"a": pl.String, "b": pl.String}, orient="row")
    either_order = pl.concat([rows, swapped], how="diagonal")  # stored once, in the order of the IDs
    shared = either_order.filter(pl.col("severity").is_in([0.0, *selection.severities]))
    cells = pairs.join(shared, on=["a", "b"], maintain_order="left_right")
    independent = np.array([share_of_independent(con, evaluation_id) for evaluation_id in cells["a"]], dtype=np.float64)
    p_values = exact_mcnemar(*(cells[name].to_numpy() * independent for name in ("only_a", "only_b")))
    adjusted = pl.Series(holm(p_values.tolist()), dtype=pl.Float64)
    ahead = pl.when(pl.col("only_a") > pl.col("only_b")).then("a").otherwise("b")
    return cells.with_columns(adjusted_p=adjusted, winner=pl.when(adjusted < ALPHA).then(ahead))
