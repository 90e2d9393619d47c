"""Heat map of accuracy: corruptions by severity for each model, or of more than four models, models by corruptions."""

from typing import Any

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE, Frame, name_axis, text_width
from failmodes.analysis.charts.style.heat_map import (
    DARK_FROM,
    DECIMAL_PX,
    LABEL_PADDING_PX,
    MIN_ROW_PX,
    ROW_PX,
    WHOLE_PX,
    heat_map,
    number_layers,
)
from failmodes.analysis.charts.style.theme import LABEL_PX, SOURCE_PX
from failmodes.analysis.evaluations.selection import Selection, corruption_names
from failmodes.analysis.evaluations.trained_models import TrainedModel, trained_models
from failmodes.analysis.judging.findings.headlines import is_judged
from failmodes.analysis.judging.findings.largest_drop import largest_drop_sentence
from failmodes.analysis.render.formatting import MAX_LISTED, format_count, format_number
from failmodes.analysis.statistics.model_accuracy import lowest_first, model_accuracies
from failmodes.analysis.statistics.views_of_images import read_view

MAX_NAME_SHARE, SLANT = 0.3, 0.7  # of a model's name, of the width; height of a name at 45 degrees, of its width
CLEAN, MEAN = "Clean", "Mean"
ON_CLEAN = "corruption = 'none'"  # where `predictions` has the clean images once
TOOLTIPS = (
    alt.Tooltip("label:N", title="model"), alt.Tooltip("corruption_label:N", title="corruption"),
    alt.Tooltip("severity:Q", title="severity"), alt.Tooltip("accuracy:Q", format=".1%", title="accuracy"),
)  # fmt: skip


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, frame: Frame = PAGE) -> Figure:
    """Accuracy in every cell, sorted by mean accuracy, in one color scale; the report opens the images of a cell."""
    models = trained_models(selection.evaluations)
    is_by_model = len(models) > MAX_LISTED
    plot, what = _by_model(con, selection, frame) if is_by_model else _by_severity(con, selection, models, frame)
    return Figure(
        plot,
        (is_judged(con, selection) and largest_drop_sentence(con, selection)) or "Accuracy by corruption and severity",
        f"Accuracy in percent on {selection.images}, {what}; stronger color: lower accuracy.",
        selection.source_line,
        frame,
    )


def _by_severity(
    con: duckdb.DuckDBPyConnection, selection: Selection, models: list[TrainedModel], frame: Frame
) -> tuple[alt.FacetChart, str]:
    """One panel per model, averaged over its training runs, and what is plotted."""
    of_runs = {run.label: model.label for model in models for run in model.runs}
    cells = read_view(con, "accuracy_by_severity", selection).filter(pl.col("corruption").is_in(selection.corruptions))
    cells = cells.with_columns(pl.col("label").replace_strict(of_runs, return_dtype=pl.String))
    keys = ("label", "corruption", "corruption_label", "headline", "severity")
    cells = cells.group_by(keys, maintain_order=True).agg(pl.first("evaluation_id"), pl.mean("accuracy"))
    is_clean = pl.col("severity") == 0
    of_cell = pl.format("corruption = '{}' and severity = {}", "corruption", pl.col("severity").cast(pl.Float64))
    cells = cells.with_columns(command=_commands(pl.when(is_clean).then(pl.lit(ON_CLEAN)).otherwise(of_cell)))
    top = max(0.01, 1 - min(cells["accuracy"]))
    labels = [model.label for model in models]
    plot, _ = heat_map(cells, labels, "accuracy", top, frame, TOOLTIPS, is_inverted=True)
    extras = ", extras last" if selection.extras else ""
    first = min(cells["severity"])
    start = f"severity {first:g}" if first else "clean (0)"
    return plot, f"from {start} to the last severity, corruptions by mean accuracy{extras}"


def _by_model(
    con: duckdb.DuckDBPyConnection, selection: Selection, frame: Frame
) -> tuple[alt.LayerChart | alt.FacetChart, str]:
    """Models by mean accuracy against corruptions, averaged over severities, and what is plotted."""
    accuracies = model_accuracies(con, selection)
    names = corruption_names(con, selection)
    order = sorted(lowest_first(accuracies.values()), key=selection.extras.__contains__)
    rows: list[dict[str, Any]] = []
    for model, accuracy in accuracies.items():
        estimates = {CLEAN: accuracy.clean, MEAN: accuracy.corrupted}
        estimates |= {corruption: accuracy.by_corruption.get(corruption) for corruption in order}
        rows += [
            {"label": model.label, "corruption": corruption, "corruption_label": names.get(corruption, corruption),
             "accuracy": estimate.value, "evaluation_id": model.runs[0].evaluation_id}
            for corruption, estimate in estimates.items() if estimate is not None
        ]  # fmt: skip
    cells = pl.DataFrame(rows)
    means = cells.group_by("label").agg(pl.col("accuracy").filter(pl.col("corruption") == MEAN).first())
    labels = means.sort("accuracy", "label", descending=[True, False], nulls_last=True)["label"].to_list()
    columns = [names.get(corruption, corruption) for corruption in (CLEAN, MEAN, *order)]
    name_px = min(MAX_NAME_SHARE * frame.width_px, max(map(text_width, labels))) + LABEL_PADDING_PX
    panel = frame.panels(1, 1, left_px=name_px, right_px=SLANT * text_width(columns[-1]))
    cell_px = panel.width / len(columns)
    height = max(MIN_ROW_PX * len(labels), panel.height(ROW_PX * len(labels), SLANT * max(map(text_width, columns))))
    top = max(0.01, 1 - min(cells["accuracy"]))
    digits = 1 if cell_px >= DECIMAL_PX else 0
    texts = [format_number(100 * share, digits) if cell_px >= WHOLE_PX else "" for share in cells["accuracy"]]
    cells = cells.with_columns(
        shade=1 - pl.col("accuracy"), is_high=1 - pl.col("accuracy") > DARK_FROM * top, text=pl.Series(texts),
        command=_commands(
            pl.col("corruption").replace_strict(
                {CLEAN: ON_CLEAN, MEAN: "severity > 0"} | {name: f"corruption = '{name}'" for name in order}
            )
        ),
    )  # fmt: skip
    axis = alt.Axis(labelAngle=-45, domain=False, ticks=False, orient="top", labelLimit=name_px + 60)
    x = alt.X("corruption_label:N", sort=columns, title=None, axis=axis)
    y = alt.Y("label:N", sort=labels, title=None, axis=name_axis(name_px, labelPadding=LABEL_PADDING_PX,
              labelLimit=1.3 * name_px))  # fmt: skip
    tips = [tip for tip in TOOLTIPS if tip["shorthand"] != "severity:Q"]
    layers = number_layers(x, y, "shade:Q", top, tips, font_px=LABEL_PX if cell_px >= DECIMAL_PX else SOURCE_PX)
    plot = alt.layer(*layers, data=cells, width=panel.width, height=height)
    averaged = format_count(len(selection.averaged), "corruption")
    return plot, f"averaged over severities; mean: over {averaged}; models and corruptions by mean accuracy"


def _commands(where: pl.Expr) -> pl.Expr:
    """The command that shows the incorrect images of a cell, which the SQL condition selects."""
    command = "failmodes images --filter \"evaluation_id = '{}' and {} and not correct limit 24\""
    return pl.format(command, "evaluation_id", where)
