"""Curvature of each curve over measured distortion (RMSE, 1 − SSIM) against its curvature over severity."""

from typing import Any

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style import frame as style
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE, Frame, PlotAxis
from failmodes.analysis.charts.style.series import OTHERS, model_colors
from failmodes.analysis.render.formatting import capitalize_first, format_count, format_percent
from failmodes.analysis.selection import Selection, corruption_names, read_for_selection
from failmodes.analysis.statistics.curve_shape import RMSE_AXIS, SEVERITY_AXIS, SSIM_AXIS, stored_settings
from failmodes.analysis.statistics.estimate import Word
from failmodes.warehouse.database_schema import SHAPE_LABELS
from failmodes.warehouse.errors import WarehouseError

AXIS_NAMES = {SEVERITY_AXIS: "severity", RMSE_AXIS: "RMSE", SSIM_AXIS: "1\u00a0\u2212\u00a0SSIM"}
MEANINGS: dict[Word, str] = {
    "supported": "different shape over distortion",
    "inconclusive": "inconclusive",
    "contradicted": "same shape",
}
SYMBOLS = {"supported": "diamond", "inconclusive": "circle", "contradicted": "square"}
X_TITLE = "\u2190 early\u00a0\u00a0\u00a0curvature over severity\u00a0\u00a0\u00a0late \u2192"
MAX_SIDE_PX = 280
Row = dict[str, Any]


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, frame: Frame = PAGE) -> Figure:
    """One panel per distortion metric, one point per curve; on the diagonal both axes give the same curvature.

    Raises:
        WarehouseError: no curve that drops has measured distortion that increases with severity.
    """
    names, models, settings = corruption_names(con, selection), model_colors(con, selection), stored_settings(con)
    pairs = axis_pairs(con, selection)
    if not pairs:
        raise WarehouseError(
            "no curve that drops has measured distortion that increases with severity: see the reasons in the table "
            "shapes_over_distortion"
        )
    points = models.with_series(pl.DataFrame([_point(*pair, names) for pair in pairs]))
    panel_names = [f"Over {AXIS_NAMES[axis]}" for axis in AXIS_NAMES if axis in {over["axis"] for _, over in pairs}]
    panels = frame.panels(len(panel_names), 2)
    side = panels.height(min(MAX_SIDE_PX, panels.width))
    threshold = settings.curvature_threshold
    low, high = style.domain_of(
        [*points["curvature"], *points["over_severity"], -1.5 * threshold, 1.5 * threshold], 0.15
    )
    named = [
        style.without_overlap(
            part.with_columns(
                name=pl.when(pl.col("series") != OTHERS, pl.col("verdict") == MEANINGS["supported"]).then("name")
            ),
            PlotAxis("over_severity", low, high, panels.width),
            PlotAxis("curvature", low, high, side),
        ).select("panel", "label", "corruption", shown_name="name")
        for part in points.partition_by("panel")
    ]
    points = points.join(pl.concat(named), on=["panel", "label", "corruption"], how="left", maintain_order="left")
    squares = pl.DataFrame(
        {"panel": name, "x": start, "x_end": end}
        for name in panel_names
        for start, end in ((low, -threshold), (-threshold, threshold), (threshold, high))
    )
    rows = pl.concat([squares, points], how="diagonal_relaxed")
    return Figure(
        style.small_multiples(
            _layers(models.color(frame, **style.POINTS), frame, low, high), rows, "panel", panel_names, panels, side
        ),
        _title(pairs),
        "Curvature \u03ba of each curve that drops (mean height above its chord as a share of the drop) over measured "
        f"distortion against \u03ba over severity, on {selection.images}; bars: "
        f"{format_percent(settings.interval_level, 0)} intervals over images, clipped at the plot. Dashed: equal. "
        f"Shaded: early, within \u00b1{threshold:g}, or late over both. "
        "Labels, where they fit: different shape over distortion. "
        f"{capitalize_first(models.phrase(selection.averaged_phrase))}".rstrip(),
        selection.source_line,
        frame.width_px,
    )


def _point(over_severity: Row, over: Row, names: dict[str, str]) -> Row:
    """One curve and distortion metric: both curvatures with intervals, both shapes, and the verdict."""
    return {
        "panel": f"Over {AXIS_NAMES[over['axis']]}",
        "label": over["label"],
        "corruption": over["corruption"],
        "name": names[over["corruption"]],
        "verdict": MEANINGS[axes_verdict(over_severity, over)],
        "shape": SHAPE_LABELS[over["shape"]],
        "shape_over_severity": SHAPE_LABELS[over_severity["shape"]],
        "curvature": over["curvature"],
        "low": over["curvature_low"],
        "high": over["curvature_high"],
        "over_severity": over_severity["curvature"],
        "severity_low": over_severity["curvature_low"],
        "severity_high": over_severity["curvature_high"],
    }


def _layers(color: alt.Color, frame: Frame, low: float, high: float) -> list[alt.Chart]:
    scale = style.fixed_scale(low, high)
    x = alt.X(
        "over_severity:Q",
        title=X_TITLE,
        scale=scale,
        axis=alt.Axis(grid=False, format=".2~f", tickCount=5, labelFlush=True),
    )
    y = alt.Y(
        "curvature:Q", title="curvature over distortion", scale=scale, axis=style.y_axis(grid=False, format=".2~f")
    )
    labels = list(MEANINGS.values())
    shape = alt.Shape(
        "verdict:N",
        title=None,
        scale=alt.Scale(domain=labels, range=list(SYMBOLS.values())),
        legend=style.top_legend(labels, frame, **style.SYMBOLS),
    )
    tips = [
        alt.Tooltip("label:N", title="model"),
        alt.Tooltip("name:N", title="corruption"),
        alt.Tooltip("shape_over_severity:N", title="shape over severity"),
        alt.Tooltip("shape:N", title="shape over distortion"),
        alt.Tooltip("over_severity:Q", format=".2f", title="curvature over severity"),
        alt.Tooltip("curvature:Q", format=".2f", title="curvature over distortion"),
    ]
    base = alt.Chart().transform_filter("isValid(datum.label)").encode(x=x, y=y, color=color)
    square = alt.Chart().transform_filter("isValid(datum.x_end)").mark_rect(style="band", opacity=0.55)
    return [
        square.encode(x=alt.X("x:Q", scale=scale), x2="x_end:Q", y=alt.Y("x:Q", scale=scale), y2="x_end:Q"),
        style.diagonal(low, high),
        base.mark_rule(clip=True).encode(x="severity_low:Q", x2="severity_high:Q"),
        base.mark_rule(clip=True).encode(y="low:Q", y2="high:Q"),
        base.mark_point(filled=True, size=60, opacity=1).encode(shape=shape, tooltip=tips),
        alt.Chart()
        .transform_filter("isValid(datum.shown_name)")
        .mark_text(align="left", baseline="bottom", dx=6, dy=-2, style="ink")
        .encode(x=x, y=y, text="shown_name:N"),
    ]


def _title(pairs: list[tuple[Row, Row]]) -> str:
    """For how many curves the shape differs between the axes."""
    verdicts = {(over["label"], over["corruption"]): set[Word]() for _, over in pairs}
    for severity, over in pairs:
        verdicts[over["label"], over["corruption"]].add(axes_verdict(severity, over))
    differing = sum("supported" in found for found in verdicts.values())
    count = format_count(len(verdicts), "curve")
    return f"The shape over distortion differs from the shape over severity for {differing} of {count}"


def axis_pairs(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[tuple[Row, Row]]:
    """Rows of `shapes_over_distortion` that may be compared, over severity and over distortion; largest change first.

    Curves must drop over severity, and their distortion must increase along it.
    """
    table = read_for_selection(con, "shapes_over_distortion", selection).rows(named=True)
    over_severity = {(r["evaluation_id"], r["corruption"]): r for r in table if r["axis"] == SEVERITY_AXIS}
    pairs = [
        (severity, row)
        for row in table
        if row["axis"] != SEVERITY_AXIS
        and row["curvature"] is not None
        # a curve may drop over distortion and not over severity
        and (severity := over_severity[row["evaluation_id"], row["corruption"]])["curvature"] is not None
    ]
    return sorted(pairs, key=lambda pair: -abs(pair[1]["curvature_change"]))


def axes_verdict(over_severity: Row, over_distortion: Row) -> Word:
    """Whether the two shapes differ; inconclusive if either is."""
    if "inconclusive" in (over_severity["shape"], over_distortion["shape"]):
        return "inconclusive"
    return "contradicted" if over_severity["shape"] == over_distortion["shape"] else "supported"
