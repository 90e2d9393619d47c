"""Which corruption causes the largest accuracy drop."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import duckdb

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection, corruption_labels
from failmodes.analysis.evaluations.trained_models import noun_of_runs
from failmodes.analysis.judging.findings.kind import Finding, Judged, kind, read_findings, rows_of
from failmodes.analysis.render.formatting import (
    MAX_LISTED,
    capitalize_first,
    format_count,
    format_points,
    format_points_interval,
    format_severity,
    join_names,
    lower_label,
)
from failmodes.analysis.statistics.model_accuracy import CorruptionDrop, DropRanking, drop_rankings
from failmodes.analysis.statistics.sufficiency import NON_FINITE
from failmodes.warehouse.schema import CLEAN

MAX_TIED = 3  # corruptions that a sentence names whose drops are not separated


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
    names = corruption_labels(con)
    n = selection.image_count
    ranking = drop_rankings(con, selection.only(evaluation))[evaluation]
    for position, drop in enumerate(ranking.drops):
        is_shown = ranking.leads[position - 1].above_zero if position else ranking.is_clear
        said = f"{evaluation.label} drops {format_points_interval(drop.at_last)} under "
        said += f"{lower_label(names[drop.corruption])} at severity {format_severity(drop.last_severity)}"
        yield Judged(
            "inconclusive" if not is_shown else "contradicted" if position else "supported",
            said if position else largest_drop_of_one(evaluation.label, ranking, names),
            drop.at_last._replace(p_value=None if position or ranking.withheld else ranking.p_value),
            drop.corruption,
            drop.last_severity,
        )
    for corruption in ranking.withheld:
        said = f"The drop of {evaluation.label} under {lower_label(names[corruption])} is not reported: {NON_FINITE}."
        query = rows_of("accuracy_by_severity", evaluation, corruption)
        yield Judged("inconclusive", said, corruption=corruption, query=query, n=n)


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
        return f"{label} degrades{_most(ranking)} under {most} {at_severity}: {format_points_interval(first.at_last)}"
    tied = [first, *(drop for drop, lead in zip(ranking.drops[1:], ranking.leads, strict=True) if not lead.above_zero)]
    if len(tied) == 1:  # apart at 95%, not at the error rate of a report
        tied.append(ranking.drops[1 + ranking.leads.index(min(ranking.leads, key=lambda lead: lead.low))])
    shown = tied[:MAX_TIED]
    listed = join_names(lower_label(names[drop.corruption]) for drop in shown)
    rest = f" and {format_count(len(tied) - len(shown), 'other')}" if len(tied) > len(shown) else ""
    apart = f"these{rest}" if rest else "the two" if len(tied) == 2 else "them"
    return (
        f"The largest drops of {label} {at_severity} are those under {listed}, {_amounts(shown)}; the data do not "
        f"separate {apart}"
    )


def _most(ranking: DropRanking) -> str:
    """The word after "degrades", if there is another corruption."""
    return " most" * (len(ranking.drops) > 1)


def _amounts(drops: Sequence[CorruptionDrop]) -> str:
    """How large drops are that are not separated: about 88 points each; 84 to 88 points."""
    low, high = (round(100 * pick(drop.at_last.value for drop in drops)) for pick in (min, max))
    most = format_points(high / 100, 0)
    return f"by about {most} each" if high - low <= 1 else f"by {low} to {most}"


def _drops(findings: Mapping[str, Finding]) -> str:
    """Accuracy drops of models: of two with intervals, of many the smallest and the largest."""
    drops = {label: finding.estimate for label, finding in findings.items() if finding.estimate}
    if len(drops) == 2:
        return join_names(f"{format_points_interval(drop)} for {label}" for label, drop in drops.items())
    ordered = sorted(drops, key=lambda label: -drops[label].value)
    listed = len(ordered) <= MAX_LISTED
    phrases = [f"{format_points(drops[label].value)} for {label}" for label in (ordered if listed else ordered[::-1])]
    return f"by {join_names(phrases) if listed else f'{phrases[0]} to {phrases[-1]}'}"


def largest_drop_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Which corruption hurts most by the stored findings: for each of up to two models, else for how many of them.

    Empty without a finding, such as without a reference level.
    """
    verb = "degrade most" if len(selection.averaged) > 1 else "degrade"
    labels, names = selection.labels, corruption_labels(con)
    firsts: dict[str, Finding] = {}
    for finding in read_findings(con, selection.ids, "largest_drop"):
        firsts.setdefault(finding.evaluation_id, finding)
    clear = {labels[key]: finding for key, finding in firsts.items() if finding.verdict == "supported"}
    most = Counter(lower_label(names[finding.corruption or CLEAN]) for finding in clear.values()).most_common()
    noun = f"{noun_of_runs(selection.evaluations)}s"
    severities = {format_severity(finding.severity) for finding in firsts.values() if finding.severity is not None}
    at = f" at severity {severities.pop()}" if len(severities) == 1 else " at the last severity"
    if 1 < len(labels) == len(clear) and len(most) == 1:
        everyone = f"both {noun}" if len(labels) == 2 else f"all {len(labels)} {noun}"
        return f"{capitalize_first(everyone)} {verb} under {most[0][0]}{at}: {_drops(clear)}"
    if len(labels) <= 2 or not firsts:
        return ". ".join(finding.statement for finding in firsts.values())
    if not most and len(selection.averaged) == 1:
        return f"Accuracy is not shown to drop under {lower_label(names[selection.averaged[0]])}{at}"
    if not most:
        in_sample = Counter(lower_label(names[finding.corruption or CLEAN]) for finding in firsts.values())
        ((name, times),) = in_sample.most_common(1)
        everyone = f"all {times} {noun}" if times == len(labels) else f"{times} of {len(labels)} {noun}"
        sample = f"On these images, {everyone} drop most under {name}{at}"
        return f"{sample}; the data do not separate the largest drop of any from the next"
    (name, times), *more = most
    who = next(iter(clear)) if len(clear) == 1 else f"{times} of {len(labels)} {noun}"
    first = f"{who} {verb if times > 1 else verb.replace('degrade', 'degrades')} under {name}{at}"
    counted = join_names([first, *(f"{times} under {name}" for name, times in more)])
    left = len(labels) - len(clear)
    others = f"the other {noun.removesuffix('s') if left == 1 else f'{left} {noun}'}"
    rest = f"; for {others}, the data do not separate the largest drops" if left else ""
    return f"{counted}{rest}"
