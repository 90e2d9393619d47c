"""How accuracy falls: the shape of every curve, whether it stays flat, rises, or collapses in one step."""

from typing import Any

import duckdb

from failmodes.analysis.findings.finding import Finding, Verdict, judged, of_images, rows_of
from failmodes.analysis.formatting import (
    SHAPE_NAMES,
    format_interval,
    format_number,
    format_percent,
    format_points,
    format_points_interval,
    format_severity,
    lower_label,
)
from failmodes.analysis.selection import EvaluationInfo, Selection, corruption_labels, read_for_selection
from failmodes.analysis.statistics.curve_shape import FALLING

STABLE = 0.975  # share of resamples from which a class counts as decided: at a threshold it is wrong in 1 of 40 samples
FALLS = {"late_collapse": "falls late", "early_drop": "falls early", "near_linear": "falls near-linearly"}
MANNERS = {"late_collapse": "late", "early_drop": "early", "near_linear": "near-linearly"}
Names = dict[str, str]
Row = dict[str, Any]


def shape_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """For each model and curve: its shape, and whether it is flat, rises, or collapses in one step; needs shapes."""
    shapes = read_for_selection(con, "shapes", selection).sort("total_drop", descending=True)
    names = {corruption: lower_label(label) for corruption, label in corruption_labels(con).items()}
    return [
        judge(evaluation, row, names)
        for judge in (_shape, _one_step, _flat, _rise)
        for evaluation in selection.evaluations
        for row in shapes.filter(evaluation_id=evaluation.evaluation_id).rows(named=True)
    ]


def is_stable(row: Row) -> bool:
    """Whether the shape of a row of `shapes` may be named: no reason forbids it, and nearly all resamples agree.

    The classes of a curve that falls depend on a threshold of the curvature, which has no test of its own; the others
    have. A curvature that is the same in all resamples is one of too few images that change.
    """
    if row["shape"] in FALLING and (row["stability"] < STABLE or not row["curvature_low"] < row["curvature_high"]):
        return False
    return row["reason"] is None


def shape_of(row: Row) -> str:
    """The shape of a row of `shapes`, 'inconclusive' where it may not be named."""
    return str(row["shape"]) if is_stable(row) else "inconclusive"


def _is_withheld(row: Row) -> bool:
    """Whether too many predictions are no finite numbers for anything to be said."""
    return row["abrupt_drop"] is None


def _shape(evaluation: EvaluationInfo, row: Row, names: Names) -> Finding:
    where, n = names[row["corruption"]], row["image_count"]
    curvature = None if row["curvature"] is None else (row["curvature"], row["curvature_low"], row["curvature_high"])
    drop = (row["total_drop"], row["total_drop_low"], row["total_drop_high"])
    verdict: Verdict = "supported" if is_stable(row) else "inconclusive"
    if row["shape"] in ("flat", "rise"):
        said = f"Under {where} {evaluation.label} {'stays flat' if row['shape'] == 'flat' else 'gains accuracy'}"
        said += f": total change {format_points_interval(_negative(drop))}"
    elif row["shape"] in FALLING and curvature is not None:
        said = f"Under {where} {evaluation.label} {_fall(row)}: curvature {_signed(curvature)}"
    elif row["shape"] == "non_monotone":
        said = f"Under {where} {evaluation.label} falls and rises again: total drop {format_points_interval(drop)}"
    else:
        said = f"The shape of {evaluation.label} under {where} is inconclusive: {row['reason']}"
    if verdict == "inconclusive" and row["reason"] is None:
        why = f"{SHAPE_NAMES[row['shape']]} in {format_percent(row['stability'], 0)} of resamples"
        if row["stability"] >= STABLE:
            why = "no resample has another curvature, as too few images change"
        said = f"The shape of {evaluation.label} under {where} is inconclusive: {why}"
    is_curvature = row["shape"] in FALLING and curvature is not None
    return judged(
        "shape", verdict, evaluation, f"{said} {of_images(n)}.", rows_of("shapes", evaluation, row["corruption"]), n=n,
        unit="curvature" if is_curvature else "accuracy", estimate=curvature if is_curvature and curvature else drop,
        corruption=row["corruption"], claim=shape_of(row),
    )  # fmt: skip


def _fall(row: Row) -> str:
    """How the curve of a row falls, and whether it ends at chance."""
    chance = row["chance_from"]
    return FALLS[row["shape"]] + ("" if chance is None else f", to chance from severity {format_severity(chance)} on")


def _one_step(evaluation: EvaluationInfo, row: Row, names: Names) -> Finding:
    where, n = names[row["corruption"]], row["image_count"]
    lost = (row["largest_step"], row["largest_step_low"], row["largest_step_high"])
    start, end = row["largest_step_from"], row["largest_step_to"]
    span = f"between {'clean' if not start else 'severity ' + format_severity(start)} and {format_severity(end)}"
    verdict: Verdict = row["abrupt_drop"] or "inconclusive"
    verb = {"supported": "collapses", "contradicted": "does not collapse", "inconclusive": "may collapse"}[verdict]
    return judged(
        "abrupt_drop",
        verdict,
        evaluation,
        f"Under {where} {evaluation.label} {verb} in one step: {format_points_interval(lost)} {span} {of_images(n)}.",
        rows_of("steps", evaluation, row["corruption"]),
        n=n,
        unit="accuracy",
        estimate=lost,
        corruption=row["corruption"],
    )


def _flat(evaluation: EvaluationInfo, row: Row, names: Names) -> Finding:
    where, n, margin = names[row["corruption"]], row["image_count"], row["flat_below"]
    changed = (row["largest_change"], row["largest_change_low"], row["largest_change_high"])
    verdict: Verdict = row["flat"] or "inconclusive"
    phrase = {
        "supported": f"stays within {format_points(margin, 0)} of its clean accuracy",
        "contradicted": f"leaves {format_points(margin, 0)} around its clean accuracy",
        "inconclusive": f"may or may not stay within {format_points(margin, 0)} of clean",
    }[verdict]
    most = format_points_interval(_negative(changed))
    return judged(
        "flat",
        verdict,
        evaluation,
        f"Under {where} {evaluation.label} {phrase}: largest change {most} {of_images(n)}.",
        rows_of("accuracy_by_severity", evaluation, row["corruption"]),
        n=n,
        unit="accuracy",
        estimate=_negative(changed),
        corruption=row["corruption"],
    )


def _rise(evaluation: EvaluationInfo, row: Row, names: Names) -> Finding:
    where, n = names[row["corruption"]], row["image_count"]
    rise = (row["largest_rise"], row["largest_rise_low"], row["largest_rise_high"])
    at_severity = f"at severity {format_severity(row['largest_rise_at'])}"
    verdict: Verdict = "inconclusive"
    if not _is_withheld(row):
        verdict = "supported" if rise[1] > 0 else "contradicted" if rise[2] < 0 else "inconclusive"
    phrase = {
        "supported": "is more accurate than when clean",
        "contradicted": "is less accurate than when clean at every severity; least",
        "inconclusive": "is not shown to be more accurate than when clean",
    }[verdict]
    return judged(
        "rise",
        verdict,
        evaluation,
        f"Under {where} {evaluation.label} {phrase} {at_severity}: {format_points_interval(rise)} {of_images(n)}.",
        rows_of("accuracy_by_severity", evaluation, row["corruption"]),
        n=n,
        unit="accuracy",
        estimate=rise,
        corruption=row["corruption"],
        severity=row["largest_rise_at"],
    )


def _negative(estimate: tuple[float, float, float]) -> tuple[float, float, float]:
    """A loss as a change: losses are stored positive."""
    return -estimate[0], -estimate[2], -estimate[1]


def _signed(estimate: tuple[float, float, float]) -> str:
    return f"{format_number(estimate[0], 2, signed=True)} {format_interval(*estimate[1:], 2, 1)}"
