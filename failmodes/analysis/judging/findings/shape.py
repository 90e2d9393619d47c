"""The shape of every accuracy curve: how accuracy changes with severity."""

from collections.abc import Iterator
from typing import Any

import duckdb

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection, read_for_selection
from failmodes.analysis.judging.findings.kind import Judged, kind, where
from failmodes.analysis.render.formatting import (
    format_points,
    format_points_interval,
    format_severity,
)
from failmodes.analysis.statistics.curve_shape import SMALL
from failmodes.analysis.statistics.estimate import estimate_of
from failmodes.analysis.statistics.shape_tables import p_of_shape
from failmodes.warehouse.curve_shapes import FALLING, NO_SHAPE, SHAPE_LABELS, SHAPES

STEPS = ("largest_step", "other_step")  # columns
Row = dict[str, Any]


@kind(
    "shape",
    order=20,
    section="accuracy",
    topic="Shape",
    claims="the curve has this shape",
    unit="accuracy",
    relation="shapes",
    tells_each_claim=True,
    inconclusive=("The shape", "curve"),
)
def shape(con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo) -> Iterator[Judged]:
    """The shape of each curve from the table `shapes`, by total drop; flat curves last, the flattest first."""
    rows = curves(con, selection, evaluation)
    for row in sorted(rows, key=lambda row: row["changes_within"] if row["shape"] == "flat" else -1):
        name = evaluation.label
        under = where(con, row["corruption"])
        if row["shape"] == NO_SHAPE:
            said = f"{under} the shape of {name} is inconclusive: {row['reason']}"
        else:
            said = f"{under} {name} {shape_phrase(row)}"
        drop = estimate_of(row, "largest_step" if row["shape"] == "abrupt" else "total_drop")
        p_value = None if row["stability"] is None else p_of_shape(row["stability"], row["resamples"])
        yield Judged(
            "inconclusive" if row["shape"] == NO_SHAPE else "supported",
            said,
            drop._replace(n=row["image_count"], p_value=p_value),
            row["corruption"],
            claim=row["shape"],
        )


def shape_phrase(row: Row) -> str:
    """How accuracy changes in a row of `shapes` whose shape is shown: "drops late: 25.3 points …"."""
    drop = estimate_of(row, "total_drop")
    last = format_severity(row["last_severity"])
    change = estimate_of(row, "largest_change")
    at = format_severity(row["largest_change_at"])
    manner = manner_of(row)
    end = f"from clean to severity {last}{to_chance(row)}"
    match row["shape"]:
        case "flat":
            return f"stays within {format_points(row['changes_within'])} of its clean accuracy at every severity"
        case "rise":
            return f"gains {format_points_interval(-drop)} from clean to severity {last}"
        case "recovers":
            recovered = format_points(change.value - drop.value)
            return (
                f"drops {format_points_interval(change)} by severity {at}, then recovers {recovered} by severity {last}"
            )
        case "up_and_down":
            side, size = ("below", change) if change.value >= 0 else ("above", -change)
            return f"goes up and down, by up to {format_points_interval(size)} {side} clean at severity {at}"
        case "abrupt":
            step = format_points_interval(estimate_of(row, "largest_step"))
            return f"drops {manner}: {step} of {format_points(drop.value)} {end}"
    slightly = "slightly and " if row["shape"] == "near_linear" and is_small(row) else ""
    return f"drops {slightly}{manner}: {format_points_interval(drop)} {end}"


def manner_of(row: Row) -> str:
    """How accuracy drops in a row of `shapes`, as an adverb: abruptly between severity 2 and 3; '' if it does not."""
    named = [name for name in STEPS if row[f"{name}_to"] is not None]
    steps = " and ".join(_step(row, name) for name in sorted(named, key=lambda name: row[f"{name}_to"]))
    return SHAPES[row["shape"]].manner.format(steps=steps)


def shape_label(row: Row) -> str:
    """The shape of a row of `shapes` in tables and charts: near-linear, small; abrupt, between 2 and 3."""
    label = SHAPE_LABELS[row["shape"]]
    if row["shape"] in ("abrupt", "middle"):
        label += f", {_step(row, 'largest_step', '')}"
    elif row["shape"] in FALLING and is_small(row):
        label += ", small"
    if row["shape"] in FALLING:
        label += to_chance(row)
    return label


def curves(con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo) -> list[Row]:
    """Rows of `shapes` of one evaluation, the largest total drop first, with `last_severity`."""
    shapes = read_for_selection(con, "shapes", selection.only(evaluation)).sort("total_drop", descending=True)
    last = dict(
        con.execute(
            "select corruption, max(severity)::double from shards "
            "where table_name = 'prediction_facts' and evaluation_id = ? group by corruption",
            [evaluation.evaluation_id],
        ).fetchall()
    )
    return [row | {"last_severity": last[row["corruption"]]} for row in shapes.iter_rows(named=True)]


def is_small(row: Row) -> bool:
    """Whether the total drop of a row of `shapes` is shown to be small."""
    return bool(row["total_drop_high"] < SMALL)


def to_chance(row: Row) -> str:
    """The severity from which on accuracy is shown to be at chance, and whether it ends below chance."""
    chance = row["chance_from"]
    if chance is None:
        return ""
    below = ", below chance at the last severity" if row["below_chance"] else ""
    return f", at chance from severity {format_severity(chance)}{below}"


def _step(row: Row, name: str, severity: str = "severity ") -> str:
    """The severities of a step: between severity 2 and 3; between clean and severity 1."""
    start = row[f"{name}_from"]
    end = row[f"{name}_to"]
    if not start:
        return f"between clean and {severity}{format_severity(end)}"
    return f"between {severity}{format_severity(start)} and {format_severity(end)}"
