"""Ranking: mean accuracy under corruption as dots with intervals, by corruption of few models, else by model."""

from collections.abc import Iterable
from typing import Any

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.model_colors import model_colors
from failmodes.analysis.charts.style import axes
from failmodes.analysis.charts.style.combining import layered
from failmodes.analysis.charts.style.labels import FONT_PX, LegendEntry, legend, text_width
from failmodes.analysis.charts.style.theme import MODEL_COLORS, PAGE, ChartSize, ChartText, Layered, add_text
from failmodes.analysis.render.formatting import (
    MAX_LISTED,
    format_count,
    format_number,
    format_percent,
    format_percent_interval,
    format_severity,
    join_names,
    label_with_extra,
)
from failmodes.analysis.selection import (
    Selection,
    averaged_severities,
    corruption_labels,
    read_for_selection,
)
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.model_accuracy import MeanAccuracy, lowest_first, model_accuracies, run_accuracies
from failmodes.analysis.statistics.shape_tables import stored_settings
from failmodes.analysis.trained_models import TrainedModel
from failmodes.warehouse.errors import WarehouseError

ROW_PX, NEXT_PX, LEAST_PX = 14, 11, 9.5  # a row with one dot, what each further dot adds, what each takes at least
VALUE_PX, GAP_PX = 34, 6
MOST_NAME_PX, MOST_NAME_SHARE = 190, 0.46  # of a row's name, and of the chart's width
CLEAN_NAME = "Clean"
RUN_TICK_PX = 9
Accuracies = dict[TrainedModel, MeanAccuracy]


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, size: ChartSize = PAGE) -> alt.VConcatChart:
    """Up to four models: a row for clean images, for the mean, and for each corruption; of more a row a model."""
    found = model_accuracies(con, selection)
    is_by_corruption = len(found) <= len(MODEL_COLORS)
    rows = _by_corruption(con, selection, found) if is_by_corruption else _by_model(con, found)
    models = model_colors(con, selection)
    color = pl.col("label").replace_strict(models.colors, return_dtype=pl.String)
    data, runs = pl.DataFrame(rows).with_columns(color=color), pl.DataFrame(schema={"value": pl.Float64})
    if models.trained:
        of_runs = pl.DataFrame(_runs(con, selection, found, is_by_corruption))
        runs = of_runs.join(data, on=["name", "label"], how="semi", maintain_order="left").with_columns(color=color)
        data = _with_ends(data, runs)
    labels = list(models.colors) if is_by_corruption else []
    entries = [
        LegendEntry(models.legend_names.get(label, label), color, shape="circle")
        for label, color in models.colors.items()
    ]
    subtitle = _subtitle(con, selection, data, runs, is_by_corruption)
    text = ChartText(mean_accuracy_sentence(con, selection), subtitle, selection.source_line)
    name_px = _name_px(data, size)
    plot = _plot(data, runs, labels, name_px, size)
    return add_text([*legend(entries if len(labels) > 1 else (), size.width_px - 16, -name_px), plot], text, size)


def _by_corruption(con: duckdb.DuckDBPyConnection, selection: Selection, found: Accuracies) -> list[dict[str, Any]]:
    """Clean, the mean, then corruptions from the lowest mean accuracy over models on, extras last."""
    estimates = {
        model.label: _named_estimates(con, selection, one, lowest_first(found.values())) for model, one in found.items()
    }
    rows = list(dict.fromkeys(name for of_one in estimates.values() for name in of_one))
    return [
        _row(name, label, estimate)
        for name in rows
        for label, of_one in estimates.items()
        if (estimate := of_one[name]) is not None
    ]


def _named_estimates(
    con: duckdb.DuckDBPyConnection, selection: Selection, one: MeanAccuracy, corruptions: Iterable[str]
) -> dict[str, Estimate | None]:
    """Accuracies by the name of the row that they stand in: clean, the mean, these corruptions with extras last."""
    names = corruption_labels(con)
    return {
        CLEAN_NAME: one.clean,
        f"Mean of {format_count(len(selection.averaged), 'corruption')}": one.corrupted,
        **{
            label_with_extra(names[c], is_extra=c in selection.extras): one.by_corruption.get(c)
            for c in sorted(corruptions, key=lambda c: c in selection.extras)
        },
    }


def _runs(
    con: duckdb.DuckDBPyConnection, selection: Selection, found: Accuracies, is_by_corruption: bool
) -> list[dict[str, Any]]:
    """Of models with several training runs the value of each run, by the name of the row that it stands in."""
    of_runs = run_accuracies(con, selection)
    several = [(model, run) for model in found if model.has_several_seeds for run in model.runs]
    return [
        {"name": name, "label": model.label, "run": run.label, "value": estimate.value}
        for model, run in several
        for name, estimate in (
            _named_estimates(con, selection, of_runs[run], of_runs[run].by_corruption)
            if is_by_corruption
            else {model.label: of_runs[run].corrupted}
        ).items()
        if estimate is not None
    ]


def _with_ends(data: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    """The rows with `end`, beyond which their text stands: of the interval, or of the runs where these lie above it."""
    highest = runs.group_by("name", "label").agg(highest=pl.col("value").max())
    joined = data.join(highest, on=["name", "label"], how="left", maintain_order="left")
    return joined.with_columns(end=pl.max_horizontal("high", "highest")).drop("highest")


def _by_model(con: duckdb.DuckDBPyConnection, found: Accuracies) -> list[dict[str, Any]]:
    """Models from the highest mean corrupted accuracy on, with the corruption of the lowest beside it.

    Raises:
        WarehouseError: no model was evaluated on all corruptions.
    """
    names = corruption_labels(con)
    rows = [
        {
            **_row(model.label, model.label, one.corrupted), "clean": one.clean.value,
            "lowest": (lowest := one.by_corruption[one.worst].value),
            "lowest_text": f"{names[one.worst]} {format_percent(lowest, 0)}",
        }
        for model, one in found.items()
        if one.corrupted is not None
    ]  # fmt: skip
    if not rows:
        raise WarehouseError("no mean to rank by: no model was evaluated on all corruptions")
    return sorted(rows, key=lambda row: -row["value"])


def _row(name: str, label: str, estimate: Estimate) -> dict[str, Any]:
    return {"name": name, "label": label, "value": estimate.value, "low": estimate.low, "high": estimate.high,
            "text": format_number(100 * estimate.value)}  # fmt: skip


def _subtitle(
    con: duckdb.DuckDBPyConnection, selection: Selection, data: pl.DataFrame, runs: pl.DataFrame, is_by_corruption: bool
) -> str:
    level = format_percent(stored_settings(con).interval_level, 0)
    cells = read_for_selection(con, "accuracy_by_severity", selection)
    levels = [format_severity(s) for s in sorted(averaged_severities(cells["severity"].unique()))]
    over = f"severities {levels[0]} to {levels[-1]}" if len(levels) > 1 else f"severity {levels[0]}"
    rows = (
        "the lowest first"
        if is_by_corruption
        else "a row a model; hollow: clean (circle) and under the corruption of its lowest mean (diamond, named)"
    )
    low = _scale(data, runs).domain[0]
    axis = f"; the axis begins at {format_percent(low, 0)}" if low else ""
    lacking = [model.label for model, one in model_accuracies(con, selection).items() if one.corrupted is None]
    without = f" Without a mean, as corruptions are missing: {join_names(lacking)}." if lacking else ""
    over_seeds = "" if runs.is_empty() else ", and over training seeds where there are several (ticks: each seed)"
    return (
        f"Accuracy under each corruption, the mean over {over}, {rows}; bars: {level} intervals over "
        f"images{over_seeds}{axis}. {selection.images}.{without}"
    )


def _name_px(data: pl.DataFrame, size: ChartSize) -> float:
    """Room for the names of the rows."""
    return min(_most_name_px(size), max(text_width(name, FONT_PX) for name in data["name"]) + 14)


def _most_name_px(size: ChartSize) -> float:
    return min(MOST_NAME_PX, MOST_NAME_SHARE * size.width_px)


def _plot(data: pl.DataFrame, runs: pl.DataFrame, labels: list[str], name_px: float, size: ChartSize) -> Layered:
    """The dots, and ticks of training runs; `labels` are the models that share a row."""
    order = data["name"].unique(maintain_order=True).to_list()
    lowest_px = max(text_width(t, FONT_PX) for t in data["lowest_text"]) if "lowest_text" in data else 0
    width = size.width_px - name_px - VALUE_PX - lowest_px - 8
    dots = max(1, len(labels))
    row_px = size.height(ROW_PX + NEXT_PX * (dots - 1) + GAP_PX, LEAST_PX * dots + GAP_PX)
    scale = _scale(data, runs)
    x = alt.X("value:Q", title="accuracy", scale=scale, axis=axes.percent_axis(domain=False, labelFlush=False))
    gap_px = max(GAP_PX * (dots > 1), row_px - dots * FONT_PX)  # dots of a row stand as close as their values allow
    value_px = min(FONT_PX, (row_px - gap_px) / dots)
    y = alt.Y("name:N", sort=order, title=None, scale=alt.Scale(paddingInner=gap_px / row_px),
              axis=alt.Axis(domain=False, ticks=False, labelPadding=8, labelLimit=_most_name_px(size)))  # fmt: skip
    offset: dict[str, Any] = {}
    if len(labels) > 1:
        offset = {"yOffset": alt.YOffset("label:N", sort=labels, scale=alt.Scale(paddingOuter=0))}
    base = alt.Chart(data).encode(y=y, color=axes.COLOR_FIELD, **offset)
    tips = [alt.Tooltip("label:N", title="model"), alt.Tooltip("name:N", title="of"),
            alt.Tooltip("value:Q", format=".1%", title="accuracy"), alt.Tooltip("low:Q", format=".1%", title="from"),
            alt.Tooltip("high:Q", format=".1%", title="to")]  # fmt: skip
    layers = [
        base.mark_rule(strokeWidth=1.6).encode(x=alt.X("low:Q", scale=scale), x2=alt.X2("high:Q")),
        base.mark_point(filled=True, size=48, opacity=1).encode(x=x, tooltip=tips),
        alt.Chart(data).mark_text(align="left", baseline="middle", dx=6, fontSize=value_px, style="muted").encode(
            x=alt.X("end:Q" if "end" in data else "high:Q", scale=scale), y=y, text=alt.Text("text:N"), **offset),
        *_hollow(data, scale, y, width),
        *_run_ticks(runs, {"x": x, "y": y, **offset}),
    ]  # fmt: skip
    return layered(*layers, width=width, height=row_px * len(order))


def _run_ticks(runs: pl.DataFrame, channels: dict[str, Any]) -> list[alt.Chart]:
    """A tick for each training run of a model that has several."""
    if runs.is_empty():
        return []
    ticks = alt.Chart(runs).mark_tick(orient="vertical", size=RUN_TICK_PX, thickness=1.2, opacity=0.8)
    tips = [alt.Tooltip("run:N", title="training run"), alt.Tooltip("value:Q", format=".1%", title="accuracy")]
    return [ticks.encode(**channels, color=axes.COLOR_FIELD, tooltip=tips)]


def _scale(data: pl.DataFrame, runs: pl.DataFrame) -> alt.Scale:
    """From 0, or from the tenth below all that is drawn where that is far above it, to 1."""
    drawn = [*(data[column] for column in ("low", "lowest") if column in data), runs["value"]]
    low = min(float(value) for column in drawn for value in column)
    return axes.fixed_scale(0.0 if low < 0.4 else int(low * 10) / 10, 1.0)


def _hollow(data: pl.DataFrame, scale: alt.Scale, y: alt.Y, width: float) -> list[alt.Chart]:
    """Of many models: clean accuracy and the lowest of a corruption, which is named at the right."""
    if "lowest" not in data:
        return []
    base = alt.Chart(data).encode(y=y, stroke=alt.Stroke("color:N", scale=None, legend=None))
    marks = [
        base.mark_point(shape=shape, size=34, strokeWidth=1.3, opacity=1, filled=False, style="hollow").encode(
            x=alt.X(f"{column}:Q", scale=scale)
        )
        for column, shape in (("clean", "circle"), ("lowest", "diamond"))
    ]
    named = alt.Chart(data).mark_text(align="left", baseline="middle", fontSize=FONT_PX - 1, style="muted")
    return [*marks, named.encode(x=alt.XValue(width + VALUE_PX), y=y, text=alt.Text("lowest_text:N"))]


def mean_accuracy_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Mean corrupted accuracy of each of up to four models with its interval, of more of the best and the last."""
    found = model_accuracies(con, selection)
    known = {n.label_with_seeds: one.corrupted for n, one in found.items() if one.corrupted is not None}
    count = format_count(len(selection.averaged), "corruption")
    if not known:
        return f"No model was evaluated on all {count}"
    ordered = sorted(known, key=lambda label: -known[label].value)
    if len(ordered) > MAX_LISTED:
        ordered = [ordered[0], ordered[-1]]
    accuracies = join_names(
        f"{label} {'' if place else 'is right '}on {format_percent_interval(known[label])}"
        for place, label in enumerate(ordered)
    )
    if len(ordered) < len(known):
        return f"Of {format_count(len(known), 'model')}, averaged over {count}, {accuracies}"
    return f"Averaged over {count} {accuracies}"
