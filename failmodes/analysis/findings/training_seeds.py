"""Models of several training runs against each other: which is right more often, over training seeds and images."""

from dataclasses import replace

import duckdb

from failmodes.analysis.findings.finding import Finding, judged
from failmodes.analysis.formatting import format_count, format_points_interval
from failmodes.analysis.selection import EvaluationInfo, Selection
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.model_pairs import PairDifference, compare_models_of
from failmodes.analysis.trained_models import TrainedModel
from failmodes.sql import sql_literal


def seed_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """For each pair of models of several training seeds, which of the two is right more often under corruption."""
    return [_finding(pair) for pair in compare_models_of(con, selection) if pair.is_about_training]


def leading(pair: PairDifference) -> tuple[TrainedModel, TrainedModel, Estimate]:
    """The better model where that is decided, else the first; the other; and by how much it is better."""
    value, low, high = pair.difference
    if pair.winner == pair.b:
        return pair.b, pair.a, Estimate(-value, -high, -low)
    return pair.a, pair.b, pair.difference


def over_seeds(one: TrainedModel, other: TrainedModel) -> str:
    """How many training seeds a comparison is over: 3 and 5 training seeds."""
    return f"{len(one.runs)} and {format_count(len(other.runs), 'training seed')}"


def _finding(pair: PairDifference) -> Finding:
    better, worse, difference = leading(pair)
    size = format_points_interval(difference)
    said = f"{better.label} is right more often than {worse.label} under corruption: by {size} on average"
    if pair.winner is None:
        said = f"Whether {better.label} or {worse.label} is right more often under corruption is inconclusive: {size}"
    ids = ", ".join(sql_literal(model.runs[0].evaluation_id) for model in (better, worse))
    return judged(
        "better_over_seeds",
        "inconclusive" if pair.winner is None else "supported",
        as_evaluation(better),
        f"{said}, over {over_seeds(better, worse)} and {format_count(pair.image_count, 'image')}.",
        f"from accuracy_by_model where evaluation_id in ({ids})",
        n=pair.image_count,
        unit="accuracy",
        estimate=difference,
        other=as_evaluation(worse),
    )


def as_evaluation(model: TrainedModel) -> EvaluationInfo:
    """The run of the lowest seed under the model's name, as the view `accuracy_by_model` has it."""
    return replace(model.runs[0], label=model.label)
