"""Attention drift against accuracy: one path a corruption, from clean to its last severity, before the null."""

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style import axes
from failmodes.analysis.charts.style.combining import in_grid, layered
from failmodes.analysis.charts.style.focus import add_focus, focus_opacity, pointed_layer
from failmodes.analysis.charts.style.labels import (
    Box,
    CorruptionStyles,
    LegendEntry,
    PlotArea,
    corruption_styles,
    legend,
)
from failmodes.analysis.charts.style.placement import PlacedLabels, label_layers, line_boxes, unnamed_note
from failmodes.analysis.charts.style.theme import GRAY, PAGE, ChartSize, ChartText, Layered, add_text
from failmodes.analysis.render.formatting import (
    MAX_LISTED,
    NO_BREAK,
    capitalize_first,
    format_number,
    join_names,
    lower_label,
)
from failmodes.analysis.selection import Selection, corruption_labels
from failmodes.analysis.statistics.attention import Lead, attention_at_last, drift_cells

SHOWN = ("corruption", "name", "severity", "accuracy", "shift", "null", "color")
NULLS = (LegendEntry("null of the last severity", GRAY, shape="diamond"),
         LegendEntry("clean maps of different images", GRAY, dash=(4, 3)))  # fmt: skip

WIDTHS = f"image{NO_BREAK}widths"
MOST_LABELED = 8  # paths with a label; of more, those that move farthest and the two that move least
NULL_HEIGHT_SHARE = 1.1  # the y axis reaches past the highest null by this


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, size: ChartSize = PAGE) -> alt.VConcatChart:
    """Median centroid shift from the clean map (y) against accuracy (x), a panel a model.

    Raises:
        WarehouseError: no evaluation of the selection has attention paired with clean images; it says why.
    """
    styles = corruption_styles(con, selection.corruptions)
    cells = drift_cells(con, selection).with_columns(
        name=pl.col("corruption").replace_strict(corruption_labels(con)),
        color=pl.col("corruption").replace_strict(styles.colors),
    )
    paths = {label: cells.filter(label=label) for label in cells["label"].unique(maintain_order=True)}
    labels = list(paths)
    columns, width = axes.model_columns(size, len(labels), 60)
    plot_area = _plot_area(cells, width, size.height(300 if size.is_wide else 260, 150))
    named = {label: _labels(path, plot_area) for label, path in paths.items()}
    panels = [
        _panel(path, styles, pointed_layer(place), label, plot_area, named[label])
        for place, (label, path) in enumerate(paths.items())
    ]
    unnamed = unnamed_note(list(named.values()))
    cut = ", cut at the top" if (cells.filter(severity=0)["null_high"] > plot_area.y_high).any() else ""
    labeled = " Named: the paths that end farthest and nearest." if len(selection.corruptions) > MOST_LABELED else ""
    missing = [label for label in selection.labels.values() if label not in labels]
    text = ChartText(
        drift_sentence(con, selection),
        "Median distance between the attention centroid and the same image's clean one, in image widths, against "
        f"accuracy; attention for the class predicted on the clean image; {selection.images}. A path runs from clean "
        f"(0) to the last severity; the diamond above its end is its null: the same maps "
        "against another image's clean map. "
        f"Dashed: clean maps of different images, median and middle 95% of images (shaded{cut})."
        f"{labeled}{unnamed}{f' Without attention: {join_names(missing)}.' if missing else ''}",
        selection.source_line,
    )
    panel_grid = in_grid(*panels, columns=columns, spacing=20)
    chart = add_text([*legend((*styles.entries, *NULLS), size.width_px - 70), panel_grid], text, size)
    return add_focus(chart, "corruption", len(panels))


def drift_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Where attention moves most, where that is clear: of each model, or of many in how many."""
    names = {corruption: lower_label(label) for corruption, label in corruption_labels(con).items()}
    leads = {e.label: attention_at_last(con, e, selection.corruptions).farthest for e in selection.evaluations}
    known = {label: lead for label, lead in leads.items() if lead}
    clear = {label: lead for label, lead in known.items() if lead.is_clear}
    if len(known) > MAX_LISTED:
        return f"Under one corruption attention moves more than under any other in {len(clear)} of {len(known)} models"
    each = [_farthest(label, lead, names) for label, lead in known.items()]
    return capitalize_first(join_names(each)) if each else "Too few images have maps to say where attention moves most"


def _farthest(label: str, lead: Lead, names: dict[str, str]) -> str:
    shift = f"{format_number(lead.value, 2)} {WIDTHS}"
    if lead.is_clear:
        return f"attention of {label} moves most under {names[lead.corruption]}: {shift}"
    other = names[lead.runner_up] if lead.runner_up else "others"
    return f"attention of {label} moves {shift} under {names[lead.corruption]}, not told apart from {other}"


def _plot_area(cells: pl.DataFrame, width: float, height: float) -> PlotArea:
    low, high = min(cells["accuracy"]), max(cells["accuracy"])
    pad = max(0.02, 0.08 * (high - low))
    top = NULL_HEIGHT_SHARE * max(*cells["shift"], *cells["null"])
    return PlotArea(low - pad, min(1.02, high + pad), -0.09 * top, top, width, height)


def _channels(plot_area: PlotArea) -> tuple[alt.X, alt.Y]:
    x_scale, y_scale = plot_area.scales()
    x = alt.X("accuracy:Q", title="accuracy", axis=axes.percent_axis(6, grid=False), scale=x_scale)
    return x, alt.Y("shift:Q", title="centroid shift, image widths", scale=y_scale,
                    axis=alt.Axis(tickCount=5, format="~g", domain=False))  # fmt: skip


def _ends(data: pl.DataFrame) -> pl.DataFrame:
    return data.group_by("corruption", maintain_order=True).last()


def _labels(data: pl.DataFrame, plot_area: PlotArea) -> PlacedLabels:
    """The name of a corruption at the end of its path: of all, or of those that move farthest and least."""
    ends = _ends(data)
    ranked = ends.sort("shift", descending=True)
    labeled = ends if len(ends) <= MOST_LABELED else pl.concat([ranked.head(MOST_LABELED - 2), ranked.tail(2)])
    obstacles = [*_path_boxes(data, plot_area), *_null_boxes(data, plot_area)]
    shown = data.filter(pl.col("severity") > 0).select(SHOWN)  # clean belongs to every path
    return label_layers(labeled.select(SHOWN), *_channels(plot_area), plot_area, obstacles, shown)


def _panel(
    data: pl.DataFrame,
    styles: CorruptionStyles,
    pointed: str,
    title: str,
    plot_area: PlotArea,
    named: PlacedLabels,
) -> Layered:
    x, y = _channels(plot_area)
    base = alt.Chart(data.select(SHOWN)).encode(x=x, y=y, color=axes.COLOR_FIELD)
    tips = [alt.Tooltip("name:N", title="corruption"), alt.Tooltip("severity:Q"),
            alt.Tooltip("accuracy:Q", format=".1%"),
            alt.Tooltip("shift:Q", format=".3f", title="centroid shift, image widths"),
            alt.Tooltip("null:Q", format=".3f", title="its null")]  # fmt: skip
    sizes = [axes.FINE, 30] if axes.point_size(data) == axes.FINE else [14, 70]
    layers = [
        *_clean_null(data.filter(severity=0).head(1), plot_area),
        *_end_nulls(_ends(data).select(SHOWN), x),
        base.mark_line(strokeWidth=1.6).encode(
            detail=alt.Detail("corruption:N"),
            order=alt.Order("severity:Q"),
            strokeDash=styles.dash,
            opacity=focus_opacity(),
        ),
        base.mark_point(filled=True)
        .encode(
            tooltip=tips,
            opacity=focus_opacity(),
            size=alt.Size("severity:Q", scale=alt.Scale(range=sizes), legend=None),
        )
        .properties(name=pointed),
        *named.layers,
    ]
    title_of_panel = axes.panel_title(title, plot_area.width)
    return layered(*layers, width=plot_area.width, height=plot_area.height, title=title_of_panel)


def _clean_null(clean: pl.DataFrame, plot_area: PlotArea) -> list[alt.Chart]:
    """How far clean maps of different images lie apart: median and middle 95 % of images, across the panel."""
    if clean.is_empty():
        return []
    base = alt.Chart(clean.select(
        low=pl.max_horizontal("null_low", plot_area.y_low), shift="null",
        high=pl.min_horizontal("null_high", plot_area.y_high),
    ))  # fmt: skip
    across = {"x": alt.XValue(0), "x2": alt.X2Value(plot_area.width)}
    return [
        base.mark_rect(style="band", opacity=0.5).encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q"), **across),
        base.mark_rule(style="muted-line", strokeDash=[4, 3]).encode(y=alt.Y("shift:Q"), **across),
    ]


def _end_nulls(ends: pl.DataFrame, x: alt.X) -> list[alt.Chart]:
    """Above each path's end its own null: the same maps against another image's clean map."""
    base = alt.Chart(ends).encode(x=x, color=axes.COLOR_FIELD)
    tips = [
        alt.Tooltip("name:N", title="null of"),
        alt.Tooltip("null:Q", format=".3f", title="centroid shift, image widths"),
    ]
    diamond = base.mark_point(shape="diamond", size=46, strokeWidth=1.4, opacity=1, style="hollow")
    return [
        base.mark_rule(strokeDash=[1, 3], strokeWidth=1).encode(y=alt.Y("shift:Q"), y2=alt.Y2("null:Q")),
        diamond.encode(y=alt.Y("null:Q"), tooltip=tips),
    ]


def _path_boxes(data: pl.DataFrame, plot_area: PlotArea) -> list[Box]:
    """Boxes along every path, so that labels stay off the lines."""
    paths = data.partition_by("corruption", maintain_order=True)
    lines = [[plot_area.pixel(*point) for point in path.select("accuracy", "shift").rows()] for path in paths]
    return [box for line in lines for box in line_boxes(line)]


def _null_boxes(data: pl.DataFrame, plot_area: PlotArea) -> list[Box]:
    """Where the nulls of the ends are drawn, and the line of the clean null."""
    ends = _ends(data).select("accuracy", "shift", "null").rows()
    boxes = [plot_area.box(accuracy, accuracy, null, null, pad=6) for accuracy, _, null in ends]
    boxes += [plot_area.box(accuracy, accuracy, *sorted((shift, null))) for accuracy, shift, null in ends]
    clean = data.filter(severity=0)["null"]
    _, down = plot_area.pixel(plot_area.x_low, clean[0] if len(clean) else plot_area.y_high)
    return [*boxes, (0, down - 2, plot_area.width, down + 2)]
