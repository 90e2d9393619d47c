"""The findings that are printed: the strongest of each claim and model, and a summary of inconclusive ones per kind."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import duckdb

from failmodes.analysis.evaluations.selection import Selection, select
from failmodes.analysis.judging.findings.kind import Finding, Kind, all_kinds, read_findings
from failmodes.analysis.render.formatting import MAX_LISTED, capitalize_first, format_count
from failmodes.analysis.statistics.estimate import Word
from failmodes.warehouse.database.connection import read_once

MAX_IN_TITLE = 2  # models that the title of a chart names one by one


class Headline(NamedTuple):
    """A sentence as it is printed.

    Attributes:
        kind: of the findings behind it.
        verdict: of them.
        sentence: of the strongest of them.
        others: how many other findings have the same claim and verdict.
        query: SQL of the values.
    """

    kind: str
    verdict: Word
    sentence: str
    others: int
    query: str

    @property
    def topic(self) -> str:
        """Its topic in a word or two."""
        return all_kinds()[self.kind].topic

    @property
    def text(self) -> str:
        """The sentence, and how many similar findings there are."""
        return f"{self.sentence} (and {self.others} similar)" if self.others else self.sentence


@read_once
def is_judged(con: duckdb.DuckDBPyConnection, selection: Selection) -> bool:
    """Whether the stored findings are about the cells of a selection: all corruptions, severities and images."""
    return not selection.filter and any(
        set(selection.ids) <= set(judged.ids)
        and selection.corruptions == judged.corruptions
        and selection.severities == judged.severities
        for judged in select(con)
    )


def chart_title(
    con: duckdb.DuckDBPyConnection, selection: Selection, name: str, otherwise: str, description: str
) -> str:
    """A chart's title from the stored findings of one kind: the first of each of up to two models, else counts.

    Args:
        con: the warehouse.
        selection: evaluations and corruptions.
        name: a kind about one evaluation.
        otherwise: the end of the sentence about a model without such a finding.
        description: the title of a chart of other cells than were judged.
    """
    if not is_judged(con, selection):
        return description
    kind = all_kinds()[name]
    findings = read_findings(con, selection.ids, name)
    if len(selection.evaluations) > MAX_IN_TITLE:
        return _counts(kind, findings, len(selection.evaluations))
    found: dict[str, Finding] = {}
    for finding in findings:
        if finding.verdict in kind.printed:
            found.setdefault(finding.evaluation_id, finding)
    return ". ".join(
        found[evaluation_id].statement if evaluation_id in found else f"{label} {otherwise}"
        for evaluation_id, label in selection.labels.items()
    )


def _counts(kind: Kind, findings: Sequence[Finding], models: int) -> str:
    """How often a claim is supported, and contradicted if that is printed: …: 12 of 21 cells of 3 models."""
    verdicts = Counter(finding.verdict for finding in findings)
    noun = kind.inconclusive[1] if kind.inconclusive else "cell"
    of_models = f"{format_count(len(findings), noun)} of {models} models"
    contradicted = verdicts["contradicted"] if "contradicted" in kind.printed else 0
    opposite = f"; the opposite in {contradicted}" if contradicted else ""
    return f"{capitalize_first(kind.claims)}: {verdicts['supported']} of {of_models}{opposite}"


def headlines(findings: Sequence[Finding]) -> list[Headline]:
    """The sentences about the findings of one selection, kind by kind; inconclusive ones come last."""
    are_many = len({finding.evaluation_id for finding in findings}) > MAX_LISTED
    of_kind = {kind: [f for f in findings if f.kind == name] for name, kind in all_kinds().items()}
    decided = [
        headline
        for kind, of_this_kind in of_kind.items()
        for headline in _decided(kind, of_this_kind, are_many=are_many)
    ]
    # findings about images are the same for all models
    decided = list({headline.sentence: headline for headline in reversed(decided)}.values())[::-1]
    return decided + [
        headline for kind, of_this_kind in of_kind.items() for headline in _inconclusive(kind, of_this_kind)
    ]


def _decided(kind: Kind, findings: Sequence[Finding], *, are_many: bool) -> Iterable[Headline]:
    """The strongest finding of each model, or of all if there are many; for shapes, of each shape."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        is_together = kind.is_of_pairs or (are_many and not kind.is_condition)
        model = "" if is_together else finding.evaluation_id
        groups.setdefault((model, finding.claim if kind.tells_each_claim else ""), []).append(finding)
    for group in groups.values():
        for verdict in kind.printed:
            decided = [finding for finding in group if finding.verdict == verdict]
            if decided:
                first = _strongest(kind, decided)
                yield Headline(kind.name, verdict, first.sentence, len(decided) - 1, first.query)


def _strongest(kind: Kind, findings: Sequence[Finding]) -> Finding:
    """The first finding of a model; of several models the one with the largest effect, or the smallest if flat."""
    first = {finding.evaluation_id: finding for finding in reversed(findings)}
    pick = min if findings[0].claim == "flat" else max
    return pick(reversed(first.values()), key=lambda finding: abs((finding.value or 0.0) - kind.nothing))


def _inconclusive(kind: Kind, findings: Sequence[Finding]) -> Iterable[Headline]:
    """One sentence for all inconclusive findings of a kind; the finding's own if there is only one."""
    if kind.inconclusive is None:
        return
    subject, noun = kind.inconclusive
    if noun == "model":  # one finding per model
        findings = list({finding.evaluation_id: finding for finding in reversed(findings)}.values())[::-1]
    inconclusive = [finding for finding in findings if finding.verdict == "inconclusive"]
    if not inconclusive:
        return
    if len({finding.sentence for finding in inconclusive}) == 1:
        yield Headline(kind.name, "inconclusive", inconclusive[0].sentence, 0, inconclusive[0].query)
        return
    decides = kind.decides
    if kind.without_figures and all(finding.value is None for finding in inconclusive):
        noun = "model"
        decides = kind.without_figures
    count = f"{len(inconclusive)} of {format_count(len(findings), noun)}"
    query = f"from findings where kind = '{kind.name}' and verdict = 'inconclusive'"
    yield Headline(kind.name, "inconclusive", f"{subject} is inconclusive for {count}: {decides}.", 0, query)
