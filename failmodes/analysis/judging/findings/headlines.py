"""The findings that are printed: the strongest of each claim and model, and a summary of inconclusive ones per kind."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import duckdb

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection
from failmodes.analysis.judging.findings.kind import Finding, Judged, Kind
from failmodes.analysis.judging.findings.registry import all_kinds
from failmodes.analysis.render.formatting import MAX_LISTED, capitalize_first, format_count
from failmodes.analysis.statistics.estimate import Word
from failmodes.analysis.statistics.shares import TITLE_ERROR
from failmodes.warehouse.metrics.metric import FEWEST_IMAGES

MOST_IN_TITLE = 2  # models that the title of a chart names one by one


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


def chart_title(con: duckdb.DuckDBPyConnection, selection: Selection, name: str, otherwise: str) -> str:
    """A chart's title from the findings of one kind: the strongest finding of each of up to two models, else a count.

    A title names a finding only if its error rate is at most `TITLE_ERROR`.

    Args:
        con: the warehouse, with shapes.
        selection: evaluations and corruptions.
        name: a kind about one evaluation.
        otherwise: the end of the sentence about a model without such a finding.
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
    """The findings that a title may name, the strongest first."""
    judged = (one for one in kind.judge(con, selection, evaluation) if one.n >= FEWEST_IMAGES)
    return [one for one in judged if one.verdict in kind.printed and (one.p_value or 0.0) <= TITLE_ERROR]


def headlines(findings: Sequence[Finding]) -> list[Headline]:
    """The sentences about the findings of one selection, kind by kind; inconclusive ones come last."""
    are_many = len({finding.evaluation_id for finding in findings}) > MAX_LISTED
    of_kind = {kind: [f for f in findings if f.kind == name] for name, kind in all_kinds().items()}
    decided = [one for kind, found in of_kind.items() for one in _decided(kind, found, are_many=are_many)]
    # findings about images are the same for all models
    decided = list({one.sentence: one for one in reversed(decided)}.values())[::-1]
    return decided + [one for kind, found in of_kind.items() for one in _inconclusive(kind, found)]


def _decided(kind: Kind, findings: Sequence[Finding], *, are_many: bool) -> Iterable[Headline]:
    """The strongest finding of each model, or of all if there are many; for shapes, of each shape."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        is_together = kind.is_of_pairs or (are_many and not kind.is_condition)
        model = "" if is_together else finding.evaluation_id
        groups.setdefault((model, finding.claim if kind.tells_each_claim else ""), []).append(finding)
    for group in groups.values():
        for verdict in kind.printed:
            found = [finding for finding in group if finding.verdict == verdict]
            if found:
                first = _strongest(kind, found)
                yield Headline(kind.name, verdict, first.sentence, len(found) - 1, first.query)


def _strongest(kind: Kind, found: Sequence[Finding]) -> Finding:
    """The first finding of a model; of several models the one with the largest effect, or the smallest if flat."""
    first = {finding.evaluation_id: finding for finding in reversed(found)}
    pick = min if found[0].claim == "flat" else max
    return pick(reversed(first.values()), key=lambda finding: abs((finding.value or 0.0) - kind.nothing))


def _inconclusive(kind: Kind, findings: Sequence[Finding]) -> Iterable[Headline]:
    """One sentence for all inconclusive findings of a kind; the finding's own if there is only one."""
    if kind.inconclusive is None:
        return
    subject, noun = kind.inconclusive
    if noun == "model":  # one finding per model
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
    yield Headline(kind.name, "inconclusive", f"{subject} is inconclusive for {count}: {decides}.", 0, query)
