"""Correction for multiple testing: the verdicts that a report may print.

Each kind judges its statements at 95%. Without correction, one in four reports on two equal models with flat curves
would contain a false statement. Two error rates are therefore controlled over the statements of one selection:

- family-wise, the probability that any of the main statements is false (FIRST_SCREEN): which model is better and which
  corruption hurts most, each with Holm's procedure (1979), and the additions to them, with Bonferroni's.
- the expected share of false ones among all other printed statements (OTHERS), with Benjamini and Hochberg's procedure
  (1995). The shapes of an evaluation have their own rate (`shape_tables.FALSE_SHAPES`), so that its table of shapes is
  independent of the rest of the warehouse.

Titles of charts name a decision only at TITLE_ERROR. The expected share of false statements in a report, shapes aside,
is at most the sum of these rates, 4%; docs/soundness.md measures it, shapes included, on simulated reports.
"""

from collections.abc import Iterable, Mapping, Sequence

from failmodes.analysis.judging.findings.kind import EVERY, KINDS, Finding
from failmodes.analysis.statistics.shares import BETTER_MODEL_ERROR, LARGEST_DROP_ERROR, discoveries, holm

FIRST_SCREEN: Mapping[str, float] = {"better_model": BETTER_MODEL_ERROR, "largest_drop": LARGEST_DROP_ERROR}
BESIDE = 0.0025  # for additions to the main statements, see `report.verdict`
OTHERS = 0.0025
NOT_SHOWN = "Not significant after correction for multiple testing: "


def corrected(findings: Iterable[Finding]) -> list[Finding]:
    """The findings of one selection with corrected verdicts, in their order.

    Findings that a condition invalidates (see `conditions`) are not measurable.
    """
    found = [finding.uncorrected() for finding in findings]
    found = _without_invalid(found)
    shown = {place for kind, rate in FIRST_SCREEN.items() for place in _shown_by_holm(found, kind, rate)}
    others = [place for place, finding in enumerate(found) if _is_candidate(finding) and _is_of_others(finding)]
    p_values = [found[place].p_value or 0.0 for place in others]
    shown |= {place for place, is_shown in zip(others, discoveries(p_values, OTHERS), strict=True) if is_shown}
    return [
        finding._replace(verdict="inconclusive", sentence=NOT_SHOWN + finding.sentence)
        if _is_candidate(finding) and _is_printed(finding) and place not in shown and finding.kind != "shape"
        else finding
        for place, finding in enumerate(found)
    ]


def _is_candidate(finding: Finding) -> bool:
    """Whether it was tested, and is printed if it is significant."""
    return finding.p_value is not None and finding.verdict != "not_measurable"


def _is_printed(finding: Finding) -> bool:
    return finding.verdict in KINDS[finding.kind].printed


def _is_of_others(finding: Finding) -> bool:
    return finding.kind not in FIRST_SCREEN and finding.kind != "shape"


def _shown_by_holm(found: Sequence[Finding], kind: str, rate: float) -> list[int]:
    places = [place for place, finding in enumerate(found) if finding.kind == kind and _is_candidate(finding)]
    adjusted = holm([found[place].p_value or 0.0 for place in places])
    return [place for place, p_value in zip(places, adjusted, strict=True) if p_value <= rate]


def _without_invalid(found: Sequence[Finding]) -> list[Finding]:
    invalid = invalidated_by(found)
    return [
        finding._replace(
            verdict="not_measurable", sentence=f"Not judged because {KINDS[condition.kind].claims}: {finding.sentence}"
        )
        if finding.verdict != "not_measurable" and (condition := _condition_of(finding, invalid))
        else finding
        for finding in found
    ]


def _condition_of(finding: Finding, invalid: Mapping[tuple[str, str], Finding]) -> Finding | None:
    ids = [finding.evaluation_id, finding.other_evaluation_id]
    return next((found for key in ids if key and (found := invalid.get((key, finding.kind)))), None)


def invalidated_by(found: Iterable[Finding]) -> dict[tuple[str, str], Finding]:
    """The evaluations and kinds whose findings are invalid, each with the first condition that invalidates them."""
    invalid: dict[tuple[str, str], Finding] = {}
    others = [name for name, kind in KINDS.items() if not kind.is_condition]
    for finding in found:
        if finding.verdict == "supported":
            for kind in KINDS[finding.kind].suppresses:
                for name in others if kind == EVERY else [kind]:
                    invalid.setdefault((finding.evaluation_id, name), finding)
    return invalid
