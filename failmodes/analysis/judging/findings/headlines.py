"""Which findings are printed: of each claim and model the strongest, and once for each kind what is inconclusive."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import duckdb

from failmodes.analysis.judging.findings.kind import Finding, Judged, Kind
from failmodes.analysis.judging.findings.registry import all_kinds
from failmodes.analysis.render.formatting import MAX_LISTED, capitalize_first, format_count
from failmodes.analysis.selection import EvaluationInfo, Selection
from failmodes.analysis.statistics.estimate import Word
from failmodes.analysis.statistics.shares import TITLE_ERROR
from failmodes.analysis.statistics.sufficiency import FEWEST_IMAGES

MOST_IN_TITLE = 2  # models that the title of a chart names one by one


class Headline(NamedTuple):
    """A sentence as it is printed.

    Attributes:
        kind: of the findings behind it.
        verdict: of them.
        sentence: what a reader takes away.
        others: how many findings of the same claim and verdict are behind it besides the one that it tells.
        query: SQL that gives the figures.
    """

    kind: str
    verdict: Word
    sentence: str
    others: int
    query: str

    @property
    def topic(self) -> str:
        """What it is about, in a word or two."""
        return all_kinds()[self.kind].topic

    @property
    def text(self) -> str:
        """The sentence, and how many others there are like it."""
        return f"{self.sentence} (and {self.others} more like it)" if self.others else self.sentence


def chart_title(con: duckdb.DuckDBPyConnection, selection: Selection, name: str, otherwise: str) -> str:
    """What one kind of finding says of a selection, for a chart: of up to two models the strongest of each.

    A title names a finding only where its error rate is at most `TITLE_ERROR`.

    Args:
        con: the warehouse, with shapes.
        selection: evaluations and corruptions.
        name: a kind about one evaluation.
        otherwise: what is said of a model without such a finding, behind its label.
    """
    kind = all_kinds()[name]
    named = {evaluation.label: _for_title(kind, con, selection, evaluation) for evaluation in selection.evaluations}
    if len(named) > MOST_IN_TITLE:
        count = sum(any(one.verdict == "supported" for one in found) for found in named.values())
        return f"{capitalize_first(kind.claims)} for {count} of {len(named)} models"
    return ". ".join(
        found[0].sentence.rstrip(".") if found else f"{label} {otherwise}" for label, found in named.items()
    )


def _for_title(
    kind: Kind, con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> list[Judged]:
    """What a title may name, the strongest first."""
    judged = (one for one in kind.judge(con, selection, evaluation) if one.n >= FEWEST_IMAGES)
    return [one for one in judged if one.verdict in kind.printed and (one.p_value or 0.0) <= TITLE_ERROR]


def headlines(findings: Sequence[Finding]) -> list[Headline]:
    """What is printed of the findings of one selection, kind by kind; what is inconclusive comes last."""
    are_many = len({finding.evaluation_id for finding in findings}) > MAX_LISTED
    of_kind = {kind: [f for f in findings if f.kind == name] for name, kind in all_kinds().items()}
    decided = [one for kind, found in of_kind.items() for one in _decided(kind, found, are_many=are_many)]
    decided = list({one.sentence: one for one in reversed(decided)}.values())[::-1]  # of images models say the same
    return decided + [one for kind, found in of_kind.items() for one in _inconclusive(kind, found)]


def _decided(kind: Kind, findings: Sequence[Finding], *, are_many: bool) -> Iterable[Headline]:
    """The first of each model, or of all where there are many; of shapes one of each word."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        is_together = kind.is_of_pairs or (are_many and not kind.is_condition)
        model = "" if is_together else finding.evaluation_id
        groups.setdefault((model, finding.claim if kind.tells_each_claim else ""), []).append(finding)
    for group in groups.values():
        for verdict in kind.printed:
            found = [finding for finding in group if finding.verdict == verdict]
            if found:
                told = _strongest(kind, found)
                yield Headline(kind.name, verdict, told.sentence, len(found) - 1, told.query)


def _strongest(kind: Kind, found: Sequence[Finding]) -> Finding:
    """The first of a model; of several the one whose first is farthest from nothing, or nearest if it is flat."""
    first = {finding.evaluation_id: finding for finding in reversed(found)}
    pick = min if found[0].claim == "flat" else max
    return pick(reversed(first.values()), key=lambda finding: abs((finding.value or 0.0) - kind.nothing))


def _inconclusive(kind: Kind, findings: Sequence[Finding]) -> Iterable[Headline]:
    """One line for all that is inconclusive of a kind; of a single finding its own sentence."""
    if kind.inconclusive is None:
        return
    what, noun = kind.inconclusive
    if noun == "model":  # the first of each model says it all
        findings = list({finding.evaluation_id: finding for finding in reversed(findings)}.values())[::-1]
    found = [finding for finding in findings if finding.verdict == "inconclusive"]
    if not found:
        return
    if len({finding.sentence for finding in found}) == 1:
        yield Headline(kind.name, "inconclusive", found[0].sentence, 0, found[0].query)
        return
    decides = kind.decides
    if kind.without_figures and all(finding.value is None for finding in found):
        noun, decides = "model", kind.without_figures
    count = f"{len(found)} of {format_count(len(findings), noun)}"
    query = f"from findings where kind = '{kind.name}' and verdict = 'inconclusive'"
    yield Headline(kind.name, "inconclusive", f"{what} is inconclusive for {count}: {decides}.", 0, query)
