"""Correction for multiple testing: the verdicts that a report may print.

Each kind judges its statements at 95%. Without correction, one in four reports on two equal models with flat curves
would contain a false statement. Two error rates are therefore controlled over the statements of one selection:

- family-wise, the probability that any of the main statements is false (MAIN_ERRORS): which model is better and which
  corruption hurts most, each with Holm's procedure (1979), and the additions to them, with Bonferroni's.
- the expected share of false ones among all other printed statements (FALSE_DISCOVERY_RATE), with Benjamini and
  Hochberg's procedure (1995). The shapes of an evaluation have their own rate (`shape_tables.FALSE_SHAPES`), so that
  its table of shapes is independent of the rest of the warehouse.

The expected share of false statements in a report, shapes aside,
is at most the sum of these rates, 4%; docs/soundness.md measures it, shapes included, on simulated reports.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import compress

import duckdb

from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.judging.findings.kind import EVERY, KINDS, Finding, proposed
from failmodes.analysis.statistics.shares import BETTER_MODEL_ERROR, LARGEST_DROP_ERROR, discoveries, holm
from failmodes.runtime.progress import counted

MAIN_ERRORS: Mapping[str, float] = {"better_model": BETTER_MODEL_ERROR, "largest_drop": LARGEST_DROP_ERROR}
ADDITIONS_ERROR = 0.0025  # for additions to the main statements, see `main_findings`
FALSE_DISCOVERY_RATE = 0.0025
NOT_SHOWN = "Not significant after correction for multiple testing: "
NOT_JUDGED = "Not judged because {}: "


def corrected(findings: Iterable[Finding]) -> list[Finding]:
    """The uncorrected findings of one selection with corrected verdicts, in their order.

    Findings that a condition invalidates (see `conditions`) are not measurable.
    """
    judged = _without_invalid(findings)
    tested = [finding for finding in judged if finding.p_value is not None and finding.verdict != "not_measurable"]
    others = [finding for finding in tested if finding.kind not in (*MAIN_ERRORS, "shape")]
    shown = set(compress(others, discoveries(_p_values(others), FALSE_DISCOVERY_RATE)))
    for kind, rate in MAIN_ERRORS.items():
        of_kind = [finding for finding in tested if finding.kind == kind]
        shown |= {
            finding for finding, p_value in zip(of_kind, holm(_p_values(of_kind)), strict=True) if p_value <= rate
        }
    hidden = {
        finding for finding in tested if finding.kind != "shape" and finding.verdict in KINDS[finding.kind].printed
    } - shown
    return [
        finding._replace(verdict="inconclusive", sentence=NOT_SHOWN + finding.sentence)
        if finding in hidden
        else finding
        for finding in judged
    ]


def uncorrected(finding: Finding) -> Finding:
    """A finding as its kind judged it, before `corrected`."""
    sentence = finding.sentence.removeprefix(NOT_SHOWN)
    for kind in KINDS.values():
        sentence = sentence.removeprefix(NOT_JUDGED.format(kind.claims)) if kind.is_condition else sentence
    return finding._replace(verdict=finding.verdict_alone, sentence=sentence)


def _p_values(findings: Sequence[Finding]) -> list[float]:
    return [finding.p_value or 0.0 for finding in findings]


def _without_invalid(findings: Iterable[Finding]) -> list[Finding]:
    judged = list(findings)
    kept = list[Finding]()
    invalid = invalidated_by(judged)
    for finding in judged:
        ids = (finding.evaluation_id, finding.other_evaluation_id)
        condition = next((invalid[key, finding.kind] for key in ids if key and (key, finding.kind) in invalid), None)
        if condition and finding.verdict != "not_measurable":
            reason = NOT_JUDGED.format(KINDS[condition.kind].claims)
            finding = finding._replace(verdict="not_measurable", sentence=reason + finding.sentence)
        kept.append(finding)
    return kept


def invalidated_by(findings: Iterable[Finding]) -> dict[tuple[str, str], Finding]:
    """The evaluations and kinds whose findings are invalid, each with the first condition that invalidates them."""
    invalid: dict[tuple[str, str], Finding] = {}
    others = [name for name, kind in KINDS.items() if not kind.is_condition]
    for finding in findings:
        if finding.verdict == "supported":
            for kind in KINDS[finding.kind].suppresses:
                for name in others if kind == EVERY else [kind]:
                    invalid.setdefault((finding.evaluation_id, name), finding)
    return invalid


def selection_findings(
    con: duckdb.DuckDBPyConnection, selection: Selection, known: Iterable[Finding] = ()
) -> list[Finding]:
    """All findings about a selection, corrected, in the order of a report; needs shapes.

    Args:
        con: the warehouse.
        selection: the evaluations.
        known: findings of some of them, which are corrected with the others; what each says about one evaluation is
            not measured again. Conditions and pairs are judged for all.
    """
    kinds = proposed()
    by_kind = dict[tuple[str, str], list[Finding]]()
    for finding in known:
        by_kind.setdefault((finding.evaluation_id, finding.kind), []).append(uncorrected(finding))
    judged_before = {evaluation_id for evaluation_id, _ in by_kind}
    new = [evaluation for evaluation in selection.evaluations if evaluation.evaluation_id not in judged_before]
    found = list[Finding]()
    for kind in counted("findings", kinds):
        if kind.is_condition or kind.is_of_pairs:
            found += kind.of_selection(con, selection)
            continue
        for finding in kind.of_selection(con, replace(selection, evaluations=tuple(new))) if new else []:
            by_kind.setdefault((finding.evaluation_id, finding.kind), []).append(finding)
        for evaluation_id in selection.ids:
            found += by_kind.get((evaluation_id, kind.name), [])
    return corrected(found)
