"""The two axes of shape: the curvature of each curve over measured distortion against its curvature over severity."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.model_colors import model_colors
from failmodes.analysis.charts.style import axes
from failmodes.analysis.charts.style.axes import COLOR_FIELD
from failmodes.analysis.charts.style.combining import in_grid, layered
from failmodes.analysis.charts.style.labels import LegendEntry, PlotArea, legend
from failmodes.analysis.charts.style.placement import PlacedLabels, label_layers, unnamed_note
from failmodes.analysis.charts.style.theme import PAGE, ChartSize, ChartText, Layered, add_text
from failmodes.analysis.judging.findings.kind import where
from failmodes.analysis.judging.findings.shape import curvature_text, estimate_of
from failmodes.analysis.render.formatting import (
    capitalize_first,
    format_count,
    format_percent,
    join_names,
)
from failmodes.analysis.selection import Selection, corruption_labels, read_for_selection
from failmodes.analysis.statistics.bootstrap import Word
from failmodes.analysis.statistics.curve_shape import RMSE_AXIS, SEVERITY_AXIS, SSIM_AXIS
from failmodes.analysis.statistics.shape_tables import stored_settings
from failmodes.warehouse.database.own_tables import SHAPE_LABELS
from failmodes.warehouse.errors import WarehouseError

AXIS_NAMES = {SEVERITY_AXIS: "severity", RMSE_AXIS: "RMSE", SSIM_AXIS: "1\u00a0\u2212\u00a0SSIM"}
SYMBOLS = {"supported": "diamond", "inconclusive": "circle", "contradicted": "square"}
MEANINGS = {
    "supported": "another shape over distortion",
    "inconclusive": "inconclusive",
    "contradicted": "the same shape",
}
AXIS_TITLE = "\u2190 early\u00a0\u00a0\u00a0curvature over severity\u00a0\u00a0\u00a0late \u2192"
ENDS = ("curvature_low", "curvature_high", "severity_low", "severity_high")
MARGIN, AXIS_PX, GAP_PX = 0.08, 52, 24
Row = dict[str, Any]


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, size: ChartSize = PAGE) -> alt.VConcatChart:
    """A panel a measure of distortion, a point a curve: on the diagonal both axes tell the same curvature.

    Raises:
        WarehouseError: no curve that falls has distortion that was measured and rises with severity.
    """
    points = _points(con, selection)
    if points.is_empty():
        raise WarehouseError(
            "no curve falls over distortion that was measured and rises with severity: the table "
            "shapes_over_distortion says why"
        )
    models, settings = model_colors(con, selection), stored_settings(con)
    points = points.with_columns(
        color=pl.col("label").replace_strict(models.run_colors, return_dtype=pl.String),
        is_behind=pl.col("label").replace_strict(models.of_runs, return_dtype=pl.String).is_in(models.background),
    ).sort("is_behind", "label", "corruption", descending=[True, False, False])
    measures = [axis for axis in AXIS_NAMES if axis in points["axis"].to_list()]
    columns = len(measures) if size.is_wide else 1
    plot_area = _plot_area(
        points, settings.curvature_threshold, (size.width_px - GAP_PX * (columns - 1)) / columns, size
    )
    named = [_labels(points.filter(axis=axis), plot_area) for axis in measures]
    panels = [
        _panel(points.filter(axis=axis), axis, plot_area, settings.curvature_threshold, labels)
        for axis, labels in zip(measures, named, strict=True)
    ]
    behind = f" {capitalize_first(models.phrase(selection.averaged_phrase))}." if models.background else ""
    text = ChartText(
        distortion_shapes_sentence(con, selection),
        "Curvature of each curve that falls (mean height above its chord as a share of the drop) over measured "
        f"distortion against that over severity, on {selection.images}; bars: "
        f"{format_percent(settings.interval_level, 0)} intervals over images{_cut_phrase(points, plot_area)}. Dashed: "
        f"both the same. Shaded: curvature early, within \u00b1{settings.curvature_threshold:g}, or late over both. "
        "Named: those of another shape, or, without any, the "
        f"farthest from the dashed line.{behind}{unnamed_note(named)}",
        selection.source_line,
    )
    verdicts = [verdict for verdict in SYMBOLS if verdict in points["verdict"].to_list()]
    entries = [*models.entries(), *(LegendEntry(MEANINGS[one], shape=SYMBOLS[one]) for one in verdicts)]
    panel_grid = in_grid(*panels, columns=columns, spacing=GAP_PX)
    return add_text([*legend(entries, size.width_px - AXIS_PX), panel_grid], text, size)


def _points(con: duckdb.DuckDBPyConnection, selection: Selection) -> pl.DataFrame:
    """One row a curve and measure of distortion: both curvatures with intervals, both shapes, the verdict."""
    names = corruption_labels(con)
    return pl.DataFrame(
        [
            {
                "label": over["label"],
                "corruption": over["corruption"],
                "name": names[over["corruption"]],
                "axis": over["axis"],
                "verdict": axes_verdict(severity, over),
                "shape_over_severity": SHAPE_LABELS[severity["shape"]],
                "shape_over_axis": SHAPE_LABELS[over["shape"]],
                "curvature": over["curvature"],
                "curvature_low": over["curvature_low"],
                "curvature_high": over["curvature_high"],
                "severity_curvature": severity["curvature"],
                "severity_low": severity["curvature_low"],
                "severity_high": severity["curvature_high"],
                "distance": abs(over["curvature_change"]),
            }
            for severity, over in axis_pairs(con, selection)
        ]
    )


def _plot_area(points: pl.DataFrame, threshold: float, width_px: float, size: ChartSize) -> PlotArea:
    """One square of curvatures for both panels, so that the diagonal is one; it cuts long inconclusive intervals."""
    decided = points.filter(pl.col("verdict") != "inconclusive")
    bounds = [*points["curvature"], *points["severity_curvature"]]
    bounds += [value for end in ENDS for value in decided[end]]
    low, high = min(*bounds, -1.5 * threshold), max(*bounds, 1.5 * threshold)
    pad = MARGIN * (high - low)
    width = width_px - AXIS_PX
    return PlotArea(low - pad, high + pad, low - pad, high + pad, width=width, height=size.height(min(width, 270), 150))


def _cut_phrase(points: pl.DataFrame, plot_area: PlotArea) -> str:
    """Whether some intervals reach beyond the plot."""
    values = [value for end in ENDS for value in points[end]]
    is_cut = min(values) < plot_area.x_low or max(values) > plot_area.x_high
    return ", cut where they leave the plot" if is_cut else ""


def _panel(points: pl.DataFrame, axis: str, plot_area: PlotArea, threshold: float, named: PlacedLabels) -> Layered:
    x_scale, y_scale = plot_area.scales()
    x = alt.X("severity_curvature:Q", title=AXIS_TITLE, scale=x_scale,
              axis=alt.Axis(grid=False, format=".2~f", tickCount=5))  # fmt: skip
    y = alt.Y("curvature:Q", title=f"curvature over {AXIS_NAMES[axis]}", scale=y_scale,
              axis=alt.Axis(grid=False, format=".2~f", tickCount=5))  # fmt: skip
    symbol = alt.Shape("verdict:N", legend=None,
                       scale=alt.Scale(domain=list(SYMBOLS), range=list(SYMBOLS.values())))  # fmt: skip
    base = alt.Chart(points).encode(color=COLOR_FIELD)
    interval = base.mark_rule(strokeWidth=1, clip=True)
    tips = [alt.Tooltip("label:N", title="model"), alt.Tooltip("name:N", title="corruption"),
            alt.Tooltip("shape_over_severity:N", title="over severity"),
            alt.Tooltip("shape_over_axis:N", title=f"over {AXIS_NAMES[axis]}"),
            alt.Tooltip("severity_curvature:Q", format=".2f", title="curvature over severity"),
            alt.Tooltip("curvature:Q", format=".2f", title=f"curvature over {AXIS_NAMES[axis]}")]  # fmt: skip
    return layered(
        *_background(plot_area, threshold, x, y),
        interval.encode(x=alt.X("severity_low:Q"), x2=alt.X2("severity_high:Q"), y=y),
        interval.encode(x=x, y=alt.Y("curvature_low:Q"), y2=alt.Y2("curvature_high:Q")),
        base.mark_point(filled=True, size=65, opacity=1).encode(x=x, y=y, shape=symbol, tooltip=tips),
        *named.layers,
        width=plot_area.width,
        height=plot_area.height,
        title=axes.panel_title(f"Over {AXIS_NAMES[axis]}", plot_area.width),
    )


def _background(plot_area: PlotArea, threshold: float, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """The three squares in which both axes give the same shape, and the diagonal."""
    low, high = plot_area.x_low, plot_area.x_high
    ends = [(low, -threshold), (-threshold, threshold), (threshold, high)]
    squares = pl.DataFrame(
        [{"severity_curvature": start, "x_end": end, "curvature": start, "y_end": end} for start, end in ends]
    )
    diagonal = pl.DataFrame({"severity_curvature": [low, high], "curvature": [low, high]})
    return [
        alt.Chart(squares).mark_rect(style="band", opacity=0.55).encode(
            x=x, x2=alt.X2("x_end:Q"), y=y, y2=alt.Y2("y_end:Q")
        ),
        alt.Chart(diagonal).mark_line(style="muted-line", strokeDash=[4, 3], strokeWidth=1).encode(x=x, y=y),
    ]  # fmt: skip


def _labels(points: pl.DataFrame, plot_area: PlotArea) -> PlacedLabels:
    """Names of the corruptions whose axes disagree, once each; without any, of the curve farthest from the diagonal."""
    named = points.filter(verdict="supported", is_behind=False)
    if named.is_empty():
        named = points.sort("distance", descending=True).head(1)
    named = named.sort("distance", descending=True).unique("corruption", keep="first", maintain_order=True)
    obstacles = [_cross(plot_area, row, along) for row in points.rows(named=True) for along in ("x", "y")]
    x, y = (alt.X("severity_curvature:Q"), alt.Y("curvature:Q"))
    scales = plot_area.scales()
    return label_layers(
        named.with_columns(color=pl.lit(None)), x.scale(scales[0]), y.scale(scales[1]), plot_area, obstacles, points
    )


def _cross(plot_area: PlotArea, row: dict[str, float], along: str) -> tuple[float, float, float, float]:
    """The box in pixels of one of the two intervals of a point."""
    if along == "x":
        return plot_area.box(row["severity_low"], row["severity_high"], row["curvature"], row["curvature"])
    return plot_area.box(
        row["severity_curvature"], row["severity_curvature"], row["curvature_low"], row["curvature_high"]
    )


def distortion_shapes_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Where the two axes of shape disagree most, and in how many curves; or that they are not shown to."""
    pairs = axis_pairs(con, selection)
    verdicts = [axes_verdict(*pair) for pair in pairs]
    differing = [pair for pair, verdict in zip(pairs, verdicts, strict=True) if verdict == "supported"]
    if differing:
        severity, over = differing[0]
        axis, curvature = AXIS_NAMES[over["axis"]], curvature_text(estimate_of(over, "curvature"))
        differ = f"{_curves(differing)} of {format_count(_curves(pairs), 'curve')}"
        return (
            f"{where(con, over['corruption'])} {over['label']} is {SHAPE_LABELS[severity['shape']]} over severity but "
            f"{SHAPE_LABELS[over['shape']]} over {axis}: curvature {curvature}; the axes disagree for {differ}"
        )
    if not pairs:
        return "No curve falls over distortion that was measured and rises with severity"
    axes = join_names(AXIS_NAMES[axis] for axis in AXIS_NAMES if axis in {over["axis"] for _, over in pairs})
    same, open_ones = verdicts.count("contradicted"), verdicts.count("inconclusive")
    left = f", {open_ones} inconclusive" if open_ones else ""
    return f"No curve is shown to have another shape over {axes} than over severity: {same} alike{left}"


def _curves(pairs: Sequence[tuple[Row, Row]]) -> int:
    """How many curves there are, whatever the number of axes."""
    return len({(over["evaluation_id"], over["corruption"]) for _, over in pairs})


def axis_pairs(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[tuple[Row, Row]]:
    """Rows of `shapes_over_distortion` that may be compared, over severity and over distortion; largest change first.

    They are of curves that fall over severity, with distortion that rises along them.
    """
    table = read_for_selection(con, "shapes_over_distortion", selection).rows(named=True)
    over_severity = {(r["evaluation_id"], r["corruption"]): r for r in table if r["axis"] == SEVERITY_AXIS}
    pairs = [
        (severity, row)
        for row in table
        if row["axis"] != SEVERITY_AXIS
        and row["curvature"] is not None
        # a curve may have a shape over distortion that falls, and none over severity
        and (severity := over_severity[row["evaluation_id"], row["corruption"]])["curvature"] is not None
    ]
    return sorted(pairs, key=lambda pair: -abs(pair[1]["curvature_change"]))


def axes_verdict(over_severity: Row, over_distortion: Row) -> Word:
    """Whether the two classes differ; inconclusive unless both may be named."""
    if "inconclusive" in (over_severity["shape"], over_distortion["shape"]):
        return "inconclusive"
    return "contradicted" if over_severity["shape"] == over_distortion["shape"] else "supported"
