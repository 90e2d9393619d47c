"""Whether networks become over- or underconfident as images degrade: sentences that findings and charts share."""

from collections.abc import Sequence

import duckdb

from failmodes.analysis.findings.finding import Evidence, Finding
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
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.calibration import HIGH_CONFIDENCE, CalibrationSummary, calibration_summary


def confidence_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """For each network, over- or underconfidence, calibration error and the share of confident failures."""
    names, averaged = corruption_labels(con), selection.averaged_phrase
    return [_finding(e, calibration_summary(con, selection, e), names, averaged) for e in selection.evaluations]


def _finding(evaluation: EvaluationInfo, found: CalibrationSummary, names: dict[str, str], averaged: str) -> Finding:
    last, confident = found.last_overconfidence, found.confident_failures
    failures = (
        f"Of {format_count(found.failure_count, 'failure')} there, {format_percent_interval(confident)} come with "
        f"confidence of at least {format_percent(HIGH_CONFIDENCE, 0)}."
        if confident
        else "There are no failures there."
    )
    figures: Evidence = {
        "evaluation_id": evaluation.evaluation_id, "overconfidence": last.value, "overconfidence_low": last.low,
        "overconfidence_high": last.high, "clean_overconfidence": found.clean_overconfidence.value,
        "clean_ece": found.clean_ece, "clean_noise_floor": found.clean_noise_floor,
        "last_ece_mean": found.last_ece_mean, "last_ece_worst": found.last_ece_worst,
        "worst_noise_floor": found.worst_noise_floor,
        "failure_count": found.failure_count, "confident_share": confident.value if confident else None,
    }  # fmt: skip
    return Finding(
        "Confidence",
        f"{evaluation.label} is {overconfidence_phrase(last)} at the last severity, averaged over {averaged}.",
        f"On clean images it is {overconfidence_phrase(found.clean_overconfidence)}. Expected calibration error "
        f"({found.bin_count} equal bins; in brackets what a calibrated network stays below in 95 % of samples): "
        f"{format_number(found.clean_ece, 3)} ({format_number(found.clean_noise_floor, 3)}) clean, "
        f"{format_number(found.last_ece_mean, 3)} on average at the last severity, "
        f"{format_number(found.last_ece_worst, 3)} ({format_number(found.worst_noise_floor, 3)}) at worst, under "
        f"{lower_label(names[found.worst_corruption])}. {failures}",
        "found" if last.above_zero or last.below_zero else "undecided",
        figures,
    )


def overconfidence_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Over- or underconfidence at the last severity, beside the clean one: of each network, or of many in number."""
    found = {evaluation.label: calibration_summary(con, selection, evaluation) for evaluation in selection.evaluations}
    last = {label: summary.last_overconfidence for label, summary in found.items()}
    clean = {label: summary.clean_overconfidence for label, summary in found.items()}
    if len(found) > MAX_LISTED:
        return overconfidence_tally(last, list(clean.values()))
    phrases = (
        f"{label} {overconfidence_phrase(last[label])} (clean: {overconfidence_phrase(clean[label])})"
        for label in found
    )
    return f"At the last severity: {join_names(phrases)}"


def overconfidence_tally(last: dict[str, Estimate], clean: Sequence[Estimate]) -> str:
    """How many of many networks are over- and how many underconfident at the last severity, and how many when clean.

    Args:
        last: overconfidence at the last severity by network.
        clean: overconfidence on clean images.
    """
    over = {label: estimate for label, estimate in last.items() if estimate.above_zero}
    under = {label: estimate for label, estimate in last.items() if estimate.below_zero}
    parts = []
    for term, beyond in (("overconfident", over), ("underconfident", under)):
        if not beyond:
            parts.append(f"none is {term}")
            continue
        most = max(beyond, key=lambda label: abs(last[label].value))
        verb = "is" if len(beyond) == 1 else "are"
        parts.append(f"{len(beyond)} {verb} {term}, most of all {most} by {_size(last[most])}")
    return (
        f"Of {len(last)} networks at the last severity, {'; '.join(parts)} (when clean "
        f"{sum(e.above_zero for e in clean)} over-, {sum(e.below_zero for e in clean)} underconfident; all beyond "
        "noise)"
    )


def overconfidence_phrase(overconfidence: Estimate) -> str:
    """Confidence minus accuracy as text: overconfident by 12.0 points [10.1, 13.9]."""
    if overconfidence.above_zero:
        return f"overconfident by {_size(overconfidence)}"
    if overconfidence.below_zero:
        return f"underconfident by {_size(overconfidence)}"
    return "neither over- nor underconfident beyond noise"


def _size(overconfidence: Estimate) -> str:
    value, low, high = overconfidence
    return format_points_interval((-value, -high, -low) if overconfidence.below_zero else overconfidence)
