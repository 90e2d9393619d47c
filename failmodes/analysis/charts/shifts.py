"""Natural shifts: accuracy under each shift against clean accuracy, a point per model."""

import altair as alt
import duckdb
import numpy as np
import polars as pl

from failmodes.analysis.charts.style import frame as style
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE, Frame
from failmodes.analysis.charts.style.series import model_colors
from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.render.formatting import MAX_LISTED, format_count, format_number, join_names
from failmodes.analysis.statistics.shifts import FEWEST_MODELS, classes_note, shift_rows
from failmodes.runtime.errors import WarehouseError

MAX_COLUMNS, HEIGHT_PX = 3, 220
MIN_SHARE = 0.005  # of the line: the logit of 0 is infinite
BEYOND = 0.05  # of the clean accuracies of its models: farther, nothing supports it
LINE_POINTS = 41  # of the fitted line, which is a curve on the scale of accuracy


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, frame: Frame = PAGE) -> Figure:
    """A panel per shift: points with intervals, the line of equal accuracy, and from five models on the fitted line.

    Raises:
        WarehouseError: no model was evaluated under a shift.
    """
    rows = shift_rows(con, selection)
    if rows.is_empty():
        raise WarehouseError("no natural shift to show: add a [[shifts]] table to the study and run it")
    models = model_colors(con, selection)
    shifts = rows["shift"].unique(maintain_order=True).to_list()
    lowest = min(*rows["accuracy_low"], *rows["clean_accuracy_low"])
    domain = (style.share_floor(lowest), 1.0)
    panels = frame.panels(len(shifts), MAX_COLUMNS, right_px=8)
    points = models.with_series(rows)
    data = pl.concat([points, _lines(rows, domain)], how="diagonal")
    height = panels.height(min(HEIGHT_PX, panels.width))
    color = models.color(frame, **style.POINTS)
    plot = style.small_multiples(_layers(domain, color, height), data, "shift", shifts, panels, height)
    return Figure(plot, _title(rows, shifts), _subtitle(rows, shifts), selection.source_line, frame)


def _lines(rows: pl.DataFrame, domain: tuple[float, float]) -> pl.DataFrame:
    """Points (`line_x`, `line_y`) of the fitted line of each shift that has one."""
    lines = []
    for row in rows.unique("shift", maintain_order=True).drop_nulls("line_slope").rows(named=True):
        clean_accuracies = sorted(rows.filter(shift=row["shift"])["clean_accuracy"].to_list())
        ends = (
            max(domain[0], MIN_SHARE, clean_accuracies[0] - BEYOND),
            min(domain[1], 1 - MIN_SHARE, clean_accuracies[-1] + BEYOND),
        )
        clean = np.linspace(*ends, LINE_POINTS)
        logit = row["line_intercept"] + row["line_slope"] * np.log(clean / (1 - clean))
        line = pl.DataFrame({"line_x": clean, "line_y": 1 / (1 + np.exp(-logit))}).with_columns(
            shift=pl.lit(row["shift"])
        )
        lines.append(line.filter(pl.col("line_y") >= domain[0]))
    empty = pl.DataFrame(schema={"line_x": pl.Float64, "line_y": pl.Float64, "shift": pl.String})
    return pl.concat([empty, *lines])


def _layers(domain: tuple[float, float], color: alt.Color, height: float) -> list[alt.Chart]:
    """Equal accuracy, the fitted line, intervals and points."""
    scale = style.fixed_scale(*domain)
    x_axis = alt.Axis(labelExpr=style.PERCENT, tickCount=5, grid=False)
    x = alt.X("clean_accuracy:Q", title="clean accuracy", scale=scale, axis=x_axis)
    y = alt.Y("accuracy:Q", title="accuracy under shift", scale=scale, axis=style.percent_axis(height))
    base = alt.Chart().transform_filter("isValid(datum.accuracy)").encode(x=x, y=y, color=color)
    line = alt.Chart().transform_filter("isValid(datum.line_x)").mark_line(style="muted-line", strokeWidth=1.2)
    tips = [
        alt.Tooltip("label:N", title="model"),
        *style.interval_tips("accuracy", ".1%", "accuracy under shift", "accuracy_low", "accuracy_high"),
        alt.Tooltip("clean_accuracy:Q", format=".1%", title="clean accuracy"),
        alt.Tooltip("gap:Q", format=".1%", title="gap"),
        alt.Tooltip("gap_low:Q", format=".1%", title="gap from"),
        alt.Tooltip("gap_high:Q", format=".1%", title="gap to"),
        alt.Tooltip("effective_robustness:Q", format="+.1%", title="effective robustness"),
    ]
    return [
        style.diagonal(*domain),
        line.encode(x=alt.X("line_x:Q", scale=scale), y=alt.Y("line_y:Q", scale=scale), order="line_x:Q"),
        base.mark_rule(strokeWidth=1.4).encode(y=alt.Y("accuracy_low:Q", scale=scale), y2="accuracy_high:Q"),
        base.mark_rule(strokeWidth=1.4).encode(
            x=alt.X("clean_accuracy_low:Q", scale=scale), x2="clean_accuracy_high:Q"
        ),
        base.mark_point(filled=True, size=48, opacity=1).encode(tooltip=tips),
    ]


def _title(rows: pl.DataFrame, shifts: list[str]) -> str:
    """The gaps of each of a few shifts, without an order."""
    if len(shifts) > MAX_LISTED:
        return f"Accuracy under {format_count(len(shifts), 'natural shift')}, beside clean accuracy"
    return f"Gap to clean accuracy: {join_names(f'{shift} {_gaps(rows.filter(shift=shift))}' for shift in shifts)}"


def _gaps(rows: pl.DataFrame) -> str:
    """The gap of one model, or the smallest and the largest of several, in points."""
    gaps = sorted(rows["gap"].to_list())
    low, high = format_number(100 * gaps[0]), format_number(100 * gaps[-1])
    return f"{low} points" if rows.height == 1 else f"{low} to {high} points"


def _subtitle(rows: pl.DataFrame, shifts: list[str]) -> str:
    """What is plotted, the images and classes of each shift, and where the fitted line comes from."""
    of_shifts = []
    for shift in shifts:
        row = rows.filter(shift=shift).row(0, named=True)
        classes = classes_note(row["class_count"], row["clean_class_count"], is_restricted=row["restricted"])
        images = format_count(row["image_count"], "image")
        clean = format_count(row["clean_image_count"], "clean image")
        of_shifts.append(f"{shift}: {', '.join(filter(None, [images, clean, classes]))}")
    fitted = rows.drop_nulls("line_slope").height
    line = f" Solid: line fitted on the logits of both accuracies ({FEWEST_MODELS} models or more)." if fitted else ""
    return (
        "Accuracy under each shift against clean accuracy on the same classes, with exact 95% intervals. Dashed: equal "
        f"accuracy.{line} {'; '.join(of_shifts)}."
    )
