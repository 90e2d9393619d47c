"""Shape space: total accuracy drop under each corruption against curvature (early or late drop)."""

from collections import Counter

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style import frame as style
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE, Frame, PlotAxis
from failmodes.analysis.charts.style.series import OTHER_MODELS, PUBLISHED, ModelColors, model_colors, published_behind
from failmodes.analysis.charts.style.theme import GRAY, SHAPE_SYMBOLS
from failmodes.analysis.evaluations.selection import Selection, corruption_names, read_for_selection
from failmodes.analysis.render.formatting import format_count, format_percent, join_names
from failmodes.analysis.statistics.curve_shape import stored_settings
from failmodes.runtime.errors import WarehouseError
from failmodes.warehouse.curve_shapes import SHAPE_LABELS

AXIS_TITLE = "\u2190 drops early\u00a0\u00a0\u00a0curvature \u03ba\u00a0\u00a0\u00a0drops late \u2192"


def chart(
    con: duckdb.DuckDBPyConnection, selection: Selection, *, frame: Frame = PAGE, published: bool = True
) -> Figure:
    """Total drop in points (x) against curvature (y), both with intervals; only curves that drop have a curvature.

    Published models on the dataset are small and gray, if the warehouse has any and `published` is set.

    Raises:
        WarehouseError: no accuracy drop is supported.
    """
    settings = stored_settings(con)
    models = model_colors(con, selection)
    others = published_behind(con, selection, shown=published)
    shapes = models.with_series(read_for_selection(con, "shapes", selection))
    points = _points(shapes, others.shapes, corruption_names(con, selection))
    evaluated = points.filter(pl.col("series") != PUBLISHED)
    if evaluated.is_empty():
        raise WarehouseError("no curve has a curvature: no accuracy drop is supported")
    panel = frame.panels(1, 1, left_px=style.PLAIN_AXIS_PX)
    height = 360 if frame.is_wide else 280
    threshold = settings.curvature_threshold
    axes = _axes(points, threshold, panel.width, height)
    color = models.color(frame, *([(PUBLISHED, GRAY)] if others.phrase else []), **style.POINTS)
    layers = _layers(models, color, _symbols(evaluated, frame), _named(evaluated, *axes), threshold, *axes)
    lacking = shapes["curvature"].null_count()
    not_drawn = f"; not drawn, since no drop is supported: {format_count(lacking, 'curve')}" if lacking else ""
    return Figure(
        alt.layer(*layers, data=points, width=panel.width, height=height),
        _title(evaluated, len(models.models)),
        f"Total accuracy drop from clean to the last severity against the curvature \u03ba of the curve (mean height "
        f"above its chord as a share of the drop), on {selection.images}; bars: "
        f"{format_percent(settings.interval_level, 0)} intervals over images, clipped at the plot; shaded: "
        f"|\u03ba| \u2264 {threshold:g}; {models.phrase(selection.averaged_phrase)}{others.phrase}"
        f"labels where they fit{not_drawn}.",
        selection.source_line,
        frame,
    )


def _points(shapes: pl.DataFrame, published: pl.DataFrame, names: dict[str, str]) -> pl.DataFrame:
    """Curves that have a curvature, with drops in points; published ones first, to be drawn first."""
    behind = published.with_columns(series=pl.lit(PUBLISHED))
    return pl.concat([behind, shapes.drop_nulls("curvature")], how="diagonal_relaxed").select(
        "label",
        "series",
        "stability",
        "curvature",
        "curvature_low",
        "curvature_high",
        shape=pl.col("shape").replace_strict(SHAPE_LABELS, return_dtype=pl.String),
        name=pl.col("corruption").replace_strict(names, return_dtype=pl.String),
        drop=100 * pl.col("total_drop"),
        drop_low=100 * pl.col("total_drop_low"),
        drop_high=100 * pl.col("total_drop_high"),
    )


def _axes(points: pl.DataFrame, threshold: float, width: float, height: float) -> tuple[PlotAxis, PlotAxis]:
    """The axes of drop and curvature, with room for the shaded curvatures."""
    drops = style.domain_of([*points["drop"], *points["drop_low"], *points["drop_high"], 0, 5])
    curvatures = style.domain_of([*points["curvature"], -1.5 * threshold, 1.5 * threshold], room=0.3)
    return PlotAxis("drop", *drops, width), PlotAxis("curvature", *curvatures, height)


def _named(points: pl.DataFrame, x: PlotAxis, y: PlotAxis) -> pl.DataFrame:
    """The points of colored models whose names fit, strongly curved large drops first."""
    is_gray = pl.col("series") == OTHER_MODELS
    ranked = points.sort(is_gray, -(pl.col("curvature").abs() * pl.col("drop")))
    return style.without_overlap(ranked.with_columns(name=pl.when(~is_gray).then("name")), x, y)


def _symbols(points: pl.DataFrame, frame: Frame) -> alt.Shape:
    """The symbol channel of the column `shape`, with a legend of those that occur."""
    symbols = {SHAPE_LABELS[shape]: symbol for shape, symbol in SHAPE_SYMBOLS.items()}
    labels = [label for label in symbols if label in points["shape"].to_list()]
    scale = alt.Scale(domain=labels, range=[symbols[label] for label in labels])
    return alt.Shape("shape:N", title=None, scale=scale, legend=style.top_legend(labels, frame, **style.SYMBOLS))


def _layers(
    models: ModelColors,
    color: alt.Color,
    symbol: alt.Shape,
    named: pl.DataFrame,
    threshold: float,
    x_axis: PlotAxis,
    y_axis: PlotAxis,
) -> list[alt.Chart]:
    """The shaded curvatures, published points, intervals of colored models, points and names."""
    x = alt.X(
        "drop:Q",
        title="total drop, points",
        axis=alt.Axis(grid=False),
        scale=style.fixed_scale(x_axis.low, x_axis.high),
    )
    y = alt.Y(
        "curvature:Q",
        title=AXIS_TITLE,
        axis=style.y_axis(grid=False, format=".2~f"),
        scale=style.fixed_scale(y_axis.low, y_axis.high),
    )
    tips = [
        alt.Tooltip("label:N", title="model"),
        alt.Tooltip("name:N", title="corruption"),
        alt.Tooltip("shape:N", title="shape"),
        alt.Tooltip("stability:Q", format=".0%", title="stability (resamples with this shape)"),
        alt.Tooltip("drop:Q", format=".1f", title="drop, points"),
        alt.Tooltip("curvature:Q", format=".2f", title="curvature (late + / early \u2212)"),
    ]
    base = alt.Chart().encode(x=x, y=y, color=color)
    colored = base.transform_filter(
        alt.FieldOneOfPredicate("series", [models.series[label] for label in models.colors])
    )
    evaluated = base.transform_filter(alt.FieldOneOfPredicate("series", list(dict.fromkeys(models.series.values()))))
    shaded = alt.Chart(alt.Data(values=[{}])).mark_rect(style="band", opacity=0.55)
    return [
        shaded.encode(y=alt.datum(-threshold), y2=alt.datum(threshold)),
        style.rule_at(0, strokeDash=[2, 3]),
        base.transform_filter(alt.FieldEqualPredicate(field="series", equal=PUBLISHED))
        .mark_point(filled=True, size=12, opacity=0.45)
        .encode(tooltip=tips),
        colored.mark_rule(clip=True).encode(x="drop_low:Q", x2="drop_high:Q"),
        colored.mark_rule(clip=True).encode(y="curvature_low:Q", y2="curvature_high:Q"),
        evaluated.mark_point(filled=True, size=64 if not models.has_others else 34, opacity=1).encode(
            shape=symbol, tooltip=tips
        ),
        alt.Chart(named)
        .mark_text(align="left", baseline="bottom", dx=6, dy=-2, style="ink")
        .encode(x=x, y=y, text="name:N"),
    ]


def _title(points: pl.DataFrame, models: int) -> str:
    """Number of curves by shape."""
    counts = Counter(points["shape"])
    shapes = join_names(f"{counts[label]} {label}" for label in SHAPE_LABELS.values() if counts[label])
    whose = f" of {points['label'][0]}" if models == 1 else ""
    return f"Shapes of {format_count(len(points), 'curve')}{whose} that drop: {shapes}"
