"""Networks of several training runs against each other: which is right more often, over training seeds and images."""

from dataclasses import replace

import duckdb

from failmodes.analysis.findings.finding import Finding, judged
from failmodes.analysis.formatting import format_count, format_points_interval
from failmodes.analysis.networks import TrainedNetwork
from failmodes.analysis.selection import EvaluationInfo, Selection
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.network_difference import NetworkDifference, compare_trained_networks
from failmodes.sql import sql_literal


def seed_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """For each pair of networks of several training seeds, which of the two is right more often under corruption."""
    return [_finding(pair) for pair in compare_trained_networks(con, selection)]


def leading(pair: NetworkDifference) -> tuple[TrainedNetwork, TrainedNetwork, Estimate]:
    """The better network where that is decided, else the first; the other; and by how much it is better."""
    value, low, high = pair.difference
    if pair.winner == pair.b:
        return pair.b, pair.a, Estimate(-value, -high, -low)
    return pair.a, pair.b, pair.difference


def over_seeds(one: TrainedNetwork, other: TrainedNetwork) -> str:
    """How many training seeds a comparison is over: 3 and 5 training seeds."""
    return f"{len(one.runs)} and {format_count(len(other.runs), 'training seed')}"


def _finding(pair: NetworkDifference) -> Finding:
    better, worse, difference = leading(pair)
    size = format_points_interval(difference)
    said = f"{better.label} is right more often than {worse.label} under corruption: by {size} on average"
    if pair.winner is None:
        said = f"Whether {better.label} or {worse.label} is right more often under corruption is undecided: {size}"
    ids = ", ".join(sql_literal(network.runs[0].evaluation_id) for network in (better, worse))
    return judged(
        "better_over_seeds",
        "undecided" if pair.winner is None else "supported",
        _as_evaluation(better),
        f"{said}, over {over_seeds(better, worse)} and {format_count(pair.image_count, 'image')}.",
        f"from accuracy_by_network where evaluation_id in ({ids})",
        n=pair.image_count,
        unit="accuracy",
        estimate=difference,
        other=_as_evaluation(worse),
    )


def _as_evaluation(network: TrainedNetwork) -> EvaluationInfo:
    """The run of the lowest seed under the network's name, as the view `accuracy_by_network` has it."""
    return replace(network.runs[0], label=network.label)
