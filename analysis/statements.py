"""Sentences that charts and findings share, each built from figures and their intervals."""

import duckdb
import polars as pl

from analysis.comparison import Cost, Ranking, rank_costs
from analysis.degradation import stored_settings
from analysis.selection import Evaluation, Selection, corruption_labels
from analysis.shapes import ShapeSettings
from analysis.words import MOST_LISTED, level, listing, points, points_with_interval, sentence_start, within


def last_level(frame: pl.DataFrame) -> float:
    """The largest severity of a frame."""
    return float(frame.select(pl.col("severity").max()).item())


def settings_of(con: duckdb.DuckDBPyConnection) -> ShapeSettings:
    """Settings of the stored shapes, so that every interval of a report has one level and one resample."""
    return stored_settings(con) or ShapeSettings()


def rankings(con: duckdb.DuckDBPyConnection, selection: Selection) -> dict[Evaluation, Ranking]:
    """What each corruption costs each evaluation of the selection."""
    settings = settings_of(con)
    return {evaluation: rank_costs(con, selection, evaluation, settings) for evaluation in selection.evaluations}


def dearest_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Which corruption costs most, for each network where there are at most two, else in how many of them.

    Only networks that lose accuracy beyond sampling noise count.
    """
    found, names = rankings(con, selection), corruption_labels(con)
    losing = {e: r for e, r in found.items() if r.costs[0].at_last.above_zero}
    firsts = {ranking.costs[0].corruption for ranking in losing.values()}
    if 1 < len(found) == len(losing) and len(firsts) == 1 and all(ranking.is_clear for ranking in found.values()):
        name = sentence_start(names[firsts.pop()])
        everyone = "both networks" if len(found) == 2 else f"all {len(found)} networks"
        return f"{name} costs {everyone} most: {_costs(found)}"
    if len(found) <= 2:
        return "; ".join(dearest_of_one(e.label, r, names) for e, r in found.items())
    return _tally(
        "Dearest corruption at the last severity,", [r.costs[0].corruption for r in losing.values()], len(found), names
    )


def _tally(what: str, firsts: list[str], networks: int, names: dict[str, str]) -> str:
    """In how many of many networks each corruption is first; `firsts` has those that lose beyond noise only."""
    if not firsts:
        return f"No corruption costs any of {networks} networks accuracy beyond sampling noise"
    ordered = sorted(set(firsts), key=lambda c: -firsts.count(c))
    told = listing(f"{within(names[c])} for {firsts.count(c)}" for c in ordered)
    left = networks - len(firsts)
    if not left:
        return f"{what} among {networks} networks: {told}"
    others = "other loses" if left == 1 else f"other {left} lose"
    return f"{what} among {len(firsts)} of {networks} networks: {told}; the {others} no accuracy beyond sampling noise"


def dearest_of_one(label: str, ranking: Ranking, names: dict[str, str]) -> str:
    """Which corruption costs one network most, or which two cannot be told apart."""
    first = ranking.costs[0]
    place = f"at severity {level(first.last_severity)}"
    if not first.at_last.above_zero:
        return f"No corruption costs {label} accuracy {place} beyond sampling noise"
    if ranking.is_clear:
        return f"{names[first.corruption]} costs {label} most: {points_with_interval(first.at_last)} {place}"
    second = ranking.costs[1]
    return (
        f"{names[first.corruption]} and {within(names[second.corruption])} cost {label} most, and cannot be told "
        f"apart: {points(first.at_last.value)} and {points(second.at_last.value)} {place}"
    )


def average_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Which corruption costs most on average over its severities, for each network or in how many of them.

    Only networks that lose accuracy beyond sampling noise count.
    """
    found, names = rankings(con, selection), corruption_labels(con)
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
        name = within(names[first[losing[0]].corruption])
        return "; ".join([f"On average over severities, {name} costs most: {listing(parts.values())}", *spared])
    named = [f"{within(names[first[e].corruption])}, {part}" for e, part in parts.items()]
    return f"Dearest on average over severities: {'; '.join(named)}"


def _first_on_average(ranking: Ranking) -> Cost:
    return next(cost for cost in ranking.costs if cost.corruption == ranking.average_order[0])


def _average(evaluation: Evaluation, ranking: Ranking, names: dict[str, str]) -> str:
    text = f"{points_with_interval(_first_on_average(ranking).on_average)} for {evaluation.label}"
    if ranking.average_lead is None or ranking.average_lead.above_zero:
        return text
    return f"{text} (not told apart from {within(names[ranking.average_order[1]])})"


def _costs(found: dict[Evaluation, Ranking]) -> str:
    """What the dearest corruption costs each network, or of many the least and the most."""
    if len(found) <= MOST_LISTED:
        return listing(_cost(e, r) for e, r in found.items())
    by_cost = sorted(found, key=lambda e: found[e].costs[0].at_last.value)
    return f"from {_cost(by_cost[0], found[by_cost[0]])} to {_cost(by_cost[-1], found[by_cost[-1]])}"


def _cost(evaluation: Evaluation, ranking: Ranking) -> str:
    return f"{points_with_interval(ranking.costs[0].at_last)} for {evaluation.label}"
