"""Which corruption costs most: sentences that findings and charts share."""

from collections.abc import Iterable, Mapping, Sequence

import duckdb

from failmodes.analysis.findings.finding import Evidence, Finding
from failmodes.analysis.formatting import (
    MAX_LISTED,
    capitalize_first,
    format_percent,
    format_points,
    format_points_interval,
    format_severity,
    join_names,
    lower_label,
    tally_names,
)
from failmodes.analysis.selection import EvaluationInfo, Selection, corruption_labels
from failmodes.analysis.statistics.corruption_cost import CorruptionCost, CostRanking, cost_rankings


def cost_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """For each network, the costliest corruption and whether it can be told from the second."""
    names = corruption_labels(con)
    return [_cost_finding(evaluation, ranking, names) for evaluation, ranking in cost_rankings(con, selection).items()]


def _cost_finding(evaluation: EvaluationInfo, ranking: CostRanking, names: Mapping[str, str]) -> Finding:
    first, on_average, lead = ranking.costs[0], ranking.by_average[0], ranking.lead
    detail = "No other corruption was measured."
    if lead:
        detail = (
            f"Then {_points(ranking.costs[1:], names)}. The lead over the second is {format_points_interval(lead)} "
            f"(paired bootstrap over images); it is first in {format_percent(ranking.first_share, 0)} of resamples."
        )
    if on_average != first:
        cost = format_points_interval(on_average.on_average)
        detail += f" On average over severities it is {lower_label(names[on_average.corruption])}: {cost}."
    if ranking.extras:
        detail += f" Apart, as no part of the headline metrics: {_points(ranking.extras, names)}."
    headline = costliest_of_one(evaluation.label, ranking, names) + "."
    figures: Evidence = {
        "evaluation_id": evaluation.evaluation_id, "corruption": first.corruption, "drop": first.at_last.value,
        "drop_low": first.at_last.low, "drop_high": first.at_last.high, "first_share": ranking.first_share,
        "lead": lead.value if lead else None, "lead_low": lead.low if lead else None,
        "costliest_on_average": on_average.corruption,
    }  # fmt: skip
    decided = ranking.is_clear and first.at_last.above_zero
    return Finding("Cost", headline, detail, "found" if decided else "undecided", figures)


def _points(costs: Iterable[CorruptionCost], names: Mapping[str, str]) -> str:
    return join_names(f"{lower_label(names[c.corruption])} {format_points(c.at_last.value)}" for c in costs)


def costliest_of_one(label: str, ranking: CostRanking, names: Mapping[str, str]) -> str:
    """Which corruption costs one network most, or which two cannot be told apart."""
    first = ranking.costs[0]
    at_severity = f"at severity {format_severity(first.last_severity)}"
    if not first.at_last.above_zero:
        return f"No corruption costs {label} accuracy {at_severity} beyond sampling noise"
    if ranking.is_clear:
        return f"{names[first.corruption]} costs {label} most: {format_points_interval(first.at_last)} {at_severity}"
    second = ranking.costs[1]
    return (
        f"{names[first.corruption]} and {lower_label(names[second.corruption])} cost {label} most, and cannot be told "
        f"apart: {format_points(first.at_last.value)} and {format_points(second.at_last.value)} {at_severity}"
    )


def costliest_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Which corruption costs most, for each network where there are at most two, else in how many of them.

    Only networks that lose accuracy beyond sampling noise count.
    """
    rankings, names = cost_rankings(con, selection), corruption_labels(con)
    firsts = [r.costs[0].corruption for r in rankings.values() if r.costs[0].at_last.above_zero]
    all_lose = 1 < len(rankings) == len(firsts) and all(ranking.is_clear for ranking in rankings.values())
    if all_lose and len(set(firsts)) == 1:
        costs = {e.label: r.costs[0].at_last for e, r in rankings.items()}
        labels = sorted(costs, key=lambda label: costs[label].value) if len(costs) > MAX_LISTED else list(costs)
        phrases = [f"{format_points_interval(costs[label])} for {label}" for label in labels]
        amounts = f"from {phrases[0]} to {phrases[-1]}" if len(phrases) > MAX_LISTED else join_names(phrases)
        everyone = "both networks" if len(rankings) == 2 else f"all {len(rankings)} networks"
        return f"{capitalize_first(names[firsts[0]])} costs {everyone} most: {amounts}"
    if len(rankings) <= 2:
        return "; ".join(costliest_of_one(e.label, r, names) for e, r in rankings.items())
    return _tally("Costliest corruption at the last severity,", firsts, len(rankings), names)


def costliest_on_average_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Which corruption costs most on average over its severities, for each network or in how many of them.

    Only networks that lose accuracy beyond sampling noise count.
    """
    rankings, names = cost_rankings(con, selection), corruption_labels(con)
    losing = {e: r for e, r in rankings.items() if r.by_average[0].on_average.above_zero}
    firsts = [ranking.by_average[0].corruption for ranking in losing.values()]
    if len(rankings) > 2:
        return _tally("Costliest corruption on average over severities,", firsts, len(rankings), names)
    spared = [f"no corruption costs {e.label} accuracy beyond sampling noise" for e in rankings if e not in losing]
    if not losing:
        return f"On average over severities, {' and '.join(spared)}"
    phrases = [_average_phrase(e, r, names) for e, r in losing.items()]
    if len(set(firsts)) == 1:
        first = f"On average over severities, {lower_label(names[firsts[0]])} costs most: {join_names(phrases)}"
        return "; ".join([first, *spared])
    each = (f"{lower_label(names[first])}, {phrase}" for first, phrase in zip(firsts, phrases, strict=True))
    return f"Costliest on average over severities: {'; '.join(each)}"


def _average_phrase(evaluation: EvaluationInfo, ranking: CostRanking, names: Mapping[str, str]) -> str:
    text = f"{format_points_interval(ranking.by_average[0].on_average)} for {evaluation.label}"
    if ranking.average_lead is None or ranking.average_lead.above_zero:
        return text
    return f"{text} (not told apart from {lower_label(names[ranking.by_average[1].corruption])})"


def _tally(subject: str, firsts: Sequence[str], networks: int, names: Mapping[str, str]) -> str:
    """In how many of many networks each corruption is first; `firsts` has those that lose beyond noise only."""
    if not firsts:
        return f"No corruption costs any of {networks} networks accuracy beyond sampling noise"
    tally = tally_names((lower_label(names[c]) for c in firsts), "{} for {}")
    left = networks - len(firsts)
    if not left:
        return f"{subject} among {networks} networks: {tally}"
    others = "other loses" if left == 1 else f"other {left} lose"
    return (
        f"{subject} among {len(firsts)} of {networks} networks: {tally}; the {others} no accuracy beyond sampling noise"
    )
