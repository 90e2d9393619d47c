"""What the explorer looks at: models that may stand in one chart, their curves, and one cell of one model."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import duckdb
import polars as pl

from failmodes.analysis.charts.style.theme import GRAY, MODEL_COLORS
from failmodes.analysis.render.formatting import format_severity, join_names, label_with_extra, lower_label
from failmodes.analysis.selection import (
    Selection,
    averaged_severities,
    corruption_labels,
    read_for_selection,
)
from failmodes.analysis.trained_models import trained_models
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.schema import CLEAN

MOST_MODELS = 4  # that are chosen at first: more of them share a gray


class ModelCell(NamedTuple):
    """One model under one corruption at one severity; clean is severity 0 of any corruption.

    Attributes:
        evaluation_id: of the model on its images.
        label: the model, as charts call it.
        corruption: whose curve the cell stands on.
        corruption_label: the same for people.
        severity: from 0, clean.
    """

    evaluation_id: str
    label: str
    corruption: str
    corruption_label: str
    severity: float

    @property
    def stored_corruption(self) -> str:
        """The corruption under which the cell's rows are stored: clean is stored once, for all curves."""
        return self.corruption if self.severity else CLEAN

    @property
    def where(self) -> str:
        """The cell without its model: fog at severity 3, or clean images."""
        if not self.severity:
            return "clean images"
        return f"{lower_label(self.corruption_label)} at severity {format_severity(self.severity)}"

    @property
    def name(self) -> str:
        """The cell as a heading: ResNet-18, fog at severity 3."""
        return f"{self.label}, {self.where}"


class Curves(NamedTuple):
    """The curves of the models that were chosen.

    Attributes:
        points: a row a point: evaluation_id, label, corruption, corruption_label, severity (float), accuracy with
            accuracy_low and accuracy_high (exact 95 % interval, 0-1), image_count. Ordered by model, corruption
            and severity, corruptions by the largest drop of a model.
        colors: color of each model, as in the charts of the house: blue, vermillion, green and pink; of more than
            four models the best and the worst have one, and the others are gray.
        images: the images in words.
    """

    points: pl.DataFrame
    colors: dict[str, str]
    images: str


def selection_name(selection: Selection) -> str:
    """A selection where the reader chooses among several."""
    facts = selection.shared
    models = join_names(selection.labels.values()) if len(selection.ids) <= 2 else f"{len(selection.ids)} models"
    return f"{selection.images} ({facts['subset']}; {facts['source_label']}; {models}; {selection.ids[0]})"


def narrowed(selection: Selection, labels: Sequence[str], corruptions: Sequence[str]) -> Selection:
    """A selection with some of its models and corruptions, in its own order.

    Raises:
        StudyError: none of either is left.
    """
    evaluations = tuple(one for one in selection.evaluations if one.label in labels)
    kept = tuple(name for name in selection.corruptions if name in corruptions)
    if not evaluations or not kept:
        raise StudyError("choose at least one model and one corruption")
    extras = tuple(name for name in selection.extras if name in kept)
    return replace(selection, evaluations=evaluations, corruptions=kept, extras=extras)


def read_curves(con: duckdb.DuckDBPyConnection, selection: Selection) -> Curves:
    """The curves of a selection."""
    names = corruption_labels(con)
    found = read_for_selection(con, "accuracy_by_severity", selection)
    labels = {name: label_with_extra(names[name], is_extra=name in selection.extras) for name in selection.corruptions}
    points = found.select(
        "evaluation_id", "label", "corruption", "severity", "accuracy", "accuracy_low", "accuracy_high", "image_count",
        corruption_label=pl.col("corruption").replace_strict(labels, return_dtype=pl.String),
        worst=pl.col("accuracy_drop").max().over("corruption"),
    )  # fmt: skip
    order = points.sort("worst", "corruption", "label", "severity", descending=[True, False, False, False])
    return Curves(order.drop("worst"), _colors(selection, found), selection.images)


def cells_of(points: pl.DataFrame) -> list[ModelCell]:
    """The cell of each point of curves, in order."""
    return [cell_of(row) for row in points.rows(named=True)]


def cell_of(point: dict[str, Any]) -> ModelCell:
    """The cell of one point of a curve."""
    return ModelCell(
        point["evaluation_id"], point["label"], point["corruption"], point["corruption_label"], point["severity"]
    )


def most_telling_cell(points: pl.DataFrame) -> ModelCell:
    """The cell that is shown before the reader chooses one: that of the lowest accuracy."""
    return cell_of(points.sort("accuracy", maintain_order=True).row(0, named=True))


def _colors(selection: Selection, points: pl.DataFrame) -> dict[str, str]:
    """Color by label, as `charts/model_colors` gives it; runs of one model share theirs.

    Of more than four models it goes by the mean accuracy that rankings are made of, without its interval, for which
    the reader would wait.
    """
    models = {run.label: model.label for model in trained_models(selection.evaluations) for run in model.runs}
    names = list(dict.fromkeys(models.values()))
    by_name = dict(zip(names, MODEL_COLORS, strict=False))
    if len(names) > len(MODEL_COLORS):
        averaged = points.filter(
            pl.col("corruption").is_in(selection.averaged),
            pl.col("severity").is_in(averaged_severities(points["severity"].unique())),
        )
        cells = averaged.with_columns(pl.col("label").replace_strict(models, return_dtype=pl.String))
        means = dict(cells.group_by("label", maintain_order=True).agg(pl.col("accuracy").mean()).rows())
        best, worst = max(means, key=means.__getitem__), min(reversed(means), key=means.__getitem__)
        by_name = dict.fromkeys(names, GRAY) | dict(zip((best, worst), MODEL_COLORS, strict=False))
    return {label: by_name[name] for label, name in models.items()}
