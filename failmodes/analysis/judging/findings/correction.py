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
from itertools import compress

from failmodes.analysis.judging.findings.kind import EVERY, KINDS, Finding
from failmodes.analysis.statistics.shares import BETTER_MODEL_ERROR, LARGEST_DROP_ERROR, discoveries, holm

FIRST_SCREEN: Mapping[str, float] = {"better_model": BETTER_MODEL_ERROR, "largest_drop": LARGEST_DROP_ERROR}
BESIDE = 0.0025  # for additions to the main statements, see `report.verdict`
OTHERS = 0.0025
NOT_SHOWN = "Not significant after correction for multiple testing: "


def corrected(findings: Iterable[Finding]) -> list[Finding]:
    """The uncorrected findings of one selection with corrected verdicts, in their order.

    Findings that a condition invalidates (see `conditions`) are not measurable.
    """
    found = _without_invalid(findings)
    tested = [finding for finding in found if finding.p_value is not None and finding.verdict != "not_measurable"]
    others = [finding for finding in tested if finding.kind not in (*FIRST_SCREEN, "shape")]
    shown = set(compress(others, discoveries(_p_values(others), OTHERS)))
    for kind, rate in FIRST_SCREEN.items():
        own = [finding for finding in tested if finding.kind == kind]
        shown |= {finding for finding, p_value in zip(own, holm(_p_values(own)), strict=True) if p_value <= rate}
    hidden = {one for one in tested if one.kind != "shape" and one.verdict in KINDS[one.kind].printed} - shown
    return [
        finding._replace(verdict="inconclusive", sentence=NOT_SHOWN + finding.sentence)
        if finding in hidden
        else finding
        for finding in found
    ]


def _p_values(findings: Sequence[Finding]) -> list[float]:
    return [finding.p_value or 0.0 for finding in findings]


def _without_invalid(findings: Iterable[Finding]) -> list[Finding]:
    found, kept = list(findings), list[Finding]()
    invalid = invalidated_by(found)
    for finding in found:
        ids = (finding.evaluation_id, finding.other_evaluation_id)
        condition = next((invalid[key, finding.kind] for key in ids if key and (key, finding.kind) in invalid), None)
        if condition and finding.verdict != "not_measurable":
            reason = f"Not judged because {KINDS[condition.kind].claims}: {finding.sentence}"
            finding = finding._replace(verdict="not_measurable", sentence=reason)
        kept.append(finding)
    return kept


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
