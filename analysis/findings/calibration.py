"""How confidence behaves as images degrade."""

from collections.abc import Sequence

import duckdb

from failmodes.analysis.estimate import Estimate
from failmodes.analysis.findings.finding import Finding, Verdict
from failmodes.analysis.formatting import (
    MAX_LISTED,
    format_count,
    format_number,
    format_percent,
    format_percent_interval,
    format_points_interval,
    join_names,
    lower_label,
)
from failmodes.analysis.selection import EvaluationInfo, Selection, corruption_labels
from failmodes.analysis.statistics.calibration import HIGH_CONFIDENCE, CalibrationSummary, calibration_summary


def confidence_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """For each network, over- or under-confidence, calibration error and the share of confident failures."""
    names = corruption_labels(con)
    over = selection.averaged_words
    return [_finding(e, calibration_summary(con, selection, e), names, over) for e in selection.evaluations]


def _finding(evaluation: EvaluationInfo, found: CalibrationSummary, names: dict[str, str], averaged: str) -> Finding:
    gap = found.last_gap
    verdict: Verdict = "found" if gap.above_zero or gap.below_zero else "undecided"
    sure = (
        f" Of {format_count(found.failure_count, 'failure')} there, {format_percent_interval(found.sure_failures)} come with "
        f"confidence of at least {format_percent(HIGH_CONFIDENCE, 0)}."
        if found.sure_failures
        else " There are no failures there."
    )
    return Finding(
        "Confidence",
        f"{evaluation.label} is {overconfidence_words(gap)} at the last severity, averaged over {averaged}.",
        f"On clean images it is {overconfidence_words(found.clean_gap)}. Expected calibration error ({found.bin_count} equal "
        f"bins): {format_number(found.clean_ece, 3)} clean, {format_number(found.last_ece_mean, 3)} on average at the last severity, "
        f"{format_number(found.last_ece_worst, 3)} at worst ({lower_label(names[found.worst_corruption])})." + sure,
        verdict,
        {"evaluation_id": evaluation.evaluation_id, "gap": gap.value, "gap_low": gap.low, "gap_high": gap.high,
         "clean_gap": found.clean_gap.value, "clean_ece": found.clean_ece, "last_ece_mean": found.last_ece_mean,
         "last_ece_worst": found.last_ece_worst, "failure_count": found.failure_count,
         "sure_share": found.sure_failures.value if found.sure_failures else None},
    )  # fmt: skip


def overconfidence_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Over- or under-confidence at the last severity, beside the clean one: of each network, or of many in number."""
    found = {evaluation.label: calibration_summary(con, selection, evaluation) for evaluation in selection.evaluations}
    if len(found) > MAX_LISTED:
        return overconfidence_tally(
            {label: one.last_gap for label, one in found.items()}, [c.clean_gap for c in found.values()]
        )
    parts = [
        f"{label} {overconfidence_words(c.last_gap)} (clean: {overconfidence_words(c.clean_gap)})"
        for label, c in found.items()
    ]
    return f"At the last severity: {join_names(parts)}"


def overconfidence_tally(last: dict[str, Estimate], clean: Sequence[Estimate]) -> str:
    """How many of many networks are over- and how many underconfident at the last severity, and how many when clean.

    Args:
        last: gap at the last severity by network.
        clean: the gaps on clean images.
    """
    told = []
    for word, way in (("overconfident", 1), ("underconfident", -1)):
        beyond = [label for label, gap in last.items() if _way(gap) == way]
        if not beyond:
            told.append(f"none is {word}")
            continue
        most = max(beyond, key=lambda label: abs(last[label].value))
        verb = "is" if len(beyond) == 1 else "are"
        told.append(f"{len(beyond)} {verb} {word}, most of all {most} by {_size(last[most])}")
    before = [sum(_way(gap) == way for gap in clean) for way in (1, -1)]
    return (
        f"Of {len(last)} networks at the last severity, {'; '.join(told)} (when clean {before[0]} over-, {before[1]} "
        "underconfident; all beyond noise)"
    )


def overconfidence_words(gap: Estimate) -> str:
    """A gap in words: overconfident by 12.0 points [10.1, 13.9]."""
    if not _way(gap):
        return "neither over- nor underconfident beyond noise"
    return f"{'over' if gap.above_zero else 'under'}confident by {_size(gap)}"


def _way(gap: Estimate) -> int:
    """1 for over-, -1 for underconfident beyond noise, else 0."""
    return int(gap.above_zero) - int(gap.below_zero)


def _size(gap: Estimate) -> str:
    size = Estimate(-gap.value, -gap.high, -gap.low) if gap.below_zero else gap
    return format_points_interval(size)
