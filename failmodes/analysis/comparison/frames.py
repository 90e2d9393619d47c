"""The parts of a comparison as Polars frames."""

from typing import Any

import polars as pl

from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.model_comparison import ChangedImages, Comparison

DIFFERENCE = {"difference": pl.Float64, "low": pl.Float64, "high": pl.Float64}
SIDES = {"accuracy_a": pl.Float64, "accuracy_b": pl.Float64, **DIFFERENCE}
CELL_COLUMNS = {
    "corruption": pl.String, "severity": pl.Float64, **SIDES, "only_a": pl.Int64, "only_b": pl.Int64,
    "adjusted_p": pl.Float64, "winner": pl.String,
}  # fmt: skip
CORRUPTION_COLUMNS = {
    "corruption": pl.String, "corruption_label": pl.String, **SIDES, "crossover": pl.Float64,
    "crossover_low": pl.Float64, "crossover_high": pl.Float64, "ahead_first": pl.String,
}  # fmt: skip
CLASS_COLUMNS = {
    "class_index": pl.Int64, "class_name": pl.String, "image_count": pl.Int64, **SIDES, "winner": pl.String,
}  # fmt: skip
METRIC_COLUMNS = {
    "metric": pl.String, "score": pl.String, "title": pl.String, "unit": pl.String,
    "cells": pl.String, "better": pl.String, "a": pl.Float64,
    "b": pl.Float64, **DIFFERENCE, "winner": pl.String, "reason": pl.String,
}  # fmt: skip
IMAGE_COLUMNS = {
    "change": pl.String, "image_id": pl.Int64, "label": pl.Int64, "label_name": pl.String, "cell_count": pl.Int64,
    "corruption": pl.String, "severity": pl.Float64, "predicted_a": pl.String, "predicted_b": pl.String,
}  # fmt: skip


def cell_frame(comparison: Comparison) -> pl.DataFrame:
    """A row a cell, clean first."""
    return _frame(comparison.cells, CELL_COLUMNS)


def corruption_frame(comparison: Comparison) -> pl.DataFrame:
    """A row a corruption, the largest loss of the second first."""
    rows = []
    for one in comparison.corruptions:
        crossed = one.crossover
        crossing = {} if crossed is None else {
            "crossover": crossed.at, "crossover_low": crossed.low, "crossover_high": crossed.high,
            "ahead_first": crossed.ahead_first,
        }  # fmt: skip
        rows.append(_row(one, CORRUPTION_COLUMNS) | crossing)
    return pl.DataFrame(rows, schema=CORRUPTION_COLUMNS)


def class_frame(comparison: Comparison) -> pl.DataFrame:
    """A row a class, the largest loss of the second first."""
    return _frame(comparison.classes, CLASS_COLUMNS)


def metric_frame(comparison: Comparison) -> pl.DataFrame:
    """Accuracy under corruption and clean, then the other metrics, a row each."""
    return _frame((comparison.overall, comparison.clean, *comparison.metrics), METRIC_COLUMNS)


def image_frame(comparison: Comparison) -> pl.DataFrame:
    """Images that are newly wrong or newly right, those of most cells first; none where images are not compared."""
    rows = [
        _row(image, IMAGE_COLUMNS) | {"change": change}
        for change, changed in (
            ("newly_incorrect", comparison.newly_incorrect),
            ("newly_correct", comparison.newly_correct),
        )
        for image in _images(changed)
    ]
    return pl.DataFrame(rows, schema=IMAGE_COLUMNS)


def _images(changed: ChangedImages | None) -> tuple[Any, ...]:
    return () if changed is None else changed.images


def _frame(parts: tuple[Any, ...], columns: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([_row(part, columns) for part in parts], schema=columns)


def _row(part: Any, columns: dict[str, Any]) -> dict[str, Any]:
    """What a part holds of some columns; its difference in three of them."""
    row = {name: getattr(part, name, None) for name in columns}
    estimate: Estimate | None = getattr(part, "difference", None)
    if "difference" in columns:
        row |= dict(zip(DIFFERENCE, estimate or (None, None, None), strict=True))
    return row
