"""What curves are drawn of: one a model, with the training runs behind those that have several, and their shapes."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import duckdb
import polars as pl

from failmodes.analysis.charts.model_colors import ModelColors
from failmodes.analysis.charts.style.labels import text_width
from failmodes.analysis.judging.findings.shape import shape_label
from failmodes.analysis.render.formatting import format_count
from failmodes.analysis.selection import Selection, read_for_selection
from failmodes.analysis.statistics.model_accuracy import seed_curves
from failmodes.warehouse.database.own_tables import SHAPE_LABELS

POINT_COLUMNS = ("corruption", "label", "severity", "accuracy", "accuracy_low", "accuracy_high", "accuracy_drop")


class ModelCurves(NamedTuple):
    """Points of curves.

    Attributes:
        points: of each model, its accuracy (0-1) with its interval, by `label`, `corruption` and `severity`.
        runs: of each training run of a model that has several, its accuracy, with the model's `label` and the
            run's, `run`.
    """

    points: pl.DataFrame
    runs: pl.DataFrame


def model_curves(con: duckdb.DuckDBPyConnection, selection: Selection, models: ModelColors) -> ModelCurves:
    """The curves of a selection: of a single run as measured, of several runs their mean."""
    cells = read_for_selection(con, "accuracy_by_severity", selection)
    if not models.trained:
        return ModelCurves(cells, cells.clear())
    several = {run.label: model.label for model in models.trained for run in model.runs}
    means = [
        seed_curves(con, selection, model).with_columns(
            label=pl.lit(model.label),
            accuracy_drop=pl.col("accuracy").first().over("corruption", order_by="severity") - pl.col("accuracy"),
        )
        for model in models.trained
    ]
    single = cells.filter(~pl.col("label").is_in(list(several)))
    points = pl.concat([part.select(POINT_COLUMNS) for part in (single, *means)])
    runs = cells.filter(pl.col("label").is_in(list(several))).select(
        "corruption", "severity", "accuracy", run="label",
        label=pl.col("label").replace_strict(several, default=None, return_dtype=pl.String),
    )  # fmt: skip
    return ModelCurves(points, runs)


def band_phrase(models: ModelColors) -> str:
    """What the band of a curve is, for a subtitle."""
    counts = {len(model.runs) for model in models.trained}
    if not counts:
        return "band: exact 95% interval"
    seeds = format_count(counts.pop(), "training seed") if len(counts) == 1 else "training seeds"
    single = "" if len(models.trained) == len(models.models) else " (of a single run the exact one, over images)"
    return f"band: 95% interval over {seeds} and the images{single}; thin: each seed"


def shape_line(rows: Sequence[dict[str, Any]], available_px: float, font_px: float) -> str:
    """The shape of a model's runs under one corruption, as a line that fits: of one run, or as far as runs agree.

    Args:
        rows: of the table `shapes`, one a training run.
        available_px: width of the panel.
        font_px: of the text.
    """
    if len(rows) == 1:
        return _of_one(rows[0], available_px, font_px)
    counts = Counter(row["shape"] for row in rows)
    (shape, most), *others = counts.most_common()
    if not others:
        return SHAPE_LABELS[shape]
    if any(count == most for _, count in others):
        return (
            "shapes differ" if text_width("shapes differ by seed", font_px) > available_px else "shapes differ by seed"
        )
    long = f"{SHAPE_LABELS[shape]} in {most} of {len(rows)} seeds"
    return long if text_width(long, font_px) <= available_px else f"{SHAPE_LABELS[shape]} {most}/{len(rows)}"


def _of_one(row: dict[str, Any], available_px: float, font_px: float) -> str:
    long, short = shape_label(row), SHAPE_LABELS[row["shape"]]
    return long if text_width(long, font_px) <= available_px else short
