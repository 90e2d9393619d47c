"""Differences of two models: accuracy of the second minus that of the first along severity, a panel a corruption."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.model_colors import model_colors
from failmodes.analysis.charts.style import axes
from failmodes.analysis.charts.style.combining import in_grid, layered
from failmodes.analysis.charts.style.labels import LegendEntry, legend, text_width
from failmodes.analysis.charts.style.theme import GRAY, MODEL_COLORS, PAGE, ChartSize, ChartText, Layered, add_text
from failmodes.analysis.judging.compare import Comparison, Difference, compare_models
from failmodes.analysis.judging.compare_text import ComparisonText, crossover_text
from failmodes.analysis.once import read_once
from failmodes.analysis.render.formatting import format_count, format_number, format_percent
from failmodes.analysis.selection import LABELS, Selection
from failmodes.analysis.statistics.opened_models import OpenedModel
from failmodes.analysis.trained_models import TrainedModel, trained_models
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.schema import CLEAN

PANEL_HEIGHT_PX, LEAST_HEIGHT_PX = 104, 66
AXIS_PX, RIGHT_PX, TITLE_PX = 48, 8, 12.5
LEAST_RANGE, AXIS_MARGIN = 0.02, 1.06  # of the y axis in accuracy either way, and around the largest value
POINT_SIZE, FINE_SIZE = 34, 14


class DifferenceFrame(NamedTuple):
    """What all panels share: the size of the plot, the ends of both axes, the margin, and names and colors."""

    width: float
    height: float
    last: float
    low: float
    high: float
    margin: float
    names: Mapping[str, str]
    colors: Mapping[str, str]


def chart(
    con: duckdb.DuckDBPyConnection, selection: Selection, *, named: Sequence[str] = (), size: ChartSize = PAGE
) -> alt.VConcatChart:
    """The differences of the selection's two models, the second minus the first.

    Args:
        con: the warehouse.
        selection: of the two.
        named: their labels or evaluations in the order in which they are compared, as in `failmodes compare`; of those
            that it does not name the selection's order holds.
        size: page or paper.

    Raises:
        StudyError: they are not two; the message says how to name two.
    """
    colors = model_colors(con, selection).colors
    return draw(_compared(con, selection, tuple(named)), selection.images, colors=colors, size=size)


@read_once
def _compared(con: duckdb.DuckDBPyConnection, selection: Selection, named: tuple[str, ...]) -> Comparison:
    """The comparison of a selection's two models: once, however often a figure is fitted to its width."""
    models = sorted(trained_models(selection.evaluations), key=lambda model: _place(model, named))
    if len(models) != 2:
        found = "one model is" if len(models) == 1 else f"{len(models)} models are"
        raise StudyError(f"differences are of two models, and {found} chosen: name two, with --model A --model B")
    a, b = (OpenedModel(con, Path(), model, replace(selection, evaluations=model.runs)) for model in models)
    return compare_models(a, b, corruptions=selection.corruptions)


def _place(model: TrainedModel, named: Sequence[str]) -> int:
    """Where a model stands among names, each a label, one without its seed, or an evaluation's first letters."""
    return next(
        (
            place
            for place, name in enumerate(named)
            if any(name in map(run.facts.get, LABELS) or run.evaluation_id.startswith(name) for run in model.runs)
        ),
        len(named),
    )


def draw(
    comparison: Comparison, images: str = "", *, colors: Mapping[str, str] | None = None, size: ChartSize = PAGE
) -> alt.VConcatChart:
    """The chart of a comparison.

    Args:
        comparison: what was compared.
        images: what it is on, such as 500 images of CIFAR-10; their number alone if not given.
        colors: of models by label; of others the first two of the theme.
        size: page or paper.
    """
    order = list(comparison.corruptions)
    titles = {one.corruption: one.label for one in order}
    columns = axes.corruption_columns(size, len(order), max(text_width(t, TITLE_PX) for t in titles.values()))
    frame = _frame(comparison, colors or {}, size, columns)
    panels = [
        _panel(comparison, one, frame, is_left=not place % columns,
               is_last=place // columns == (len(order) - 1) // columns)
        for place, one in enumerate(order)
    ]  # fmt: skip
    grid = in_grid(*panels, columns=columns, spacing={"row": 16, "column": 10})
    subtitle = _subtitle(comparison, images or format_count(comparison.pairing.image_count, "image"), frame)
    text = ChartText(ComparisonText(comparison).headline, subtitle, _source(comparison))
    return add_text([*legend(_entries(comparison, frame), size.width_px - AXIS_PX - 40), grid], text, size)


def _frame(comparison: Comparison, colors: Mapping[str, str], size: ChartSize, columns: int) -> DifferenceFrame:
    labels = (comparison.a.label, comparison.b.label)
    chosen = [colors.get(label, GRAY) for label in labels]
    if GRAY in chosen or chosen[0] == chosen[1]:
        chosen = list(MODEL_COLORS[:2])
    ends = [end for cell in comparison.cells for end in cell.estimate[1:]]
    low = min(-LEAST_RANGE, -comparison.margin, *ends) * AXIS_MARGIN
    high = max(LEAST_RANGE, comparison.margin, *ends) * AXIS_MARGIN
    return DifferenceFrame(
        width=(size.width_px - AXIS_PX - 16) / columns - RIGHT_PX - 10,
        height=size.height(PANEL_HEIGHT_PX, LEAST_HEIGHT_PX),
        last=max(cell.severity or 0.0 for cell in comparison.cells),
        low=low,
        high=high,
        margin=comparison.margin,
        names={"a": labels[0], "b": labels[1]},
        colors={"a": chosen[0], "b": chosen[1], "": GRAY},
    )


def _panel(comparison: Comparison, one: Difference, frame: DifferenceFrame, *, is_left: bool, is_last: bool) -> Layered:
    """Zero, margin, differences with intervals, and where the curves cross."""
    cells = [cell for cell in comparison.cells if cell.corruption in (CLEAN, one.corruption)]
    points = pl.DataFrame([_point(cell, frame, comparison.has_verdict) for cell in cells]).sort("severity")
    x = axes.severity_axis(frame.last, title=is_left and is_last)
    scale = axes.fixed_scale(frame.low, frame.high)
    axis = alt.Axis(labelExpr=_points_expression(), tickCount=5, labels=is_left, ticks=is_left, domain=False)
    y = alt.Y("difference:Q", title="points" if is_left else None, scale=scale, axis=axis)
    tips = [alt.Tooltip("severity:Q"), alt.Tooltip("text:N", title="difference, points"),
            alt.Tooltip("a:Q", format=".1%", title=frame.names["a"]),
            alt.Tooltip("b:Q", format=".1%", title=frame.names["b"]),
            alt.Tooltip("winner:N", title="more often right")]  # fmt: skip
    base = alt.Chart(points).encode(x=x, y=y)
    band = alt.Chart(pl.DataFrame({"difference": [-frame.margin], "end": [frame.margin]}))
    area = POINT_SIZE if len(points) <= axes.FEW_LEVELS else FINE_SIZE
    layers = [
        band.mark_rect(style="band", opacity=0.5).encode(y=y, y2=alt.Y2("end:Q")),
        alt.Chart(pl.DataFrame({"difference": [0.0]})).mark_rule(style="muted-line", strokeWidth=1).encode(y=y),
        *_crossing(one, frame, x, y, comparison.has_verdict),
        base.mark_line(style="muted-line", strokeWidth=1.2),
        base.mark_rule(strokeWidth=1.6).encode(
            y=alt.Y("low:Q", scale=scale), y2=alt.Y2("high:Q"), color=axes.COLOR_FIELD),
        base.mark_point(filled=False, size=area, strokeWidth=1.4, opacity=1, style="hollow").encode(
            stroke=alt.Stroke("color:N", scale=None, legend=None), tooltip=tips),
        base.transform_filter("datum.is_decided").mark_point(filled=True, size=area, opacity=1).encode(
            color=axes.COLOR_FIELD, tooltip=tips),
    ]  # fmt: skip
    title = axes.panel_title(one.label, offset=4)
    return layered(*layers, width=frame.width, height=frame.height, title=title)


def _point(cell: Difference, frame: DifferenceFrame, is_judged: bool) -> dict[str, object]:
    value, low, high = cell.estimate
    winner = cell.winner if is_judged else ""
    text = f"{format_number(100 * value, signed=True)} [{format_number(100 * low)}, {format_number(100 * high)}]"
    return {
        "severity": cell.severity, "difference": value, "low": low, "high": high, "a": cell.a,
        "b": cell.b, "text": text, "winner": frame.names.get(winner, "inconclusive"),
        "color": frame.colors[winner], "is_decided": bool(winner),
    }  # fmt: skip


def _crossing(one: Difference, frame: DifferenceFrame, x: alt.X, y: alt.Y, is_judged: bool) -> list[alt.Chart]:
    """A diamond on the zero line where the curves cross, and a bar as far as that is known."""
    if one.crossover is None or not is_judged:
        return []
    row = {"severity": one.crossover.at, "from": one.crossover.low, "to": one.crossover.high, "difference": 0.0,
           "text": crossover_text(one.crossover)}  # fmt: skip
    base = alt.Chart(pl.DataFrame([row])).encode(y=y)
    tip = [alt.Tooltip("text:N", title="curves cross at severity")]
    return [
        base.mark_rule(style="ink-line", strokeWidth=3).encode(
            x=alt.X("from:Q", scale=axes.fixed_scale(0, frame.last)), x2=alt.X2("to:Q")
        ),
        base.mark_point(shape="diamond", filled=True, size=90, opacity=1, style="ink").encode(x=x, tooltip=tip),
    ]


def _entries(comparison: Comparison, frame: DifferenceFrame) -> list[LegendEntry]:
    """Which color is ahead; of the crossover where there is one."""
    entries = [LegendEntry("inconclusive", GRAY, shape="circle")]
    if comparison.has_verdict:
        ahead = [LegendEntry(f"{frame.names[side]} ahead", frame.colors[side], shape="circle") for side in ("a", "b")]
        crossed = any(one.crossover for one in comparison.corruptions)
        entries = [*ahead, *entries, *([LegendEntry("curves cross", shape="diamond")] if crossed else [])]
    return entries


def _subtitle(comparison: Comparison, images: str, frame: DifferenceFrame) -> str:
    text = ComparisonText(comparison)
    level = format_percent(comparison.level, 0)
    filled = f"filled: decided among all {len(comparison.cells)} cells ({text.cell_test}, Holm's correction); "
    return (
        f"Accuracy of {frame.names['b']} minus that of {frame.names['a']} in percentage points, from clean (0) to "
        f"severity {frame.last:g}, on {images}; from the largest loss to the largest gain. Bars: {level} interval of "
        "each cell alone; "
        f"{filled if comparison.has_verdict else ''}band: the margin of {text.margin} either way."
    )


def _source(comparison: Comparison) -> str:
    return " ".join(dict.fromkeys((comparison.a.source_line, comparison.b.source_line)))


def _points_expression() -> str:
    return "replace(format(100 * datum.value, '+.3~g'), '+0', '0')"
