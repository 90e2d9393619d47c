"""Sentences that charts and findings share, each built from figures and their intervals."""

import duckdb
import polars as pl

from analysis.comparison import Ranking, rank_costs
from analysis.degradation import stored_settings
from analysis.selection import Evaluation, Selection, corruption_labels
from analysis.shapes import ShapeSettings
from analysis.words import level, listing, points, points_with_interval, sentence_start, within


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
    """Which corruption costs most, for each network where there are at most two, else in how many of them."""
    found, names = rankings(con, selection), corruption_labels(con)
    firsts = {ranking.costs[0].corruption for ranking in found.values()}
    if len(found) == 1:
        ((evaluation, ranking),) = found.items()
        return dearest_of_one(evaluation.label, ranking, names)
    if len(firsts) == 1 and all(ranking.is_clear for ranking in found.values()):
        name = sentence_start(names[firsts.pop()])
        everyone = "both networks" if len(found) == 2 else f"all {len(found)} networks"
        return f"{name} costs {everyone} most: {listing(_cost(e, r) for e, r in found.items())}"
    if len(found) == 2:
        return "; ".join(dearest_of_one(e.label, r, names) for e, r in found.items())
    tally = {c: sum(r.costs[0].corruption == c for r in found.values()) for c in firsts}
    ordered = sorted(tally, key=lambda c: -tally[c])
    return f"Dearest corruption among {len(found)} networks: " + listing(
        f"{within(names[c])} for {tally[c]}" for c in ordered
    )


def dearest_of_one(label: str, ranking: Ranking, names: dict[str, str]) -> str:
    """Which corruption costs one network most, or which two cannot be told apart."""
    first = ranking.costs[0]
    place = f"at severity {level(first.last_severity)}"
    if first.at_last.low <= 0:
        return f"No corruption costs {label} accuracy {place} beyond sampling noise"
    if ranking.is_clear:
        return f"{names[first.corruption]} costs {label} most: {points_with_interval(first.at_last)} {place}"
    second = ranking.costs[1]
    return (
        f"{names[first.corruption]} and {within(names[second.corruption])} cost {label} most, and cannot be told "
        f"apart: {points(first.at_last.value)} and {points(second.at_last.value)} {place}"
    )


def average_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Which corruption costs most on average over its severities, for each network or in how many of them."""
    found, names = rankings(con, selection), corruption_labels(con)
    firsts = [ranking.average_order[0] for ranking in found.values()]
    if len(found) > 2:
        ordered = sorted(set(firsts), key=lambda c: -firsts.count(c))
        tally = listing(f"{within(names[c])} for {firsts.count(c)}" for c in ordered)
        return f"Dearest corruption on average over severities, among {len(found)} networks: {tally}"
    parts = [_average(evaluation, ranking, names) for evaluation, ranking in found.items()]
    if len(set(firsts)) == 1:
        return f"On average over severities, {within(names[firsts[0]])} costs most: {listing(parts)}"
    named = [f"{within(names[first])}, {part}" for first, part in zip(firsts, parts, strict=True)]
    return f"Dearest on average over severities: {'; '.join(named)}"


def _average(evaluation: Evaluation, ranking: Ranking, names: dict[str, str]) -> str:
    first = next(cost for cost in ranking.costs if cost.corruption == ranking.average_order[0])
    text = f"{points_with_interval(first.on_average)} for {evaluation.label}"
    if ranking.average_lead is None or ranking.average_lead.above_zero:
        return text
    return f"{text} (not told apart from {within(names[ranking.average_order[1]])})"


def _cost(evaluation: Evaluation, ranking: Ranking) -> str:
    return f"{points_with_interval(ranking.costs[0].at_last)} for {evaluation.label}"
