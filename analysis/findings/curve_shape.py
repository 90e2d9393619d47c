"""Which corruption costs most, and how accuracy falls: shape, stability, and where the largest step is."""

from typing import Any

import duckdb
import polars as pl

from failmodes.analysis.findings.finding import Evidence, Finding
from failmodes.analysis.formatting import (
    SHAPE_WORDS,
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
    shapes, sweep = read_for_selection(con, "shapes", selection), read_for_selection(con, "shape_sweep", selection)
    names = corruption_labels(con)
    widths = (
        read_for_selection(con, "steps", selection).select(pl.col("severity_to") - pl.col("severity_from")).to_series()
    )
    step = (
        "severity" if (widths < STRIDE).any() else "step"
    )  # of a dense grid, what all its short steps within one lose
    found = []
    for evaluation in selection.evaluations:
        rows = shapes.filter(evaluation_id=evaluation.evaluation_id).sort("total_drop", descending=True)
        if len(rows):
            found += [_shapes(evaluation, rows, sweep, names), _steps(evaluation, rows, step, names)]
    return found


def _shapes(evaluation: EvaluationInfo, rows: pl.DataFrame, sweep: pl.DataFrame, names: dict[str, str]) -> Finding:
    stable = rows.filter(pl.col("stability") >= STABLE)
    by_shape = {shape: stable.filter(shape=shape)["corruption"].to_list() for shape in SHAPE_WORDS}
    groups = [f"{join_names(lower_label(names[c]) for c in members)}: {SHAPE_WORDS[shape]}"
              for shape, members in by_shape.items() if members]  # fmt: skip
    groups += [f"{lower_label(names[row['corruption']])}: undecided, {SHAPE_WORDS[row['shape']]} in only "
               f"{format_percent(row['stability'], 0)} of resamples"
               for row in rows.filter(pl.col("stability") < STABLE).rows(named=True)]  # fmt: skip
    details = [_shape_detail(row, _sweep_share(sweep, row), names) for row in rows.rows(named=True)]
    figures: Evidence = {"evaluation_id": evaluation.evaluation_id}
    figures |= {f"shape_{row['corruption']}": row["shape"] for row in rows.rows(named=True)}
    return Finding(
        "Shape",
        f"{evaluation.label}, from clean to the last severity. {capitalize_first('; '.join(groups))}.",
        f"Bow \u03ba, and how often resamples and other thresholds give the same class: {'; '.join(details)}.",
        "found" if len(stable) else "undecided",
        figures,
    )


def _shape_detail(row: dict[str, Any], swept: tuple[int, int], names: dict[str, str]) -> str:
    bow = "" if row["bow"] is None else (
        f"\u03ba\u00a0{format_number(row['bow'], 2, signed=True)} [{format_number(row['bow_low'], 2, signed=True)},\u00a0"
        f"{format_number(row['bow_high'], 2, signed=True)}], ")  # fmt: skip
    dips = "" if row["shape"] != "flat" or row["largest_step"] <= row["flat_below"] else (
        f"flat speaks of the end points: one step between loses {format_points(row['largest_step'])}, ")  # fmt: skip
    same, of = swept
    return (
        f"{lower_label(names[row['corruption']])}: {bow}{dips}{format_percent(row['stability'], 0)} of resamples, "
        f"{same} of {of} pairs of thresholds"
    )


def _sweep_share(sweep: pl.DataFrame, row: dict[str, Any]) -> tuple[int, int]:
    tried = sweep.filter(evaluation_id=row["evaluation_id"], corruption=row["corruption"])
    return int((tried["shape"] == row["shape"]).sum()), len(tried)


def _steps(evaluation: EvaluationInfo, rows: pl.DataFrame, step: str, names: dict[str, str]) -> Finding:
    """Where the largest step takes a large share of the fall; `step` is what it is called."""
    falling = rows.filter(pl.col("largest_step_share").is_not_null())
    large = falling.filter(pl.col("largest_step_share") >= LARGE_STEP_SHARE).sort("largest_step", descending=True)
    figures: Evidence = {"evaluation_id": evaluation.evaluation_id}
    figures |= {f"largest_step_{row['corruption']}": row["largest_step"] for row in falling.rows(named=True)}
    limit = format_percent(LARGE_STEP_SHARE, 0)
    if large.is_empty():
        return Finding("Collapse", f"{evaluation.label}: no single {step} takes {limit} or more of a curve's fall.",
                       f"{format_count(len(falling), 'falling curve')} examined.", "found", figures)  # fmt: skip
    places = [
        f"{lower_label(names[row['corruption']])} loses {format_points(row['largest_step'])}, "
        f"{_share_of_fall(row['largest_step_share'])}, between {_span(row)}"
        for row in large.rows(named=True)
    ]
    first = large.row(0, named=True)
    return Finding(
        "Collapse",
        f"{evaluation.label} loses {limit} or more of its fall in one {step} under "
        f"{join_names(lower_label(names[row['corruption']]) for row in large.rows(named=True))}: at most "
        f"{format_points(first['largest_step'])}, under {lower_label(names[first['corruption']])} between {_span(first)}.",
        capitalize_first("; ".join(places)) + ". A collapse can only be placed between two measured severities.",
        "found",
        figures,
    )


def _share_of_fall(share: float) -> str:
    """More than the whole where the curve rises again: the fall is counted from clean to the last severity."""
    return f"{format_percent(share, 0)} of its fall" if share <= 1 else "more than its net fall"


def _span(row: dict[str, Any]) -> str:
    start, end = row["largest_step_from"], row["largest_step_to"]
    return f"{'clean' if not start else 'severity ' + format_severity(start)} and {format_severity(end)}"
