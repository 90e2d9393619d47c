"""Ranking: mean accuracy under corruption as dots with intervals, by corruption of few networks, else by network."""

from typing import Any

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style import axes
from failmodes.analysis.charts.style.combining import layered
from failmodes.analysis.charts.style.labels import FONT_PX, LegendEntry, legend, text_width
from failmodes.analysis.charts.style.theme import MODEL_COLOURS, PAGE, ChartSize, ChartText, Layered, add_text
from failmodes.analysis.formatting import (
    capitalize_first,
    format_count,
    format_number,
    format_percent,
    format_percent_interval,
    join_names,
    label_with_extra,
)
from failmodes.analysis.selection import EvaluationInfo, Selection, corruption_labels
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.mean_accuracy import MeanAccuracy, mean_accuracies
from failmodes.analysis.statistics.shape_tables import stored_settings

ROW_PX, NEXT_PX = 13, 9  # height of a row with one dot, and what each further dot adds
VALUE_PX, GAP_PX = 34, 6
CLEAN_NAME = "Clean"
Accuracies = dict[EvaluationInfo, MeanAccuracy]


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, size: ChartSize = PAGE) -> alt.VConcatChart:
    """Up to four networks: a row for clean images, for the mean, and for each corruption; of more a row a network."""
    found = mean_accuracies(con, selection)
    is_by_corruption = len(found) <= len(MODEL_COLOURS)
    rows = _by_corruption(con, selection, found) if is_by_corruption else _by_network(con, found)
    data = pl.DataFrame(rows)
    labels = list(selection.labels.values())
    colours = dict(zip(labels, MODEL_COLOURS, strict=False)) if is_by_corruption else {}
    data = data.with_columns(
        colour=pl.col("label").replace_strict(colours, default=MODEL_COLOURS[0], return_dtype=pl.String)
    )
    entries = [LegendEntry(label, colour, shape="circle") for label, colour in colours.items()]
    text = ChartText(
        ranking_sentence(found, selection), _subtitle(con, selection, is_by_corruption), selection.source_line
    )
    plot = _plot(data, labels if is_by_corruption else [], size)
    return add_text([*legend(entries if len(entries) > 1 else (), size.width_px - 70), plot], text, size)


def ranking_sentence(found: Accuracies, selection: Selection) -> str:
    """Mean corrupted accuracy of each of up to four networks with its interval, of more from the best to the last."""
    known = {e.label: one.corrupted for e, one in found.items() if one.corrupted is not None}
    ordered = sorted(known, key=lambda label: -known[label].value)
    if len(ordered) > len(MODEL_COLOURS):
        ordered = [ordered[0], ordered[-1]]
    told = [f"{label} on {format_percent_interval(known[label])}" for label in ordered]
    among = "" if len(ordered) == len(known) else f"of {format_count(len(known), 'network')} "
    verb = "is right" if len(known) == 1 else "are right"
    count = format_count(len(selection.averaged), "corruption")
    return capitalize_first(f"{among}averaged over {count} {told and _who(told, verb)}")


def _who(told: list[str], verb: str) -> str:
    first, *others = told
    label, share = first.rsplit(" on ", 1)
    return join_names([f"{label} {verb.replace('are', 'is')} on {share}", *others])


def _by_corruption(con: duckdb.DuckDBPyConnection, selection: Selection, found: Accuracies) -> list[dict[str, Any]]:
    """Clean, the mean, then corruptions from the lowest mean accuracy over networks on, extras last."""
    names = corruption_labels(con)
    means = {c: [one.by_corruption[c].value for one in found.values()] for c in selection.corruptions}
    order = sorted(means, key=lambda c: (c in selection.extras, sum(means[c]) / len(means[c])))
    mean_name = f"Mean of {format_count(len(selection.averaged), 'corruption')}"
    rows = []
    for evaluation, one in found.items():
        rows.append(_row(CLEAN_NAME, evaluation.label, one.clean))
        rows += [_row(mean_name, evaluation.label, one.corrupted)] if one.corrupted else []
        rows += [
            _row(label_with_extra(names[c], is_extra=c in selection.extras), evaluation.label, one.by_corruption[c])
            for c in order
        ]
    return rows


def _by_network(con: duckdb.DuckDBPyConnection, found: Accuracies) -> list[dict[str, Any]]:
    """Networks from the highest mean corrupted accuracy on, with the corruption of the lowest beside it."""
    names = corruption_labels(con)
    known = {e: one for e, one in found.items() if one.corrupted is not None}
    rows = []
    for evaluation in sorted(known, key=lambda e: -_value(known[e].corrupted)):
        one = known[evaluation]
        lowest = f"{names[one.worst]} {format_percent(one.by_corruption[one.worst].value, 0)}"
        rows.append({
            **_row(evaluation.label, evaluation.label, one.corrupted), "clean": one.clean.value,
            "lowest": one.by_corruption[one.worst].value, "lowest_text": lowest,
        })  # fmt: skip
    return rows


def _value(estimate: Estimate | None) -> float:
    return 0.0 if estimate is None else estimate.value


def _row(name: str, label: str, estimate: Estimate | None) -> dict[str, Any]:
    assert estimate is not None, "networks without corrupted cells are left out"
    text = format_number(100 * estimate.value, 1)
    return {"name": name, "label": label, "value": estimate.value, "low": estimate.low, "high": estimate.high,
            "text": text}  # fmt: skip


def _subtitle(con: duckdb.DuckDBPyConnection, selection: Selection, is_by_corruption: bool) -> str:
    level = format_percent(stored_settings(con).interval_level, 0)
    what = (
        "from the lowest on" if is_by_corruption else "by network; hollow: clean, and at its corruption of the lowest"
    )
    return (
        f"Accuracy in per cent, averaged over whole severities, {what}; bars: {level} intervals over images; "
        f"{selection.images}."
    )


def _plot(data: pl.DataFrame, labels: list[str], size: ChartSize) -> Layered:
    """The dots; `labels` are the networks that share a row."""
    order = data["name"].unique(maintain_order=True).to_list()
    name_px = max(text_width(name, FONT_PX) for name in order) + 14
    right_px = VALUE_PX + (max(text_width(t, FONT_PX) for t in data["lowest_text"]) if "lowest_text" in data else 0)
    width = size.width_px - min(name_px, 190) - right_px - 8
    row_px = ROW_PX + NEXT_PX * max(0, len(labels) - 1) + GAP_PX
    low = float(data.select(pl.min_horizontal(pl.col("low", *(["lowest"] if "lowest" in data else [])).min())).item())
    x = alt.X("value:Q", title="accuracy", scale=axes.fixed_scale(0.0 if low < 0.4 else int(low * 10) / 10, 1.0),
              axis=axes.percent_axis(domain=False))  # fmt: skip
    y = alt.Y("name:N", sort=order, title=None, scale=alt.Scale(paddingInner=0.25),
              axis=alt.Axis(domain=False, ticks=False, labelPadding=8, labelLimit=190))  # fmt: skip
    offset: dict[str, Any] = {}
    if len(labels) > 1:
        offset = {"yOffset": alt.YOffset("label:N", sort=labels, scale=alt.Scale(paddingOuter=0.15))}
    base = alt.Chart(data).encode(y=y, color=axes.COLOUR_FIELD, **offset)
    tips = [alt.Tooltip("label:N", title="network"), alt.Tooltip("name:N", title="of"),
            alt.Tooltip("value:Q", format=".1%", title="accuracy"), alt.Tooltip("low:Q", format=".1%", title="from"),
            alt.Tooltip("high:Q", format=".1%", title="to")]  # fmt: skip
    layers = [
        base.mark_rule(strokeWidth=2, opacity=0.75).encode(x=alt.X("low:Q"), x2=alt.X2("high:Q")),
        base.mark_point(filled=True, size=48, opacity=1).encode(x=x, tooltip=tips),
        alt.Chart(data).mark_text(align="left", baseline="middle", dx=6, fontSize=FONT_PX - 1, style="muted").encode(
            x=alt.X("high:Q"), y=y, text=alt.Text("text:N"), **offset),
    ]  # fmt: skip
    return layered(*layers, *_hollow(data, x, y, width), width=width, height=row_px * len(order))


def _hollow(data: pl.DataFrame, x: alt.X, y: alt.Y, width: float) -> list[alt.Chart]:
    """Of many networks: clean accuracy and the lowest of a corruption, which is named at the right."""
    if "lowest" not in data:
        return []
    base = alt.Chart(data).encode(y=y)
    hollow = base.mark_point(size=34, strokeWidth=1.3, opacity=1, style="hollow", filled=False)
    named = base.mark_text(align="left", baseline="middle", fontSize=FONT_PX - 1, style="muted")
    scale = x.scale
    return [
        hollow.encode(x=alt.X("clean:Q", scale=scale), stroke=alt.Stroke("colour:N", scale=None, legend=None)),
        hollow.mark_point(shape="diamond", size=34, strokeWidth=1.3, opacity=1, filled=False, style="hollow").encode(
            x=alt.X("lowest:Q", scale=scale), stroke=alt.Stroke("colour:N", scale=None, legend=None)),
        named.encode(x=alt.XValue(width + 8), text=alt.Text("lowest_text:N")),
    ]  # fmt: skip
