"""Shape space: by how much accuracy drops under a corruption, against whether it drops early or late."""

from collections import Counter

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.model_colors import model_colors
from failmodes.analysis.charts.published_layers import PublishedBehind, published_behind
from failmodes.analysis.charts.style.axes import COLOR_FIELD
from failmodes.analysis.charts.style.combining import layered
from failmodes.analysis.charts.style.labels import LegendEntry, PlotArea, legend
from failmodes.analysis.charts.style.placement import PlacedLabels, label_layers, line_boxes, unnamed_note
from failmodes.analysis.charts.style.theme import PAGE, SHAPE_SYMBOLS, ChartSize, ChartText, Layered, add_text
from failmodes.analysis.render.formatting import (
    MAX_LISTED,
    capitalize_first,
    format_count,
    format_percent,
    join_names,
    lower_label,
)
from failmodes.analysis.selection import Selection, corruption_labels, read_for_selection
from failmodes.analysis.statistics.shape_tables import stored_settings
from failmodes.warehouse.database.own_tables import SHAPE_LABELS

AXIS_TITLE = "\u2190 drops early\u00a0\u00a0\u00a0curvature \u03ba\u00a0\u00a0\u00a0drops late \u2192"

VERBS = {"abrupt": ("drops abruptly", "drop abruptly"), "two_steps": ("drops in two steps", "drop in two steps"),
         "late": ("drops late", "drop late"), "middle": ("drops most steeply in the middle",
         "drop most steeply in the middle"), "near_linear": ("drops near-linearly", "drop near-linearly"),
         "early": ("drops early", "drop early"), "inconclusive": ("is inconclusive", "are inconclusive")}  # fmt: skip

MARGIN = 0.08  # of each domain, kept free around the points


def chart(
    con: duckdb.DuckDBPyConnection, selection: Selection, *, size: ChartSize = PAGE, published: bool = True
) -> alt.VConcatChart:
    """Total drop in points (x) against the curvature (y), both with intervals; only falling curves have one.

    Published models on the data set are small and gray behind, where the warehouse holds some and `published` is set.
    """
    names, settings = corruption_labels(con), stored_settings(con)
    others = published_behind(con, selection, names, shown=published)
    shapes = read_for_selection(con, "shapes", selection).with_columns(
        name=pl.col("corruption").replace_strict(names, return_dtype=pl.String),
        drop=100 * pl.col("total_drop"), drop_low=100 * pl.col("total_drop_low"),
        drop_high=100 * pl.col("total_drop_high"),
    )  # fmt: skip
    models = model_colors(con, selection)
    kinds = shapes["shape"].to_list()
    shapes = shapes.with_columns(
        pl.Series("class", kinds, dtype=pl.String),
        pl.Series("shape_name", [SHAPE_LABELS[kind] for kind in kinds], dtype=pl.String),
        color=pl.col("label").replace_strict(models.run_colors, return_dtype=pl.String),
        is_behind=pl.col("label").replace_strict(models.of_runs, return_dtype=pl.String).is_in(models.background),
    )
    # models in gray come first, and so lie behind those in color
    points = shapes.filter(pl.col("curvature").is_not_null()).sort(
        "is_behind", "label", "corruption", descending=[True, False, False]
    )
    labels = [label for label in models.of_runs if label in points["label"].to_list()]
    plot_area = _plot_area(points, others, settings.curvature_threshold, size)
    named = _labels(points, plot_area)
    omitted = _omitted(shapes.filter(pl.col("curvature").is_null()), len(selection.labels))
    behind = f" {capitalize_first(models.phrase(selection.averaged_phrase))}." if models.background else ""
    text = ChartText(
        _finding(points, labels),
        f"Total drop in accuracy, clean to last severity, against the curvature of the curve (mean height above its "
        f"chord as a share of the drop), on {selection.images}; bars: {format_percent(settings.interval_level, 0)} "
        f"intervals over images; shaded: curvature within \u00b1{settings.curvature_threshold:g}"
        f"{_published_phrase(others)}{omitted}.{behind}{unnamed_note([named])}",
        selection.source_line,
    )
    plot = _plot(points, others, plot_area, settings.curvature_threshold, named)
    entries = [*models.entries(), *_entries(points), *others.entries("circle")]
    return add_text([*legend(entries, size.width_px - 70), plot], text, size)


def _published_phrase(others: PublishedBehind) -> str:
    return f"; small and gray: {others.name}, {others.caution}, without intervals" if others.name else ""


def _entries(points: pl.DataFrame) -> list[LegendEntry]:
    present = [shape for shape in SHAPE_SYMBOLS if shape in points["class"].to_list()]
    entries = [LegendEntry(SHAPE_LABELS[shape], shape=SHAPE_SYMBOLS[shape]) for shape in present]
    return entries or [LegendEntry("no curve drops", shape=SHAPE_SYMBOLS["flat"])]


def _channels(plot_area: PlotArea) -> tuple[alt.X, alt.Y]:
    x_scale, y_scale = plot_area.scales()
    x = alt.X("drop:Q", title="total drop, points", axis=alt.Axis(grid=False), scale=x_scale)
    return x, alt.Y("curvature:Q", title=AXIS_TITLE, axis=alt.Axis(grid=False, format=".2~f"), scale=y_scale)


def _plot(
    points: pl.DataFrame, others: PublishedBehind, plot_area: PlotArea, threshold: float, named: PlacedLabels
) -> Layered:
    x, y = _channels(plot_area)
    symbol = alt.Shape("class:N", legend=None,
                       scale=alt.Scale(domain=list(SHAPE_SYMBOLS), range=list(SHAPE_SYMBOLS.values())))  # fmt: skip
    base = alt.Chart(points).encode(color=COLOR_FIELD)
    tips = [alt.Tooltip("label:N", title="model"), alt.Tooltip("name:N", title="corruption"),
            alt.Tooltip("shape_name:N", title="shape"),
            alt.Tooltip("stability:Q", format=".0%", title="resamples that agree"),
            alt.Tooltip("drop:Q", format=".1f", title="drop, points"),
            alt.Tooltip("curvature:Q", format=".2f", title="curvature (late + / early \u2212)")]  # fmt: skip
    band = alt.Chart(pl.DataFrame({"low": [-threshold], "high": [threshold]})).mark_rect(style="band", opacity=0.55)
    zero = alt.Chart(pl.DataFrame({"curvature": [0.0]})).mark_rule(style="muted-line", strokeDash=[2, 3])
    interval = base.mark_rule(strokeWidth=1)
    pairs = alt.Chart(points).mark_line(strokeWidth=0.5, style="muted-line")
    joined = [pairs.encode(x=x, y=y, detail=alt.Detail("corruption:N"))] if _are_few(points) else []
    layers = [
        band.encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q"), x=alt.XValue(0), x2=alt.X2Value(plot_area.width)),
        zero.encode(y=y),
        *others.points(x, y),
        *joined,
        interval.encode(x=alt.X("drop_low:Q"), x2=alt.X2("drop_high:Q"), y=y),
        interval.encode(x=x, y=alt.Y("curvature_low:Q"), y2=alt.Y2("curvature_high:Q")),
        base.mark_point(filled=True, size=70, opacity=1).encode(x=x, y=y, shape=symbol, tooltip=tips),
        *named.layers,
    ]
    return layered(*layers, width=plot_area.width, height=plot_area.height)


def _are_few(points: pl.DataFrame) -> bool:
    """Whether lines between the points of a corruption, one a model, can be followed."""
    return points["label"].n_unique() <= MAX_LISTED


def _labels(points: pl.DataFrame, plot_area: PlotArea) -> PlacedLabels:
    """The name of each corruption beside the point of the first model, placed clear of everything else."""
    rows = points.rows(named=True)
    obstacles = [plot_area.box(r["drop_low"], r["drop_high"], r["curvature"], r["curvature"]) for r in rows]
    obstacles += [plot_area.box(r["drop"], r["drop"], r["curvature_low"], r["curvature_high"]) for r in rows]
    obstacles += [plot_area.box(r["drop"], r["drop"], r["curvature"], r["curvature"], pad=6) for r in rows]
    if _are_few(points):
        for pair in points.partition_by("corruption", maintain_order=True):
            obstacles += line_boxes([plot_area.pixel(*point) for point in pair.select("drop", "curvature").rows()])
    first = points.unique("corruption", keep="first" if _are_few(points) else "last", maintain_order=True)
    x, y = _channels(plot_area)
    return label_layers(first.with_columns(color=pl.lit(None)), x, y, plot_area, obstacles, points)


def _plot_area(points: pl.DataFrame, others: PublishedBehind, threshold: float, size: ChartSize) -> PlotArea:
    x = [*points["drop_low"], *points["drop_high"], *others.shapes["drop"], 0.0, 5.0]
    y = [
        *points["curvature_low"],
        *points["curvature_high"],
        *others.shapes["curvature"],
        -1.5 * threshold,
        1.5 * threshold,
    ]
    x_pad, y_pad = MARGIN * (max(x) - min(x)), MARGIN * (max(y) - min(y))
    return PlotArea(
        min(x) - x_pad / 4, max(x) + x_pad, min(y) - y_pad, max(y) + y_pad,
        width=size.width_px - 70, height=size.height(380 if size.is_wide else 300, 200),
    )  # fmt: skip


def _finding(points: pl.DataFrame, labels: list[str]) -> str:
    """How many curves fall late and early, by class, and how many are inconclusive: the classes that are stable."""
    if points.is_empty():
        return "No corruption is shown to cost enough accuracy to have a shape"
    counts = Counter(points["class"])
    present = [(counts[shape], VERBS[shape][counts[shape] > 1]) for shape in VERBS if counts[shape]]
    phrase = join_names(f"{count} {verb}" for count, verb in present)
    whose = f"{labels[0]}: of" if len(labels) == 1 else "Of"
    return f"{whose} {format_count(len(points), 'curve')} that drop, {phrase}"


def _omitted(others: pl.DataFrame, models: int) -> str:
    """Curves that have no curvature, since they are not shown to drop."""
    if others.is_empty():
        return ""
    if models > MAX_LISTED:
        count = format_count(len(others), "curve")
        return f"; left out, because not shown to drop: {count} of {others['label'].n_unique()} models"
    names = join_names(lower_label(name) for name in others["name"].unique(maintain_order=True))
    return f"; left out, because not shown to drop: {names}"
