"""Shape space: total accuracy drop under each corruption against curvature (early or late drop)."""

from collections import Counter

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style import frame as style
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE, Frame, PlotAxis
from failmodes.analysis.charts.style.published import PUBLISHED, published_behind
from failmodes.analysis.charts.style.series import OTHERS, model_colors
from failmodes.analysis.charts.style.theme import GRAY, SHAPE_SYMBOLS
from failmodes.analysis.evaluations.selection import Selection, corruption_names, read_for_selection
from failmodes.analysis.render.formatting import format_count, format_percent, join_names
from failmodes.analysis.statistics.curve_shape import stored_settings
from failmodes.runtime.errors import WarehouseError
from failmodes.warehouse.database_schema import SHAPE_LABELS

AXIS_TITLE = "\u2190 drops early\u00a0\u00a0\u00a0curvature \u03ba\u00a0\u00a0\u00a0drops late \u2192"


def chart(
    con: duckdb.DuckDBPyConnection, selection: Selection, *, frame: Frame = PAGE, published: bool = True
) -> Figure:
    """Total drop in points (x) against curvature (y), both with intervals; only curves that drop have a curvature.

    Published models on the dataset are small and gray, if the warehouse has any and `published` is set.

    Raises:
        WarehouseError: no accuracy drop is supported.
    """
    names, settings, models = corruption_names(con, selection), stored_settings(con), model_colors(con, selection)
    others = published_behind(con, selection, shown=published)
    shapes = models.with_series(read_for_selection(con, "shapes", selection))
    behind = others.shapes.with_columns(series=pl.lit(PUBLISHED))
    points = pl.concat([behind, shapes.filter(pl.col("curvature").is_not_null())], how="diagonal_relaxed").select(
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
    own = points.filter(pl.col("series") != PUBLISHED)
    if own.is_empty():
        raise WarehouseError("no curve has a curvature: no accuracy drop is supported")
    x_low, x_high = style.domain_of([*points["drop"], *points["drop_low"], *points["drop_high"], 0, 5])
    least = 1.5 * settings.curvature_threshold
    y_low, y_high = style.domain_of([*points["curvature"], -least, least], room=0.3)
    panel = frame.panels(1, 1, left_px=style.PLAIN_AXIS_PX)
    height = 360 if frame.is_wide else 280
    ranked = own.sort(pl.col("series") == OTHERS, -(pl.col("curvature").abs() * pl.col("drop")))
    named = style.without_overlap(
        ranked.with_columns(name=pl.when(pl.col("series") != OTHERS).then("name")),
        PlotAxis("drop", x_low, x_high, panel.width),
        PlotAxis("curvature", y_low, y_high, height),
    )
    kinds = [SHAPE_LABELS[kind] for kind in SHAPE_SYMBOLS if SHAPE_LABELS[kind] in own["shape"].to_list()]
    x = alt.X("drop:Q", title="total drop, points", axis=alt.Axis(grid=False), scale=style.fixed_scale(x_low, x_high))
    y = alt.Y(
        "curvature:Q",
        title=AXIS_TITLE,
        axis=style.y_axis(grid=False, format=".2~f"),
        scale=style.fixed_scale(y_low, y_high),
    )
    color = models.color(frame, *([(PUBLISHED, GRAY)] if others.phrase else []), **style.POINTS)
    symbols = alt.Scale(
        domain=kinds, range=[SHAPE_SYMBOLS[kind] for kind in SHAPE_SYMBOLS if SHAPE_LABELS[kind] in kinds]
    )
    shape = alt.Shape("shape:N", title=None, scale=symbols, legend=style.top_legend(kinds, frame, **style.SYMBOLS))
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
    mine = base.transform_filter(alt.FieldOneOfPredicate("series", list(dict.fromkeys(models.series.values()))))
    threshold = alt.Chart(alt.Data(values=[{}])).mark_rect(style="band", opacity=0.55)
    plot = alt.layer(
        threshold.encode(y=alt.datum(-settings.curvature_threshold), y2=alt.datum(settings.curvature_threshold)),
        style.rule_at(0, strokeDash=[2, 3]),
        base.transform_filter(alt.FieldEqualPredicate(field="series", equal=PUBLISHED))
        .mark_point(filled=True, size=12, opacity=0.45)
        .encode(tooltip=tips),
        colored.mark_rule(clip=True).encode(x="drop_low:Q", x2="drop_high:Q"),
        colored.mark_rule(clip=True).encode(y="curvature_low:Q", y2="curvature_high:Q"),
        mine.mark_point(filled=True, size=64 if not models.has_others else 34, opacity=1).encode(
            shape=shape, tooltip=tips
        ),
        alt.Chart(named)
        .mark_text(align="left", baseline="bottom", dx=6, dy=-2, style="ink")
        .encode(x=x, y=y, text="name:N"),
        data=points,
        width=panel.width,
        height=height,
    )
    left = shapes.filter(pl.col("curvature").is_null())
    return Figure(
        plot,
        _title(own, len(models.models)),
        f"Total accuracy drop from clean to the last severity against the curvature \u03ba of the curve (mean height "
        f"above its chord as a share of the drop), on {selection.images}; bars: "
        f"{format_percent(settings.interval_level, 0)} intervals over images, clipped at the plot; shaded: "
        f"|\u03ba| \u2264 {settings.curvature_threshold:g}; {models.phrase(selection.averaged_phrase)}{others.phrase}"
        f"labels where they fit; not drawn, since no drop is supported: {format_count(len(left), 'curve')}.",
        selection.source_line,
        frame.width_px,
    )


def _title(points: pl.DataFrame, models: int) -> str:
    """Number of curves by shape."""
    counts = Counter(points["shape"])
    shapes = join_names(f"{counts[label]} {label}" for label in SHAPE_LABELS.values() if counts[label])
    whose = f" of {points['label'][0]}" if models == 1 else ""
    return f"Shapes of {format_count(len(points), 'curve')}{whose} that drop: {shapes}"
