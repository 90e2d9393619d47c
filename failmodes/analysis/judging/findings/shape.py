"""How accuracy falls: the shape of every curve, and what the other kinds about curves share."""

from collections.abc import Iterator
from typing import Any

import duckdb

from failmodes.analysis.formatting import (
    SHAPE_NAMES,
    format_interval,
    format_number,
    format_percent,
    format_points_interval,
    format_severity,
    lower_label,
)
from failmodes.analysis.judging.findings.kind import Judged, kind, negative, where
from failmodes.analysis.selection import EvaluationInfo, Selection, read_for_selection
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.curve_shape import FALLING

STABLE = 0.975  # share of resamples from which a class counts as decided: at a threshold it is wrong in 1 of 40 samples
MANNERS = {"late_collapse": "late", "early_drop": "early", "near_linear": "near-linearly"}
Row = dict[str, Any]


@kind(
    "shape",
    order=20,
    section="accuracy",
    topic="Shape",
    claims="the curve has this shape",
    unit="accuracy",
    relation="shapes",
    tells="first",
    tells_each_claim=True,
    inconclusive=("The shape of the fall", "curve"),
)
def shape(con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo) -> Iterator[Judged]:
    """The class of each curve; of one that falls its number is the curvature, of others the total drop."""
    for row in curves(con, selection, evaluation):
        under, name, n = where(con, row["corruption"]), evaluation.label, row["image_count"]
        drop, is_named = estimate_of(row, "total_drop"), is_stable(row)
        curvature = estimate_of(row, "curvature") if row["shape"] in FALLING and row["curvature"] is not None else None
        if not is_named:
            said = f"The shape of {name} {lower_label(under)} is inconclusive: {_reason(row)}"
        elif row["shape"] == "flat":
            said = f"{under} {name} stays flat: total change {format_points_interval(negative(drop))}"
        elif row["shape"] == "rise":
            said = f"{under} {name} gains accuracy: total change {format_points_interval(negative(drop))}"
        elif curvature is None:
            said = f"{under} {name} falls and rises again: total drop {format_points_interval(drop)}"
        else:
            said = (
                f"{under} {name} falls {MANNERS[row['shape']]}{_to_chance(row)}: curvature {curvature_text(curvature)}"
            )
        yield Judged(
            "supported" if is_named else "inconclusive",
            said,
            n,
            curvature or drop,
            row["corruption"],
            claim=shape_of(row),
            unit="curvature" if curvature else "",
        )


def curves(con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo) -> list[Row]:
    """Rows of `shapes` of one evaluation, the largest total drop first."""
    shapes = read_for_selection(con, "shapes", selection.only(evaluation)).sort("total_drop", descending=True)
    return list(shapes.iter_rows(named=True))


def estimate_of(row: Row, name: str) -> Estimate:
    """A column of a row of `shapes` with its interval."""
    return Estimate(row[name], row[f"{name}_low"], row[f"{name}_high"])


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


def curvature_text(curvature: tuple[float, float, float]) -> str:
    """Curvature with its sign and interval: +0.27 [0.2, 0.3]."""
    return f"{format_number(curvature[0], 2, signed=True)} {format_interval(*curvature[1:], 2, 1)}"


def _reason(row: Row) -> str:
    """Why a shape may not be named."""
    if row["reason"] is not None:
        return str(row["reason"])
    if row["stability"] >= STABLE:
        return "no resample has another curvature, as too few images change"
    return f"{SHAPE_NAMES[row['shape']]} in {format_percent(row['stability'], 0)} of resamples"


def _to_chance(row: Row) -> str:
    """That the curve of a row ends at chance, where it does."""
    chance = row["chance_from"]
    return "" if chance is None else f", to chance from severity {format_severity(chance)} on"
