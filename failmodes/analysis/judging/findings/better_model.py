"""Which of two models is more accurate under corruption, or on clean images if there are no others."""

from collections.abc import Iterator
from dataclasses import replace

import duckdb

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection, words_of_runs
from failmodes.analysis.evaluations.trained_models import TrainedModel
from failmodes.analysis.judging.findings.kind import Judged, images_that_decide, kind
from failmodes.analysis.judging.wording import accuracy_comparison
from failmodes.analysis.render.formatting import format_count, format_points, format_points_interval
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.analysis.statistics.model_pairs import PairDifference, compare_models_of
from failmodes.sql import sql_literal


@kind(
    "better_model",
    order=140,
    section="accuracy",
    topic="Comparison",
    claims="one model is more accurate than the other under corruption",
    unit="accuracy",
    relation="accuracy_by_model",
    is_of_pairs=True,
    inconclusive=("Which of two models is more accurate under corruption", "pair"),
    decides="more images or training seeds would help",
)
def better_model(con: duckdb.DuckDBPyConnection, selection: Selection) -> Iterator[Judged]:
    """Each pair of models, as the lead of the more accurate one, the largest lead first."""
    for pair in sorted(compare_models_of(con, selection), key=lambda pair: -abs(pair.difference.value)):
        better, worse, difference = leading(pair)
        average = "averaged over corruptions" if selection.corruptions else selection.condition
        said = accuracy_comparison(better.label, worse.label, difference, average)
        if pair.winner is None:
            said = f"The data do not show which of {better.label} and {worse.label} is more accurate "
            said += f"{selection.condition}: {lead_text(pair)}{needed(pair)}"
        ids = ", ".join(sql_literal(model.runs[0].evaluation_id) for model in (better, worse))
        yield Judged(
            "inconclusive" if pair.winner is None else "supported",
            f"{said}{of_runs(better, worse)}",
            difference,
            query=f"from accuracy_by_model where evaluation_id in ({ids})",
            pair=(_as_evaluation(better), _as_evaluation(worse)),
        )


def needed(pair: PairDifference) -> str:
    """How many images would decide; '' if more training seeds could, or if no number would."""
    return "" if pair.is_about_training else images_that_decide(pair.images_needed)


def leading(pair: PairDifference) -> tuple[TrainedModel, TrainedModel, Estimate]:
    """The model with the higher accuracy, whether or not that is shown; the other; and its lead."""
    if pair.difference.value < 0:
        return pair.b, pair.a, -pair.difference
    return pair.a, pair.b, pair.difference


def lead_text(pair: PairDifference) -> str:
    """By how much one model leads that is not shown to be better; its interval if that says so too."""
    better, _, difference = leading(pair)
    if difference.above_zero:
        return f"{better.label} leads by {format_points(difference.value)}, too little at the error rate of a report"
    return f"{better.label} leads by {format_points_interval(difference)}"


def of_runs(model: TrainedModel, other: TrainedModel) -> str:
    """The scope of a comparison if a model has several runs: training seeds of both, or these checkpoints only."""
    if model.has_several_seeds and other.has_several_seeds:
        return f", over {over_seeds(model, other)}"
    if model.has_several_seeds or other.has_several_seeds:
        return f", of these {len(model.runs)} and {len(other.runs)} checkpoints only"
    return ""


def over_seeds(model: TrainedModel, other: TrainedModel) -> str:
    """How many training seeds a comparison is over: 3 and 5 training seeds."""
    return f"{len(model.runs)} and {format_count(len(other.runs), words_of_runs([*model.runs, *other.runs]).seed)}"


def _as_evaluation(model: TrainedModel) -> EvaluationInfo:
    """The run of the lowest seed under the model's name, as the view `accuracy_by_model` has it."""
    return replace(model.runs[0], label=model.label)
