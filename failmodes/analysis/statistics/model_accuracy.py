"""Accuracies of models: means over corruptions, of one training run or several, and accuracy drops by corruption."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import NamedTuple

import duckdb
import numpy as np
import polars as pl

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection, averaged_severities
from failmodes.analysis.evaluations.trained_models import TrainedModel, trained_models
from failmodes.analysis.statistics.curve_shape import stored_settings
from failmodes.analysis.statistics.difference import Measured, ModelMetrics, Term, mean_of
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.analysis.statistics.filters import filtered
from failmodes.analysis.statistics.run_rows import CLEAN_CELL, CellKey, ModelRows, read_run
from failmodes.analysis.statistics.shares import LARGEST_DROP_ERROR, holm
from failmodes.analysis.statistics.sufficiency import non_finite_cells
from failmodes.warehouse.database.connection import read_once
from failmodes.warehouse.schema import CLEAN

MAX_SHOWN = 10  # training runs that a report shows individually


class MeanAccuracy(NamedTuple):
    """Accuracy of a model, 0-1, with its interval over images, and over training runs if there are several.

    Attributes:
        clean: on clean images; None without a reference level.
        corrupted: the mean over `Selection.averaged` of the mean over whole severities; None if one is missing.
        by_corruption: the mean over whole severities of each corruption that has all shared severities, extras
            included.
    """

    clean: Estimate | None
    corrupted: Estimate | None
    by_corruption: dict[str, Estimate]

    @property
    def overall(self) -> Estimate | None:
        """The mean over corruptions; where only clean images were evaluated, the accuracy on these."""
        return self.corrupted if self.by_corruption else self.clean

    @property
    def worst(self) -> str:
        """The corruption of the lowest mean accuracy."""
        return min(self.by_corruption, key=lambda corruption: self.by_corruption[corruption].value)


class CorruptionDrop(NamedTuple):
    """The accuracy drop under a corruption at its last severity, 0-1."""

    corruption: str
    last_severity: float
    at_last: Estimate


class DropRanking(NamedTuple):
    """Corruptions by drop at the last severity, the largest first.

    A lead is the drop under the first corruption minus that under another one, for each of the others in their order.
    That all leads are above 0 needs no correction for their number (Berger 1982): the p value is the largest of those
    of the leads and of the first drop.

    Attributes:
        drops: by drop at the last severity.
        leads: of the first of them.
        extras: drops that are not ranked.
        withheld: corruptions with too many predictions that are not finite; their drop may be larger.
        p_value: of no corruption having the largest drop at the last severity, adjusted if several models are ranked
            (Holm).
    """

    drops: tuple[CorruptionDrop, ...]
    leads: tuple[Estimate, ...]
    extras: tuple[CorruptionDrop, ...]
    withheld: tuple[str, ...] = ()
    p_value: float = 1.0

    @property
    def is_clear(self) -> bool:
        """Whether one corruption is shown to have the largest drop, at the error rate of a report."""
        return not self.withheld and self.p_value <= LARGEST_DROP_ERROR


@read_once
def rows_of(
    con: duckdb.DuckDBPyConnection,
    model: TrainedModel,
    condition: str = "",
    image_ids: tuple[int, ...] | None = None,
) -> ModelRows:
    """The rows of a model's training runs.

    Args:
        con: the warehouse.
        model: its training runs.
        condition: on the images that a filter keeps; see `filtered_run`.
        image_ids: of these, on these images alone.

    Raises:
        WarehouseError: a cell is incomplete, or the clean cell is missing.
    """
    facts = model.runs[0].facts
    runs = tuple(read_run(con, run.evaluation_id) for run in model.runs)
    rows = filtered(ModelRows(runs, facts["dataset_id"], facts["source_id"]), condition)
    return (
        rows
        if image_ids is None
        else rows._replace(runs=tuple(run.of_images(np.array(image_ids)) for run in rows.runs))
    )


def severities_of(cells: Iterable[CellKey]) -> dict[str, list[float]]:
    """Severities above clean of each corruption, in order."""
    severities: dict[str, list[float]] = {}
    for corruption, severity in cells:
        if corruption != CLEAN:
            severities.setdefault(corruption, []).append(severity)
    return severities


def mean_corrupted(cells: Iterable[CellKey], corruptions: Iterable[str]) -> list[Term]:
    """Terms of the mean over corruptions of the mean over their whole severities; without those that have no cells."""
    severities = severities_of(cells)
    groups = [[(c, s) for s in averaged_severities(severities[c])] for c in corruptions if c in severities]
    return [term for group in groups for term in mean_of(group, 1 / len(groups))]


def accuracy_over(metrics: ModelMetrics, terms: Sequence[Term]) -> Measured:
    """A weighted sum of accuracies, which is always defined."""
    measured = metrics.measure("accuracy", terms)
    assert isinstance(measured, Measured)
    return measured


@read_once
def accuracy_of(con: duckdb.DuckDBPyConnection, selection: Selection, model: TrainedModel) -> MeanAccuracy:
    """The mean accuracies of a model, with intervals of the stored shapes' level."""
    level = stored_settings(con).interval_level
    metrics = ModelMetrics(rows_of(con, model, selection.filter, selection.image_ids))
    cells = selection.averaged_cells(metrics.cells)
    known = [corruption for corruption in severities_of(cells) if corruption in selection.corruptions]

    def mean(corruptions: Sequence[str]) -> Estimate:
        return accuracy_over(metrics, mean_corrupted(cells, corruptions)).interval(level)

    has_mean = bool(selection.averaged) and set(selection.averaged) <= set(known)
    return MeanAccuracy(
        accuracy_over(metrics, [Term(CLEAN_CELL, 1)]).interval(level) if CLEAN_CELL in metrics.cells else None,
        mean(selection.averaged) if has_mean else None,
        {corruption: mean([corruption]) for corruption in known},
    )


def model_accuracies(con: duckdb.DuckDBPyConnection, selection: Selection) -> dict[TrainedModel, MeanAccuracy]:
    """The mean accuracies of each model of a selection."""
    return {model: accuracy_of(con, selection, model) for model in trained_models(selection.evaluations)}


def run_accuracies(con: duckdb.DuckDBPyConnection, selection: Selection) -> dict[EvaluationInfo, MeanAccuracy]:
    """The mean accuracies of each training run of a selection."""
    return {run: accuracy_of(con, selection, TrainedModel(run.label, (run,))) for run in selection.evaluations}


def normalized_errors(
    con: duckdb.DuckDBPyConnection, selection: Selection
) -> dict[str, tuple[float | None, str | None]]:
    """Mean corruption error as a ratio to AlexNet's as published, or None and why, by evaluation ID.

    Without evaluations of the images of ImageNet-C it is empty.
    """
    rows = con.execute(
        "select evaluation_id, mce, reason from mce_by_baseline where baseline_id is null and evaluation_id = any(?)",
        [selection.ids],
    ).fetchall()
    return {key: (mce, reason) for key, mce, reason in rows}


def best_and_worst(con: duckdb.DuckDBPyConnection, selection: Selection, most: int | None = None) -> Selection:
    """The part of a selection that a report shows model by model: the best and the worst of many training runs.

    Models are ranked by mean corrupted accuracy, those without one last. Each end has as many as have `most` / 2
    training runs (by default MAX_SHOWN), at least one model.
    """
    most = most or MAX_SHOWN
    if len(selection.evaluations) <= most:
        return selection
    accuracies = model_accuracies(con, selection)
    means = {model: accuracy.overall.value for model, accuracy in accuracies.items() if accuracy.overall}
    ranked = sorted(accuracies, key=lambda model: -means.get(model, -1.0))
    with_mean = [model for model in reversed(ranked) if model in means] or ranked[::-1]
    shown = {run for end in (ranked, with_mean) for model in _first_of(end, most) for run in model.runs}
    runs = tuple(run for run in selection.evaluations if run in shown)
    return replace(selection, evaluations=runs, picked_from=selection.picked_from or selection.evaluations)


def _first_of(models: Sequence[TrainedModel], most: int) -> list[TrainedModel]:
    """The first models with up to half of `most` runs; at least one."""
    totals = accumulate(len(model.runs) for model in models)
    return [
        model for place, (model, total) in enumerate(zip(models, totals, strict=True)) if not place or total <= most / 2
    ]


def shown_phrase(shown: Selection) -> str:
    """Which models `best_and_worst` picked, in words; "" if it picked none."""
    if not shown.picked_from:
        return ""
    some, all_models = (len(trained_models(runs)) for runs in (shown.evaluations, shown.picked_from))
    return f"Showing {some} of {all_models} models: those with the highest and the lowest mean corrupted accuracy."


def left_out_sentence(shown: Selection) -> str:
    """What a report shows only for the models `shown`, after a space; "" if it shows everything for all."""
    if not shown.picked_from:
        return ""
    some, all_models = (len(trained_models(runs)) for runs in (shown.evaluations, shown.picked_from))
    return (
        f" Panels, tables and images of single models, and comparisons of two, are of {some} of the {all_models} "
        "models: those with the highest and the lowest mean corrupted accuracy."
    )


def lowest_first(accuracies: Iterable[MeanAccuracy]) -> list[str]:
    """Corruptions by mean accuracy over the models evaluated on them, the lowest first."""
    values: dict[str, list[float]] = {}
    for accuracy in accuracies:
        for corruption, estimate in accuracy.by_corruption.items():
            values.setdefault(corruption, []).append(estimate.value)
    return sorted(values, key=lambda corruption: sum(values[corruption]) / len(values[corruption]))


@read_once
def seed_curves(con: duckdb.DuckDBPyConnection, selection: Selection, model: TrainedModel) -> pl.DataFrame:
    """Accuracy of a model with several runs in each cell, with its 95% interval over training seeds and images.

    Returns:
        A row per corruption and severity, from clean on: `corruption`, `severity`, `accuracy`, `accuracy_low` and
        `accuracy_high`, 0-1.
    """
    metrics = ModelMetrics(rows_of(con, model, selection.filter))
    rows = [
        (corruption, severity, *accuracy_over(metrics, [Term(cell, 1)]).interval()[:3])
        for corruption, severities in severities_of(metrics.cells).items()
        if corruption in selection.corruptions
        for severity, cell in [
            *([(0.0, CLEAN_CELL)] if CLEAN_CELL in metrics.cells else []),
            *((severity, (corruption, severity)) for severity in severities),
        ]
    ]
    names = ("corruption", "severity", "accuracy", "accuracy_low", "accuracy_high")
    return pl.DataFrame(rows, dict.fromkeys(names, pl.Float64) | {"corruption": pl.String}, orient="row")


@read_once
def drop_rankings(con: duckdb.DuckDBPyConnection, selection: Selection) -> dict[EvaluationInfo, DropRanking]:
    """Drops of each evaluation under each corruption of the selection, with intervals of the stored shapes' level."""
    if selection.picked_from:  # p values are corrected for all of these, since the data picked them
        of_all = drop_rankings(con, replace(selection, evaluations=selection.picked_from, picked_from=()))
        return {evaluation: of_all[evaluation] for evaluation in selection.evaluations}
    rankings = {evaluation: _ranking(con, selection.only(evaluation)) for evaluation in selection.evaluations}
    adjusted = holm([ranking.p_value for ranking in rankings.values()])
    return {
        evaluation: rankings[evaluation]._replace(p_value=p_value)
        for evaluation, p_value in zip(rankings, adjusted, strict=True)
    }


@read_once
def _ranking(con: duckdb.DuckDBPyConnection, selection: Selection) -> DropRanking:
    """The same of the only evaluation of a selection, whose p value is not corrected."""
    (evaluation,) = selection.evaluations
    without = {corruption for corruption, _ in non_finite_cells(con, evaluation.evaluation_id)}
    rows = rows_of(con, TrainedModel(evaluation.label, (evaluation,)), selection.filter)
    if CLEAN_CELL not in rows.cells:  # nothing to drop from
        return DropRanking((), (), ())
    measured = [c for c in selection.corruptions if not without & {CLEAN, c}]
    ranked = [c for c in selection.averaged if c in measured]  # extras are not ranked
    cells = selection.averaged_cells(rows.cells)
    level = stored_settings(con).interval_level
    withheld = tuple(c for c in selection.averaged if c not in measured)
    return rank_drops(rows, measured, ranked, level, cells)._replace(withheld=withheld)


def rank_drops(
    model: ModelRows,
    corruptions: Sequence[str],
    ranked: Sequence[str],
    level: float,
    cells: Iterable[CellKey] | None = None,
) -> DropRanking:
    """Rank corruptions by the drop of a model's accuracy.

    Args:
        model: its rows.
        corruptions: to measure.
        ranked: those of them to rank; the others are extras.
        level: of the intervals.
        cells: whose last severities are ranked; None for all.
    """
    metrics = ModelMetrics(model)
    grids = severities_of(model.cells if cells is None else cells)
    last = {c: [(c, grid[-1])] for c, grid in grids.items() if c in corruptions}

    def drop(corruption: str, other: str = CLEAN) -> Measured:
        """The accuracy under the other corruption minus that under the first."""
        others = [CLEAN_CELL] if other == CLEAN else last[other]
        return accuracy_over(metrics, [*mean_of(others), *mean_of(last[corruption], -1)])

    drops = {c: CorruptionDrop(c, cells[0][1], drop(c).interval(level)) for c, cells in last.items()}
    by_size = sorted(drops.values(), key=lambda known: -known.at_last.value)
    order = [known.corruption for known in by_size if known.corruption in ranked]
    leads = [drop(order[0], other) for other in order[1:]]
    intervals = tuple(lead.interval(level) for lead in leads)
    tested = [drop(corruption) for corruption in order[:1]]
    if leads:  # the lead closest to 0 has the largest p value
        tested.append(leads[min(range(len(leads)), key=lambda place: intervals[place].low)])
    return DropRanking(
        tuple(drops[c] for c in order),
        intervals,
        tuple(known for known in by_size if known.corruption not in order),
        p_value=max((measured.p_value if measured.value > 0 else 1.0 for measured in tested), default=1.0),
    )
