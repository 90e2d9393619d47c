"""Attention drift against accuracy: one path a corruption, from clean to its last severity, before the null."""

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style.axes import FINE, point_size
from failmodes.analysis.charts.style.labels import Box, PlotArea, label_layers
from failmodes.analysis.charts.style.legend import LegendEntry, corruption_colours, group_legend, legend
from failmodes.analysis.charts.style.theme import GREY, PAGE, PERCENT_AXIS, ChartSize, ChartText, Layered, add_text
from failmodes.analysis.findings.attention import drift_sentence
from failmodes.analysis.formatting import join_names
from failmodes.analysis.selection import Selection, corruption_labels
from failmodes.analysis.statistics.attention import CellDrift, cell_drifts

KEY = (LegendEntry("null of the last severity", GREY, shape="diamond"),
       LegendEntry("clean maps of different images", GREY, dash=(4, 3)))  # fmt: skip

MOST_NAMED = 8  # paths with a label; of more, those that move farthest and the two that move least

NULL_HEIGHT_SHARE = 1.1  # the y axis reaches past the highest null by this


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, layout: ChartSize = PAGE) -> alt.VConcatChart:
    """Median centroid shift from the clean map (y) against accuracy (x), a panel a network.

    Raises:
        WarehouseError: no evaluation of the selection has attention paired with clean images; it says why.
    """
    cells = cell_drifts(con, selection)
    labels = list(dict.fromkeys(cell.label for cell in cells))
    names = corruption_labels(con)
    columns = 1 if len(labels) == 1 or layout.columns < 3 else 2
    plane = _plane(cells, layout, columns)
    colours = corruption_colours(con, selection.corruptions)
    panels = [_panel([c for c in cells if c.label == label], names, colours, label, plane) for label in labels]
    entries = (*KEY, *group_legend(selection.corruptions))
    body = alt.concat(*panels, columns=columns, spacing=20)
    words = ChartText(
        drift_sentence(cells, names),
        "Median distance between the attention centroid and the same image's clean one, in image widths, against "
        f"accuracy; attention for the class predicted on the clean image; {selection.images}. A path runs from clean "
        f"(0) to the last severity; the diamond above its end is its null: the same maps "
        "against another image's clean map. "
        f"Dashed: clean maps of different images, median and middle 95\u00a0% of images (shaded{_cut(cells, plane)})."
        f"{_named(selection)}{_without(selection, labels)}",
        selection.source_line,
    )
    return add_text((legend(entries, layout.width_px - 70), body), words, layout)


def _plane(cells: list[CellDrift], layout: ChartSize, columns: int) -> PlotArea:
    accuracies = [cell.accuracy for cell in cells]
    low, high = min(accuracies), max(accuracies)
    pad = max(0.02, 0.08 * (high - low))
    top = NULL_HEIGHT_SHARE * max(max(cell.shift, cell.null_median) for cell in cells)
    width = (layout.width_px - 60 * columns) / columns
    return PlotArea(low - pad, min(1.02, high + pad), -0.09 * top, top, width, 300 if layout.columns > 2 else 260)


def _panel(
    cells: list[CellDrift], names: dict[str, str], colours: dict[str, str], title: str, plane: PlotArea
) -> Layered:
    rows = [{"corruption": c.corruption, "name": names[c.corruption], "severity": c.severity, "accuracy": c.accuracy,
             "shift": c.shift, "null": c.null_median, "colour": colours[c.corruption]} for c in cells]  # fmt: skip
    data = pl.DataFrame(rows)
    x = alt.X("accuracy:Q", title="accuracy", axis=alt.Axis(labelExpr=PERCENT_AXIS, grid=False, tickCount=6),
              scale=alt.Scale(domain=[plane.x_low, plane.x_high], nice=False))  # fmt: skip
    y = alt.Y("shift:Q", title="centroid shift, image widths", axis=alt.Axis(tickCount=5, format="~g", domain=False),
              scale=alt.Scale(domain=[plane.y_low, plane.y_high], nice=False))  # fmt: skip
    colour = alt.Color("colour:N", scale=None, legend=None)
    base = alt.Chart(data).encode(x=x, y=y, color=colour)
    tips = [alt.Tooltip("name:N", title="corruption"), alt.Tooltip("severity:Q"),
            alt.Tooltip("accuracy:Q", format=".1%"), alt.Tooltip("shift:Q", format=".3f")]  # fmt: skip
    ends = data.group_by("corruption", maintain_order=True).last()
    ranked = ends.sort("shift", descending=True)
    named = ends if len(ends) <= MOST_NAMED else pl.concat([ranked.head(MOST_NAMED - 2), ranked.tail(2)])
    sizes = [FINE, 30] if point_size(data) == FINE else [14, 70]
    layers = [
        *_clean_null(cells, plane),
        *_end_nulls(ends, x, colour),
        base.mark_line(strokeWidth=1.6, opacity=0.9).encode(detail="corruption:N", order="severity:Q"),
        base.mark_point(filled=True, opacity=1).encode(
            tooltip=tips, size=alt.Size("severity:Q", scale=alt.Scale(range=sizes), legend=None)
        ),
        *label_layers(
            list(zip(named["accuracy"], named["shift"], strict=True)), named["name"].to_list(), plane,
            [*_paths(data, plane), *_null_boxes(cells, plane)], x, y, named["colour"].to_list(),
        ),
    ]  # fmt: skip
    return alt.layer(*layers, width=plane.width, height=plane.height, title=alt.Title(title, frame="group", offset=6))


def _clean_null(cells: list[CellDrift], plane: PlotArea) -> list[alt.Chart]:
    """How far clean maps of different images lie apart: median and middle 95 % of images, across the panel."""
    clean = next((cell for cell in cells if not cell.severity), None)
    if clean is None:
        return []
    base = alt.Chart(pl.DataFrame({"low": [max(clean.null_low, plane.y_low)], "shift": [clean.null_median],
                                   "high": [min(clean.null_high, plane.y_high)]}))  # fmt: skip
    across = {"x": alt.value(0), "x2": alt.value(plane.width)}
    return [
        base.mark_rect(style="band", opacity=0.5).encode(y="low:Q", y2="high:Q", **across),
        base.mark_rule(style="muted-line", strokeDash=[4, 3]).encode(y="shift:Q", **across),
    ]


def _end_nulls(ends: pl.DataFrame, x: alt.X, colour: alt.Color) -> list[alt.Chart]:
    """Above each path's end its own null: the same maps against another image's clean map."""
    base = alt.Chart(ends).encode(x=x, color=colour)
    null = alt.Y("null:Q")
    return [
        base.mark_rule(strokeDash=[1, 3], strokeWidth=1).encode(y="shift:Q", y2="null:Q"),
        base.mark_point(shape="diamond", size=46, strokeWidth=1.4, opacity=1, style="hollow").encode(
            y=null, tooltip=[alt.Tooltip("name:N", title="null of"), alt.Tooltip("null:Q", format=".3f")]
        ),
    ]


def _paths(data: pl.DataFrame, plane: PlotArea) -> list[Box]:
    """Boxes along every path, so that labels stay off the lines."""
    boxes = []
    for path in data.partition_by("corruption", maintain_order=True):
        pixels = [plane.pixel(x, y) for x, y in zip(path["accuracy"], path["shift"], strict=True)]
        for (x0, y0), (x1, y1) in zip(pixels, pixels[1:], strict=False):
            for step in range(11):
                x, y = x0 + (x1 - x0) * step / 10, y0 + (y1 - y0) * step / 10
                boxes.append((x - 3, y - 3, x + 3, y + 3))
    return boxes


def _null_boxes(cells: list[CellDrift], plane: PlotArea) -> list[Box]:
    """Where the nulls of the ends and the line of the clean null stand."""
    ends = {cell.corruption: cell for cell in cells}.values()  # the last severity of each
    boxes = [plane.box(c.accuracy, c.accuracy, c.null_median, c.null_median, pad=6) for c in ends]
    boxes += [plane.box(c.accuracy, c.accuracy, min(c.shift, c.null_median), max(c.shift, c.null_median)) for c in ends]
    _, down = plane.pixel(plane.x_low, next((c.null_median for c in cells if not c.severity), plane.y_high))
    return [*boxes, (0, down - 2, plane.width, down + 2)]


def _cut(cells: list[CellDrift], plane: PlotArea) -> str:
    return ", cut at the top" if any(c.null_high > plane.y_high for c in cells if not c.severity) else ""


def _named(selection: Selection) -> str:
    return " Named: the paths that end farthest and nearest." if len(selection.corruptions) > MOST_NAMED else ""


def _without(selection: Selection, shown: list[str]) -> str:
    missing = [label for label in selection.labels.values() if label not in shown]
    return f" Without attention: {join_names(missing)}." if missing else ""
