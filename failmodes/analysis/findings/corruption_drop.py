"""Which corruption costs most: sentences that findings and charts share."""

from collections.abc import Iterator, Mapping, Sequence

import duckdb

from failmodes.analysis.findings.finding import Finding, Verdict, judged, of_images, rows_of
from failmodes.analysis.formatting import (
    MAX_LISTED,
    capitalize_first,
    format_count,
    format_points,
    format_points_interval,
    format_severity,
    join_names,
    lower_label,
    tally_names,
)
from failmodes.analysis.selection import EvaluationInfo, Selection, corruption_labels
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.model_accuracy import CorruptionDrop, DropRanking, drop_rankings
from failmodes.analysis.trained_models import noun_of_runs

NON_FINITE = "too many predictions are no finite numbers"


def drop_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """For each model and corruption, whether it costs most at the last severity."""
    names = corruption_labels(con)
    return [
        finding
        for evaluation, ranking in drop_rankings(con, selection).items()
        for finding in _drop_findings(evaluation, ranking, names, selection.image_count)
    ]


def _drop_findings(
    evaluation: EvaluationInfo, ranking: DropRanking, names: Mapping[str, str], images: int
) -> Iterator[Finding]:
    """The costliest is judged by its lead over every other, each other one by the lead of the costliest over it."""
    for position, drop in enumerate(ranking.drops):
        verdict: Verdict = "supported" if ranking.is_clear else "inconclusive"
        sentence = f"{largest_drop_of_one(evaluation.label, ranking, names)} {of_images(images)}."
        if position:
            verdict = "contradicted" if ranking.leads[position - 1].above_zero else "inconclusive"
            sentence = f"{names[drop.corruption]} costs {evaluation.label} {format_points_interval(drop.at_last)} "
            sentence += f"at severity {format_severity(drop.last_severity)} {of_images(images)}."
        yield judged(
            "largest_drop", verdict, evaluation, sentence, rows_of("shapes", evaluation, drop.corruption), n=images,
            unit="accuracy", estimate=drop.at_last, corruption=drop.corruption, severity=drop.last_severity,
        )  # fmt: skip
    for corruption in ranking.withheld:
        sentence = f"What {lower_label(names[corruption])} costs {evaluation.label} is withheld: {NON_FINITE}."
        query = rows_of("accuracy_by_severity", evaluation, corruption)
        yield judged("largest_drop", "inconclusive", evaluation, sentence, query, n=images, unit="accuracy",
                     corruption=corruption)  # fmt: skip


def largest_drop_of_one(label: str, ranking: DropRanking, names: Mapping[str, str]) -> str:
    """Which corruption costs one model most, or which two cannot be told apart."""
    if ranking.withheld:
        count = format_count(len(ranking.withheld), "corruption")
        return f"What costs {label} most is inconclusive: {NON_FINITE} under {count}"
    first = ranking.drops[0]
    at_severity = f"at severity {format_severity(first.last_severity)}"
    if not first.at_last.above_zero:
        return f"No corruption costs {label} accuracy {at_severity} beyond sampling noise"
    if ranking.is_clear:
        return f"{names[first.corruption]} costs {label} most: {format_points_interval(first.at_last)} {at_severity}"
    second, lead = _nearest(ranking.drops, ranking.leads)
    return (
        f"Costliest for {label} {at_severity}, not told apart: {lower_label(names[first.corruption])} and "
        f"{lower_label(names[second.corruption])}, {format_points_interval(lead)} between them"
    )


def _nearest(drops: Sequence[CorruptionDrop], leads: Sequence[Estimate]) -> tuple[CorruptionDrop, Estimate]:
    """Of the corruptions behind the first the one that is hardest to tell from it, and the lead over it."""
    lead = min(leads, key=lambda lead: lead.low)
    return drops[1 + list(leads).index(lead)], lead


def largest_drop_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Which corruption costs most, for each model where there are at most two, else in how many of them.

    Only models count that lose accuracy beyond sampling noise, and most under one corruption.
    """
    rankings, names = drop_rankings(con, selection), corruption_labels(con)
    noun = f"{noun_of_runs(rankings)}s"
    firsts = [r.drops[0].corruption for r in rankings.values() if r.is_clear]
    if 1 < len(rankings) == len(firsts) and len(set(firsts)) == 1:
        drops = {e.label: r.drops[0].at_last for e, r in rankings.items()}
        labels = sorted(drops, key=lambda label: drops[label].value) if len(drops) > MAX_LISTED else list(drops)
        phrases = [f"{format_points_interval(drops[label])} for {label}" for label in labels]
        amounts = f"from {phrases[0]} to {phrases[-1]}" if len(phrases) > MAX_LISTED else join_names(phrases)
        everyone = f"both {noun}" if len(rankings) == 2 else f"all {len(rankings)} {noun}"
        return f"{capitalize_first(names[firsts[0]])} costs {everyone} most: {amounts}"
    if len(rankings) <= 2:
        return "; ".join(largest_drop_of_one(e.label, r, names) for e, r in rankings.items())
    return _tally("Costliest corruption at the last severity,", firsts, f"{len(rankings)} {noun}", len(rankings), names)


def largest_mean_drop_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Which corruption costs most on average over its severities, for each model or in how many of them.

    Only models that lose accuracy beyond sampling noise count.
    """
    rankings, names = drop_rankings(con, selection), corruption_labels(con)
    losing = {e: r for e, r in rankings.items() if r.by_average and r.by_average[0].on_average.above_zero}
    firsts = [ranking.by_average[0].corruption for ranking in losing.values()]
    if len(rankings) > 2:
        clear = [ranking.by_average[0].corruption for ranking in losing.values() if ranking.is_clear_on_average]
        return _tally(
            "Costliest corruption on average over severities,",
            clear,
            f"{len(rankings)} {noun_of_runs(rankings)}s",
            len(rankings),
            names,
        )
    spared = [f"no corruption costs {e.label} accuracy beyond sampling noise" for e in rankings if e not in losing]
    if not losing:
        return f"On average over severities, {' and '.join(spared)}"
    phrases = [_average_phrase(e, r, names) for e, r in losing.items()]
    if len(set(firsts)) == 1:
        first = f"On average over severities, {lower_label(names[firsts[0]])} costs most: {join_names(phrases)}"
        return "; ".join([first, *spared])
    each = (f"{lower_label(names[first])}, {phrase}" for first, phrase in zip(firsts, phrases, strict=True))
    return f"Costliest on average over severities: {'; '.join(each)}"


def _average_phrase(evaluation: EvaluationInfo, ranking: DropRanking, names: Mapping[str, str]) -> str:
    """What the first costs; without an interval where it is not told apart, as that of a chosen largest is too high."""
    average = ranking.by_average[0].on_average
    if ranking.is_clear_on_average:
        return f"{format_points_interval(average)} for {evaluation.label}"
    text = f"{format_points(average.value)} for {evaluation.label}"
    if ranking.withheld:
        return f"{text} (of others {NON_FINITE})"
    second, _ = _nearest(ranking.by_average, ranking.average_leads)
    return f"{text} (not told apart from {lower_label(names[second.corruption])})"


def _tally(subject: str, firsts: Sequence[str], among: str, count: int, names: Mapping[str, str]) -> str:
    """In how many of many models each corruption is first; `firsts` has those only where that is clear."""
    if not firsts:
        return f"In none of {among} one corruption is seen to cost most"
    tally = tally_names((lower_label(names[c]) for c in firsts), "{} for {}")
    left = count - len(firsts)
    return f"{subject} among {among}: {tally}" + (f"; inconclusive for {left}" if left else "")
