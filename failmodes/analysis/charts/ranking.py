"""Ranking: mean accuracy under corruption with intervals, by corruption for up to four models, else by model."""

from typing import Any

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style import frame as style
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE, Frame
from failmodes.analysis.charts.style.series import ModelColors, model_colors
from failmodes.analysis.charts.style.theme import SOURCE_PX
from failmodes.analysis.evaluations.selection import Selection, corruption_names, words_of_runs
from failmodes.analysis.evaluations.trained_models import TrainedModel
from failmodes.analysis.render.formatting import (
    MAX_LISTED,
    format_count,
    format_number,
    format_percent,
    format_percent_interval,
    join_names,
)
from failmodes.analysis.statistics.curve_shape import stored_settings
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.analysis.statistics.model_accuracy import MeanAccuracy, lowest_first, model_accuracies, run_accuracies
from failmodes.runtime.errors import WarehouseError

LOWEST_PITCH = 0.85  # of the numbers of a row's models, in font sizes
ROW_PX, NEXT_PX, VALUE_PX, GAP_PX, MAX_NAME_SHARE = 17, 12, 28, 6, 0.46  # the last: of a row's name, of the width
Accuracies = dict[TrainedModel, MeanAccuracy]


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, frame: Frame = PAGE) -> Figure:
    """Up to four models: rows for clean images, the mean, and each corruption; more models: one row per model.

    Raises:
        WarehouseError: there are many models, and none was evaluated on all corruptions.
    """
    accuracies = model_accuracies(con, selection)
    models = model_colors(con, selection)
    is_by_corruption = not models.has_others
    rows = _by_corruption(con, selection, accuracies) if is_by_corruption else _by_model(con, selection, accuracies)
    data = models.with_series(pl.DataFrame(rows, infer_schema_length=None))
    data = data.with_columns(
        end=pl.max_horizontal("value", "high").max().over("name", "series" if is_by_corruption else "name")
    )
    level = format_percent(stored_settings(con).interval_level, 0)
    words = words_of_runs(selection.evaluations)
    seeds = f", and over {words.seed}s if there are several (ticks: individual {words.short_seed}s)"
    seeds = seeds if models.trained else ""
    order = (
        "lowest first"
        if is_by_corruption
        else (
            "one row per model; hollow circle: clean; hollow diamond: corruption with the "
            "lowest mean accuracy; numbers: the mean, and that corruption"
        )
    )
    conditions = selection.condition
    if selection.corruptions:
        conditions = "under each corruption, averaged over its severities"
    return Figure(
        _plot(data, rows, models, frame, is_by_corruption=is_by_corruption),
        _title(accuracies, selection),
        f"Accuracy {conditions}, {order}; bars: {level} intervals over images{seeds}. {selection.images}.",
        selection.source_line,
        frame,
    )


def _by_corruption(
    con: duckdb.DuckDBPyConnection, selection: Selection, accuracies: Accuracies
) -> list[dict[str, Any]]:
    """Clean, the mean, then corruptions by mean accuracy over models, lowest first and extras last; runs at the end."""
    names = corruption_names(con, selection)
    of_runs = run_accuracies(con, selection)
    order = sorted(lowest_first(accuracies.values()), key=lambda corruption: corruption in selection.extras)

    def rows_of(label: str, accuracy: MeanAccuracy, **run: str) -> list[dict[str, Any]]:
        estimates = {
            "Clean": accuracy.clean,
            f"Mean of {format_count(len(selection.averaged), 'corruption')}": accuracy.corrupted,
        }
        estimates |= {names[corruption]: accuracy.by_corruption.get(corruption) for corruption in order}
        return [_row(name, label, estimate, **run) for name, estimate in estimates.items() if estimate is not None]

    rows = [row for model, accuracy in accuracies.items() for row in rows_of(model.label, accuracy)]
    several = [model for model in accuracies if model.has_several_seeds]
    return rows + [row for m in several for run in m.runs for row in rows_of(m.label, of_runs[run], run=run.label)]


def _by_model(con: duckdb.DuckDBPyConnection, selection: Selection, accuracies: Accuracies) -> list[dict[str, Any]]:
    """Models by mean corrupted accuracy, highest first, with clean and the lowest corruption; runs at the end."""
    names = corruption_names(con, selection)
    of_runs = run_accuracies(con, selection)
    means = {model: accuracy.overall for model, accuracy in accuracies.items() if accuracy.overall is not None}
    if not means:
        raise WarehouseError("no ranking to show: no model was evaluated on all corruptions")
    rows = []
    for model in sorted(means, key=lambda model: -means[model].value):
        rows.append(_row(model.label, model.label, means[model]) | _ends(accuracies[model], names))
        runs = model.runs if model.has_several_seeds else ()
        rows += [
            _row(model.label, model.label, mean, run=run.label)
            for run in runs
            if (mean := of_runs[run].overall) is not None
        ]
    return rows


def _ends(accuracy: MeanAccuracy, names: dict[str, str]) -> dict[str, Any]:
    """Accuracy on clean images and under the corruption of the lowest accuracy, null if missing."""
    clean = None if accuracy.clean is None else accuracy.clean.value
    if not accuracy.by_corruption:
        return {"clean": clean, "lowest": None, "lowest_text": None}
    lowest = accuracy.by_corruption[accuracy.worst].value
    return {"clean": clean, "lowest": lowest, "lowest_text": f"{names[accuracy.worst]} {format_percent(lowest, 0)}"}


def _row(name: str, label: str, estimate: Estimate, run: str | None = None) -> dict[str, Any]:
    """One point with its interval, or the tick of one training run."""
    row = {"name": name, "label": label, "value": estimate.value, "run": run}
    is_run = {"low": None, "high": None, "text": None}
    return row | (
        is_run if run else {"low": estimate.low, "high": estimate.high, "text": format_number(100 * estimate.value)}
    )


def _plot(
    data: pl.DataFrame, rows: list[dict[str, Any]], models: ModelColors, frame: Frame, *, is_by_corruption: bool
) -> alt.LayerChart | alt.FacetChart:
    order = list(dict.fromkeys(row["name"] for row in rows))
    name_px = min(MAX_NAME_SHARE * frame.width_px, max(map(style.text_width, order)) + 12)
    lowest: list[str] = [] if is_by_corruption else data["lowest_text"].drop_nulls().to_list()
    lowest_px = max((GAP_PX + style.text_width(text, SOURCE_PX) for text in lowest), default=0.0)
    panel = frame.panels(1, 1, left_px=name_px, right_px=VALUE_PX + lowest_px)
    labels = list(models.colors) if is_by_corruption else []
    usual = ROW_PX + NEXT_PX * (max(1, len(labels)) - 1)
    height = panel.height(usual * len(order), 30)
    drawn = [value for column in ("low", "value", "lowest") if column in data for value in data[column].drop_nulls()]
    low = style.share_floor(min(drawn))
    scale = style.fixed_scale(low, 1)
    x = alt.X(
        "value:Q", title="accuracy", scale=scale, axis=alt.Axis(labelExpr=style.PERCENT, domain=False, tickCount=6)
    )
    y = alt.Y(
        "name:N",
        sort=order,
        title=None,
        axis=style.name_axis(name_px, labelPadding=6, labelLimit=1.3 * name_px),
    )
    offset: dict[str, Any] = {"yOffset": alt.YOffset("label:N", sort=labels)} if len(labels) > 1 else {}
    legend = style.POINTS | {"labelLimit": frame.width_px - name_px - 2 * style.SYMBOL_PX}  # it begins at the plot
    color = models.color(frame, **legend) if is_by_corruption or models.has_others else alt.Color()
    tips = [
        alt.Tooltip("label:N", title="model"),
        alt.Tooltip("name:N", title="row"),
        alt.Tooltip("run:N", title="run"),
        *style.interval_tips("value", ".1%", "accuracy"),
    ]
    base = alt.Chart().encode(x=x, y=y, color=color, **offset)
    means = base.transform_filter("isValid(datum.text)")
    runs = base.transform_filter("isValid(datum.run)")
    muted = means.encode(color=alt.Color())
    layers = [
        means.mark_rule(strokeWidth=1.6).encode(x=alt.X("low:Q", scale=scale), x2="high:Q"),
        runs.mark_tick(orient="vertical", size=9, thickness=1.2, opacity=0.8).encode(tooltip=tips),
        means.mark_point(filled=True, size=48, opacity=1).encode(tooltip=tips),
    ]
    if len(labels) < 2 or NEXT_PX * height / (usual * len(order)) >= LOWEST_PITCH * SOURCE_PX:  # else numbers overlap
        layers.append(
            muted.mark_text(align="left", dx=6, fontSize=SOURCE_PX, style="muted").encode(
                x=alt.X("end:Q", scale=scale) if is_by_corruption else alt.value(panel.width), text="text:N"
            )
        )
    if not is_by_corruption:
        layers += [
            means.mark_point(shape=symbol, filled=False, size=34, opacity=1, strokeWidth=1.3).encode(
                x=alt.X(f"{column}:Q", scale=scale)
            )
            for column, symbol in (("clean", "circle"), ("lowest", "diamond"))
        ]
        named = muted.mark_text(align="left", fontSize=SOURCE_PX, style="muted")
        layers.append(named.encode(x=alt.value(panel.width + VALUE_PX + GAP_PX), text="lowest_text:N"))
    return alt.layer(*layers, data=data, width=panel.width, height=height)


def _title(accuracies: Accuracies, selection: Selection) -> str:
    """Mean corrupted accuracy with its interval, of up to four models, else of the highest and the lowest."""
    known = {
        model.label_with_seeds: accuracy.overall
        for model, accuracy in accuracies.items()
        if accuracy.overall is not None
    }
    count = format_count(len(selection.averaged), "corruption")
    if not known:
        return f"No model was evaluated on all {count}"
    ordered = sorted(known, key=lambda label: -known[label].value)
    shown = ordered if len(ordered) <= MAX_LISTED else [ordered[0], ordered[-1]]
    among = "" if shown == ordered else f", highest and lowest of {len(ordered)} models"
    listed = join_names(f"{label} {format_percent_interval(known[label])}" for label in shown)
    subject = f"Mean accuracy over {count}" if selection.corruptions else "Accuracy on clean images"
    return f"{subject}{among}: {listed}"
