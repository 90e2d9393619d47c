"""Whether models are over- or underconfident, cell by cell: sentences that findings and charts share."""

from collections.abc import Mapping, Sequence

import duckdb

from failmodes.analysis.findings.finding import Finding, judged, of_images, rows_of
from failmodes.analysis.formatting import (
    MAX_LISTED,
    format_count,
    format_number,
    format_points_interval,
    format_severity,
    join_names,
    lower_label,
)
from failmodes.analysis.selection import EvaluationInfo, Selection, corruption_labels
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.calibration import (
    CellConfidence,
    CleanCalibration,
    clean_calibration,
    overconfidence_by_corruption,
)
from failmodes.warehouse.schema import CLEAN

TERMS = {"supported": "overconfident", "contradicted": "underconfident"}


def confidence_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """For each model, over- or underconfidence when clean and at the last severities, and clean calibration error."""
    names = corruption_labels(con)
    found = [
        _overconfidence(evaluation, cell, names)
        for evaluation in selection.evaluations
        for cell in overconfidence_by_corruption(con, selection, evaluation)
    ]
    clean = {e: clean_calibration(con, selection, e) for e in selection.evaluations}
    return found + [_calibration_error(evaluation, one) for evaluation, one in clean.items() if one]


def _overconfidence(evaluation: EvaluationInfo, cell: CellConfidence, names: Mapping[str, str]) -> Finding:
    where = _where(cell, names)
    return judged(
        "overconfidence",
        cell.verdict,
        evaluation,
        f"{where} {evaluation.label} is {overconfidence_phrase(cell.overconfidence)} {of_images(cell.image_count)}.",
        rows_of("calibration_by_severity", evaluation, None if cell.corruption == CLEAN else cell.corruption),
        n=cell.image_count,
        unit="confidence minus accuracy",
        estimate=cell.overconfidence,
        corruption=cell.corruption,
        severity=cell.severity,
    )


def _calibration_error(evaluation: EvaluationInfo, clean: CleanCalibration) -> Finding:
    beside = "more than" if clean.is_more_than_chance else "no more than"
    return judged(
        "calibration_error",
        "supported" if clean.is_more_than_chance else "inconclusive",
        evaluation,
        f"When clean the calibration error of {evaluation.label} is {format_number(clean.ece, 4)}, {beside} chance "
        f"gives a calibrated model (up to {format_number(clean.noise_floor, 4)}; "
        f"{format_count(clean.image_count, 'image')}).",
        rows_of("calibration_by_severity", evaluation) + " and severity = 0",
        n=clean.image_count,
        unit="ECE",
        estimate=(clean.ece, None, None),
        corruption=CLEAN,
        severity=0.0,
    )


def _where(cell: CellConfidence, names: Mapping[str, str]) -> str:
    if cell.corruption == CLEAN:
        return "When clean"
    return f"Under {lower_label(names[cell.corruption])} at severity {format_severity(cell.severity)}"


def overconfidence_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Under how many corruptions each model is over- and underconfident at the last severity; of many their number.

    Over- and underconfidence of different corruptions are counted apart, so that they cannot cancel.
    """
    names = corruption_labels(con)
    found = {
        evaluation.label: [
            cell for cell in overconfidence_by_corruption(con, selection, evaluation) if cell.corruption != CLEAN
        ]
        for evaluation in selection.evaluations
    }
    if len(found) > MAX_LISTED:
        return overconfidence_tally(found)
    return f"At the last severity {join_names(_counted(label, cells, names) for label, cells in found.items())}"


def _counted(label: str, cells: Sequence[CellConfidence], names: Mapping[str, str]) -> str:
    """One model: overconfident under 5 of 6 corruptions (most under fog: 30 points), underconfident under 1."""
    parts = []
    for verdict, term in TERMS.items():
        such = [cell for cell in cells if cell.verdict == verdict]
        if such:
            most = max(such, key=lambda cell: abs(cell.overconfidence.value))
            size = format_points_interval(_size(most.overconfidence))
            parts.append(f"{term} under {len(such)} of {len(cells)} ({lower_label(names[most.corruption])}: {size})")
    return f"{label} is {' and '.join(parts) or 'neither over- nor underconfident beyond noise'}"


def overconfidence_tally(cells: Mapping[str, Sequence[CellConfidence]]) -> str:
    """How many of many models are overconfident under some corruption at the last severity, and how many under.

    Args:
        cells: cells at the last severity by model.
    """
    counts = {
        term: sum(any(cell.verdict == verdict for cell in own) for own in cells.values())
        for verdict, term in TERMS.items()
    }
    counted = " and ".join(f"{count} are {term} under some corruption" for term, count in counts.items())
    return f"Of {len(cells)} models at the last severity, {counted}"


def overconfidence_phrase(overconfidence: Estimate) -> str:
    """Confidence minus accuracy as text: overconfident by 12.0 points [10.1, 13.9]."""
    size = format_points_interval(_size(overconfidence))
    if overconfidence.above_zero:
        return f"overconfident by {size}"
    if overconfidence.below_zero:
        return f"underconfident by {size}"
    return f"not shown to be over- or underconfident: {size}"


def _size(overconfidence: Estimate) -> tuple[float, float, float]:
    """Its size, positive for underconfidence too."""
    value, low, high = overconfidence
    return (-value, -high, -low) if overconfidence.below_zero else (value, low, high)
