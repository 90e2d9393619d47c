"""Curvature of each curve over measured distortion (RMSE, 1 − SSIM) against its curvature over severity."""

from collections.abc import Sequence

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style import frame as style
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE, Frame, PlotAxis
from failmodes.analysis.charts.style.series import OTHER_MODELS, model_colors
from failmodes.analysis.evaluations.selection import Selection, corruption_names, read_for_selection
from failmodes.analysis.render.formatting import capitalize_first, format_count, format_percent
from failmodes.analysis.statistics.curve_shape import RMSE_AXIS, SEVERITY_AXIS, SSIM_AXIS, stored_settings
from failmodes.analysis.statistics.estimate import Word
from failmodes.runtime.errors import WarehouseError
from failmodes.warehouse.curve_shapes import SHAPE_LABELS

AXIS_NAMES = {SEVERITY_AXIS: "severity", RMSE_AXIS: "RMSE", SSIM_AXIS: "1\u00a0\u2212\u00a0SSIM"}
MEANINGS: dict[Word, str] = {
    "supported": "different shape over distortion",
    "inconclusive": "inconclusive",
    "contradicted": "same shape",
}
SYMBOLS = {"supported": "diamond", "inconclusive": "circle", "contradicted": "square"}
X_TITLE = "\u2190 early\u00a0\u00a0\u00a0curvature over severity\u00a0\u00a0\u00a0late \u2192"
MAX_SIDE_PX = 280


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, frame: Frame = PAGE) -> Figure:
    """One panel per distortion metric, one point per curve; on the diagonal both axes give the same curvature.

    Raises:
        WarehouseError: no curve that drops has measured distortion that increases with severity.
    """
    models = model_colors(con, selection)
    settings = stored_settings(con)
    pairs = axis_pairs(con, selection)
    if pairs.is_empty():
        raise WarehouseError(
            "no curve that drops has measured distortion that increases with severity: see the reasons in the table "
            "shapes_over_distortion"
        )
    threshold = settings.curvature_threshold
    points = models.with_series(_points(pairs, corruption_names(con, selection)))
    low, high = style.domain_of(
        [*points["curvature"], *points["curvature_over_severity"], -1.5 * threshold, 1.5 * threshold], 0.15
    )
    panel_names = [f"Over {AXIS_NAMES[axis]}" for axis in AXIS_NAMES if axis in pairs["axis"]]
    panels = frame.panels(len(panel_names), 2)
    side = panels.height(min(MAX_SIDE_PX, panels.width))
    points = _with_names(
        points,
        PlotAxis("curvature_over_severity", low, high, panels.width),
        PlotAxis("curvature", low, high, side),
    )
    rows = pl.concat([_squares(panel_names, threshold, low, high), points], how="diagonal_relaxed")
    return Figure(
        style.small_multiples(
            _layers(models.color(frame, **style.POINTS), frame, low, high), rows, "panel", panel_names, panels, side
        ),
        _title(points),
        "Curvature \u03ba of each curve that drops (mean height above its chord as a share of the drop) over measured "
        f"distortion against \u03ba over severity, on {selection.images}; bars: "
        f"{format_percent(settings.interval_level, 0)} intervals over images, clipped at the plot. Dashed: equal. "
        f"Shaded: early, within \u00b1{threshold:g}, or late over both. "
        + capitalize_first(f"{models.phrase(selection.averaged_phrase)}labels, where they fit: different shape over ")
        + "distortion.",
        selection.source_line,
        frame,
    )


def _points(pairs: pl.DataFrame, names: dict[str, str]) -> pl.DataFrame:
    """Rows of `axis_pairs` with their panel, the names of corruption and shapes, and whether the shapes differ."""
    verdicts = [MEANINGS[axes_verdict(*shapes)] for shapes in pairs.select("shape_over_severity", "shape").rows()]
    return pairs.select(
        "label",
        "corruption",
        pl.col("shape", "shape_over_severity").replace_strict(SHAPE_LABELS, return_dtype=pl.String),
        pl.col("^curvature.*$"),
        panel=pl.format("Over {}", pl.col("axis").replace_strict(AXIS_NAMES)),
        name=pl.col("corruption").replace_strict(names),
        verdict=pl.Series(verdicts),
    )


def _with_names(points: pl.DataFrame, x: PlotAxis, y: PlotAxis) -> pl.DataFrame:
    """The points with `shown_name`, where it fits and the shapes of a colored model differ."""
    is_named = (pl.col("series") != OTHER_MODELS) & (pl.col("verdict") == MEANINGS["supported"])
    candidates = points.with_columns(name=pl.when(is_named).then("name"))
    named = [style.without_overlap(panel, x, y) for panel in candidates.partition_by("panel")]
    keys = ["panel", "label", "corruption"]
    return points.join(pl.concat(named).select(*keys, shown_name="name"), on=keys, how="left", maintain_order="left")


def _squares(panel_names: Sequence[str], threshold: float, low: float, high: float) -> pl.DataFrame:
    """The squares of each panel in which curves drop early, near-linearly or late over both axes."""
    return pl.DataFrame(
        {"panel": name, "x": start, "x_end": end}
        for name in panel_names
        for start, end in ((low, -threshold), (-threshold, threshold), (threshold, high))
    )


def _layers(color: alt.Color, frame: Frame, low: float, high: float) -> list[alt.Chart]:
    scale = style.fixed_scale(low, high)
    x = alt.X(
        "curvature_over_severity:Q",
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
        alt.Tooltip("curvature_over_severity:Q", format=".2f", title="curvature over severity"),
        alt.Tooltip("curvature:Q", format=".2f", title="curvature over distortion"),
    ]
    base = alt.Chart().transform_filter("isValid(datum.label)").encode(x=x, y=y, color=color)
    square = alt.Chart().transform_filter("isValid(datum.x_end)").mark_rect(style="band", opacity=0.55)
    return [
        square.encode(x=alt.X("x:Q", scale=scale), x2="x_end:Q", y=alt.Y("x:Q", scale=scale), y2="x_end:Q"),
        style.diagonal(low, high),
        base.mark_rule(clip=True).encode(x="curvature_low_over_severity:Q", x2="curvature_high_over_severity:Q"),
        base.mark_rule(clip=True).encode(y="curvature_low:Q", y2="curvature_high:Q"),
        base.mark_point(filled=True, size=60, opacity=1).encode(shape=shape, tooltip=tips),
        alt.Chart()
        .transform_filter("isValid(datum.shown_name)")
        .mark_text(align="left", baseline="bottom", dx=6, dy=-2, style="ink")
        .encode(x=x, y=y, text="shown_name:N"),
    ]


def _title(points: pl.DataFrame) -> str:
    """For how many curves the shape differs between the axes."""
    differ = (pl.col("verdict") == MEANINGS["supported"]).any()
    curves = points.group_by("label", "corruption").agg(differ)["verdict"]
    count = format_count(len(curves), "curve")
    return f"The shape over distortion differs from the shape over severity for {curves.sum()} of {count}"


def axis_pairs(con: duckdb.DuckDBPyConnection, selection: Selection) -> pl.DataFrame:
    """Rows of `shapes_over_distortion` over distortion, with columns `_over_severity`; largest change first.

    Curves must drop over both axes, and their distortion must increase along severity.
    """
    table = read_for_selection(con, "shapes_over_distortion", selection)
    over_severity = table.filter(axis=SEVERITY_AXIS)
    over_distortion = table.filter(pl.col("axis").is_in([RMSE_AXIS, SSIM_AXIS]))
    pairs = over_distortion.join(over_severity, on=["evaluation_id", "corruption"], suffix="_over_severity")
    known = pairs.drop_nulls(["curvature", "curvature_over_severity"])
    return known.sort(pl.col("curvature_change").abs(), descending=True, maintain_order=True)


def axes_verdict(over_severity: str, over_distortion: str) -> Word:
    """Whether two shapes differ; inconclusive if either is."""
    if "inconclusive" in (over_severity, over_distortion):
        return "inconclusive"
    return "contradicted" if over_severity == over_distortion else "supported"
