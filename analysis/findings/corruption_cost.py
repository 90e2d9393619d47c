"""Sentences that charts and findings share, each built from figures and their intervals."""

import duckdb

from failmodes.analysis.findings.finding import Finding
from failmodes.analysis.formatting import (
    MAX_LISTED,
    capitalize_first,
    format_percent,
    format_points,
    format_points_interval,
    format_severity,
    join_names,
    lower_label,
)
from failmodes.analysis.selection import EvaluationInfo, Selection, corruption_labels
from failmodes.analysis.statistics.corruption_cost import CorruptionCost, CostRanking, cost_rankings


def costliest_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Which corruption costs most, for each network where there are at most two, else in how many of them.

    Only networks that lose accuracy beyond sampling noise count.
    """
    found, names = cost_rankings(con, selection), corruption_labels(con)
    losing = {e: r for e, r in found.items() if r.costs[0].at_last.above_zero}
    firsts = {ranking.costs[0].corruption for ranking in losing.values()}
    if 1 < len(found) == len(losing) and len(firsts) == 1 and all(ranking.is_clear for ranking in found.values()):
        name = capitalize_first(names[firsts.pop()])
        everyone = "both networks" if len(found) == 2 else f"all {len(found)} networks"
        return f"{name} costs {everyone} most: {_costs(found)}"
    if len(found) <= 2:
        return "; ".join(costliest_of_one(e.label, r, names) for e, r in found.items())
    return _tally(
        "Dearest corruption at the last severity,", [r.costs[0].corruption for r in losing.values()], len(found), names
    )


def _tally(what: str, firsts: list[str], networks: int, names: dict[str, str]) -> str:
    """In how many of many networks each corruption is first; `firsts` has those that lose beyond noise only."""
    if not firsts:
        return f"No corruption costs any of {networks} networks accuracy beyond sampling noise"
    ordered = sorted(set(firsts), key=lambda c: -firsts.count(c))
    told = join_names(f"{lower_label(names[c])} for {firsts.count(c)}" for c in ordered)
    left = networks - len(firsts)
    if not left:
        return f"{what} among {networks} networks: {told}"
    others = "other loses" if left == 1 else f"other {left} lose"
    return f"{what} among {len(firsts)} of {networks} networks: {told}; the {others} no accuracy beyond sampling noise"


def costliest_of_one(label: str, ranking: CostRanking, names: dict[str, str]) -> str:
    """Which corruption costs one network most, or which two cannot be told apart."""
    first = ranking.costs[0]
    place = f"at severity {format_severity(first.last_severity)}"
    if not first.at_last.above_zero:
        return f"No corruption costs {label} accuracy {place} beyond sampling noise"
    if ranking.is_clear:
        return f"{names[first.corruption]} costs {label} most: {format_points_interval(first.at_last)} {place}"
    second = ranking.costs[1]
    return (
        f"{names[first.corruption]} and {lower_label(names[second.corruption])} cost {label} most, and cannot be told "
        f"apart: {format_points(first.at_last.value)} and {format_points(second.at_last.value)} {place}"
    )


def costliest_on_average_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Which corruption costs most on average over its severities, for each network or in how many of them.

    Only networks that lose accuracy beyond sampling noise count.
    """
    found, names = cost_rankings(con, selection), corruption_labels(con)
    first = {evaluation: _first_on_average(ranking) for evaluation, ranking in found.items()}
    losing = [evaluation for evaluation, cost in first.items() if cost.on_average.above_zero]
    if len(found) > 2:
        firsts = [first[evaluation].corruption for evaluation in losing]
        return _tally("Dearest corruption on average over severities,", firsts, len(found), names)
    parts = {e: _average(e, found[e], names) for e in losing}
    spared = [f"no corruption costs {e.label} accuracy beyond sampling noise" for e in found if e not in losing]
    if not losing:
        return f"On average over severities, {' and '.join(spared)}"
    if len({first[evaluation].corruption for evaluation in losing}) == 1:
        name = lower_label(names[first[losing[0]].corruption])
        return "; ".join([f"On average over severities, {name} costs most: {join_names(parts.values())}", *spared])
    named = [f"{lower_label(names[first[e].corruption])}, {part}" for e, part in parts.items()]
    return f"Dearest on average over severities: {'; '.join(named)}"


def _first_on_average(ranking: CostRanking) -> CorruptionCost:
    return next(cost for cost in ranking.costs if cost.corruption == ranking.average_order[0])


def _average(evaluation: EvaluationInfo, ranking: CostRanking, names: dict[str, str]) -> str:
    text = f"{format_points_interval(_first_on_average(ranking).on_average)} for {evaluation.label}"
    if ranking.average_lead is None or ranking.average_lead.above_zero:
        return text
    return f"{text} (not told apart from {lower_label(names[ranking.average_order[1]])})"


def _costs(found: dict[EvaluationInfo, CostRanking]) -> str:
    """What the dearest corruption costs each network, or of many the least and the most."""
    if len(found) <= MAX_LISTED:
        return join_names(_cost_phrase(e, r) for e, r in found.items())
    by_cost = sorted(found, key=lambda e: found[e].costs[0].at_last.value)
    return f"from {_cost_phrase(by_cost[0], found[by_cost[0]])} to {_cost_phrase(by_cost[-1], found[by_cost[-1]])}"


def _cost_phrase(evaluation: EvaluationInfo, ranking: CostRanking) -> str:
    return f"{format_points_interval(ranking.costs[0].at_last)} for {evaluation.label}"


def cost_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """For each network, the dearest corruption and whether it can be told from the second."""
    names = corruption_labels(con)
    return [_cost_finding(evaluation, ranking, names) for evaluation, ranking in cost_rankings(con, selection).items()]


def _cost_finding(evaluation: EvaluationInfo, ranking: CostRanking, names: dict[str, str]) -> Finding:
    first = ranking.costs[0]
    others = join_names(
        f"{lower_label(names[c.corruption])} {format_points(c.at_last.value)}" for c in ranking.costs[1:]
    )  # fmt: skip
    detail = f"Then {others}." if len(ranking.costs) > 1 else "No other corruption was measured."
    if ranking.lead:
        detail += (
            f" The lead over the second is {format_points_interval(ranking.lead)} (paired bootstrap over images); it is "
            f"first in {format_percent(ranking.first_share, 0)} of resamples."
        )
    dearest = ranking.average_order[0]
    if dearest != first.corruption:
        average = next(c for c in ranking.costs if c.corruption == dearest)
        detail += f" On average over severities it is {lower_label(names[dearest])}: {format_points_interval(average.on_average)}."
    if ranking.extras:
        apart = join_names(
            f"{lower_label(names[c.corruption])} {format_points(c.at_last.value)}" for c in ranking.extras
        )
        detail += f" Apart, as no part of the headline metrics: {apart}."
    decided = ranking.is_clear and first.at_last.above_zero
    return Finding(
        "Cost", costliest_of_one(evaluation.label, ranking, names) + ".", detail, "found" if decided else "undecided",
        {"evaluation_id": evaluation.evaluation_id, "corruption": first.corruption, "drop": first.at_last.value,
         "drop_low": first.at_last.low, "drop_high": first.at_last.high, "first_share": ranking.first_share,
         "lead": ranking.lead.value if ranking.lead else None, "lead_low": ranking.lead.low if ranking.lead else None,
         "dearest_on_average": dearest},
    )  # fmt: skip
