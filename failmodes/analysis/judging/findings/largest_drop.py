"""Which corruption causes the largest accuracy drop."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import duckdb

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection, corruption_labels
from failmodes.analysis.evaluations.trained_models import noun_of_runs
from failmodes.analysis.judging.findings.kind import Judged, images_that_decide, kind, rows_of
from failmodes.analysis.render.formatting import (
    MAX_LISTED,
    capitalize_first,
    format_count,
    format_points_interval,
    format_severity,
    join_names,
    lower_label,
)
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.analysis.statistics.model_accuracy import CorruptionDrop, DropRanking, drop_rankings
from failmodes.analysis.statistics.sufficiency import NON_FINITE


@kind(
    "largest_drop",
    order=10,
    section="accuracy",
    topic="Largest drop",
    claims="the model's accuracy drops most under this corruption at the last severity",
    unit="accuracy",
    relation="shapes",
    inconclusive=("Which corruption hurts most", "model"),
)
def largest_drop(con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo) -> Iterator[Judged]:
    """The largest drop is judged by its lead over every other one, and each of these by that lead over it."""
    names, n = corruption_labels(con), selection.image_count
    ranking = drop_rankings(con, selection.only(evaluation))[evaluation]
    for position, drop in enumerate(ranking.drops):
        is_shown = ranking.leads[position - 1].above_zero if position else ranking.is_clear
        said = f"{evaluation.label} drops {format_points_interval(drop.at_last)} under "
        said += f"{lower_label(names[drop.corruption])} at severity {format_severity(drop.last_severity)}"
        yield Judged(
            "inconclusive" if not is_shown else "contradicted" if position else "supported",
            said if position else largest_drop_of_one(evaluation.label, ranking, names),
            n,
            drop.at_last,
            drop.corruption,
            drop.last_severity,
            p_value=None if position or ranking.withheld else ranking.p_value,
        )
    for corruption in ranking.withheld:
        said = f"The drop of {evaluation.label} under {lower_label(names[corruption])} is not reported: {NON_FINITE}."
        query = rows_of("accuracy_by_severity", evaluation, corruption)
        yield Judged("inconclusive", said, n, corruption=corruption, query=query)


def largest_drop_of_one(label: str, ranking: DropRanking, names: Mapping[str, str]) -> str:
    """Under which corruption the accuracy of one model drops most, or which two drops are not distinguishable."""
    if ranking.withheld:
        count = format_count(len(ranking.withheld), "corruption")
        return f"Which corruption hurts {label} most is inconclusive: {NON_FINITE} under {count}"
    first = ranking.drops[0]
    at_severity = f"at severity {format_severity(first.last_severity)}"
    if not first.at_last.above_zero or not (ranking.is_clear or ranking.leads):
        return f"No corruption is shown to lower the accuracy of {label} {at_severity}"
    if ranking.is_clear:
        most = lower_label(names[first.corruption])
        return f"{label} degrades most under {most}: {format_points_interval(first.at_last)} {at_severity}"
    second, lead = nearest(ranking.drops, ranking.leads)
    return (
        f"Which corruption hurts {label} most {at_severity} is inconclusive: "
        f"{lower_label(names[first.corruption])} and {lower_label(names[second.corruption])} differ by "
        f"{format_points_interval(lead)}{images_that_decide(ranking.images_needed)}"
    )


def nearest(drops: Sequence[CorruptionDrop], leads: Sequence[Estimate]) -> tuple[CorruptionDrop, Estimate]:
    """The corruption that is hardest to distinguish from the first, and the lead over it."""
    lead = min(leads, key=lambda lead: lead.low)
    return drops[1 + list(leads).index(lead)], lead


def largest_drop_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Which corruption hurts most: for each of up to two models, else for how many of them.

    It counts models whose accuracy drops beyond sampling noise, and most under one corruption.
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
        return f"{capitalize_first(everyone)} degrade most under {lower_label(names[firsts[0]])}: {amounts}"
    if len(rankings) <= 2:
        return ". ".join(largest_drop_of_one(e.label, r, names) for e, r in rankings.items())
    return drop_tally("Largest drop at the last severity", firsts, f"{len(rankings)} {noun}", len(rankings), names)


def drop_tally(subject: str, firsts: Sequence[str], among: str, count: int, names: Mapping[str, str]) -> str:
    """For how many models each corruption has the largest drop; `firsts` has only clear ones."""
    if not firsts:
        return f"No corruption is shown to hurt any of {among} most"
    tally = join_names(f"{lower_label(names[c])} for {times}" for c, times in Counter(firsts).most_common())
    left = count - len(firsts)
    return f"{subject}, {among}: {tally}" + (f"; inconclusive for {left}" if left else "")
