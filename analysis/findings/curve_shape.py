"""How accuracy falls: shape and stability of every curve, and where its largest step is."""

from typing import Any

import duckdb
import polars as pl

from failmodes.analysis.findings.finding import Evidence, Finding
from failmodes.analysis.formatting import (
    SHAPE_NAMES,
    capitalize_first,
    format_count,
    format_number,
    format_percent,
    format_points,
    format_severity,
    join_names,
    lower_label,
)
from failmodes.analysis.selection import EvaluationInfo, Selection, corruption_labels, read_for_selection
from failmodes.analysis.statistics.curve_shape import STRIDE

STABLE = 0.9  # share of resamples from which a class counts as decided
LARGE_STEP_SHARE = 0.4  # a step with so much of the drop is named; an even fall over five steps has 0.2 in each


def shape_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """For each network, the shape of every curve with its stability, and the largest steps; needs stored shapes."""
    shapes, sweep, steps = (read_for_selection(con, t, selection) for t in ("shapes", "shape_sweep", "steps"))
    names = {corruption: lower_label(label) for corruption, label in corruption_labels(con).items()}
    is_dense = bool((steps["severity_to"] - steps["severity_from"] < STRIDE).any())
    found = []
    for evaluation in selection.evaluations:
        rows = shapes.filter(evaluation_id=evaluation.evaluation_id).sort("total_drop", descending=True)
        if len(rows):
            found += [_shapes(evaluation, rows, sweep, names), _steps(evaluation, rows, names, is_dense=is_dense)]
    return found


def _shapes(evaluation: EvaluationInfo, rows: pl.DataFrame, sweep: pl.DataFrame, names: dict[str, str]) -> Finding:
    stable = rows.filter(pl.col("stability") >= STABLE)
    by_shape = {shape: stable.filter(shape=shape)["corruption"].to_list() for shape in SHAPE_NAMES}
    groups = [
        f"{join_names(names[c] for c in by_shape[shape])}: {SHAPE_NAMES[shape]}"
        for shape in by_shape
        if by_shape[shape]
    ]
    groups += [
        f"{names[row['corruption']]}: undecided, {SHAPE_NAMES[row['shape']]} in only "
        f"{format_percent(row['stability'], 0)} of resamples"
        for row in rows.filter(pl.col("stability") < STABLE).rows(named=True)
    ]
    details = [f"{names[row['corruption']]}: {_shape_detail(row, sweep)}" for row in rows.rows(named=True)]
    figures: Evidence = {"evaluation_id": evaluation.evaluation_id}
    return Finding(
        "Shape",
        f"{evaluation.label}, from clean to the last severity. {capitalize_first('; '.join(groups))}.",
        f"Bow \u03ba, and how often resamples and other thresholds give the same class: {'; '.join(details)}.",
        "found" if len(stable) else "undecided",
        figures | {f"shape_{row['corruption']}": row["shape"] for row in rows.rows(named=True)},
    )


def _shape_detail(row: dict[str, Any], sweep: pl.DataFrame) -> str:
    parts = []
    if row["bow"] is not None:
        value, low, high = (format_number(row[column], 2, signed=True) for column in ("bow", "bow_low", "bow_high"))
        parts.append(f"\u03ba\u00a0{value} [{low},\u00a0{high}]")
    if row["shape"] == "flat" and row["largest_step"] > row["flat_below"]:
        parts.append(f"flat speaks of the end points: one step between loses {format_points(row['largest_step'])}")
    tried = sweep.filter(evaluation_id=row["evaluation_id"], corruption=row["corruption"])
    parts.append(f"{format_percent(row['stability'], 0)} of resamples")
    parts.append(f"{(tried['shape'] == row['shape']).sum()} of {len(tried)} pairs of thresholds")
    return ", ".join(parts)


def _steps(evaluation: EvaluationInfo, rows: pl.DataFrame, names: dict[str, str], *, is_dense: bool) -> Finding:
    """Where the largest step takes a large share of the fall; on a dense grid a step is all that one severity loses."""
    step = "severity" if is_dense else "step"
    falling = rows.filter(pl.col("largest_step_share").is_not_null())
    large = falling.filter(pl.col("largest_step_share") >= LARGE_STEP_SHARE).sort("largest_step", descending=True)
    figures: Evidence = {"evaluation_id": evaluation.evaluation_id}
    figures |= {f"largest_step_{row['corruption']}": row["largest_step"] for row in falling.rows(named=True)}
    share = format_percent(LARGE_STEP_SHARE, 0)
    headline = f"{evaluation.label}: no single {step} takes {share} or more of a curve's fall."
    detail = f"{format_count(len(falling), 'falling curve')} examined."
    if len(large):
        corruptions = [names[corruption] for corruption in large["corruption"]]
        lost, spans = [format_points(x) for x in large["largest_step"]], [_span(row) for row in large.rows(named=True)]
        shares = [_share_of_fall(x) for x in large["largest_step_share"]]
        headline = (
            f"{evaluation.label} loses {share} or more of its fall in one {step} under {join_names(corruptions)}: at "
            f"most {lost[0]}, under {corruptions[0]} between {spans[0]}."
        )
        each = zip(corruptions, lost, shares, spans, strict=True)
        details = "; ".join(f"{name} loses {points}, {of_fall}, between {span}" for name, points, of_fall, span in each)
        detail = f"{capitalize_first(details)}. A collapse can only be placed between two measured severities."
    return Finding("Collapse", headline, detail, "found", figures)


def _share_of_fall(share: float) -> str:
    """More than the whole where the curve rises again: the fall is counted from clean to the last severity."""
    return f"{format_percent(share, 0)} of its fall" if share <= 1 else "more than its net fall"


def _span(row: dict[str, Any]) -> str:
    start, end = row["largest_step_from"], row["largest_step_to"]
    return f"{'clean' if not start else 'severity ' + format_severity(start)} and {format_severity(end)}"
