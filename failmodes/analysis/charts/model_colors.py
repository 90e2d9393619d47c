"""Which models are in color: all of up to four; of more the two with the highest and the lowest mean accuracy.

Training runs of one model share its color.
"""

from typing import NamedTuple

import duckdb

from failmodes.analysis.charts.style.labels import LegendEntry
from failmodes.analysis.charts.style.theme import GRAY, MODEL_COLORS, MODEL_DASHES
from failmodes.analysis.render.formatting import format_percent
from failmodes.analysis.selection import Selection
from failmodes.analysis.statistics.model_accuracy import model_accuracies
from failmodes.analysis.trained_models import TrainedModel, trained_models


class ModelColors(NamedTuple):
    """How models are told apart.

    Attributes:
        colors: color by model, of all models in order.
        legend_names: the models that are not in the gray background, with their names in the legend.
        models: of the selection, in order.
    """

    colors: dict[str, str]
    legend_names: dict[str, str]
    models: tuple[TrainedModel, ...]

    @property
    def trained(self) -> list[TrainedModel]:
        """Models of several training runs."""
        return [model for model in self.models if model.has_several_seeds]

    @property
    def of_runs(self) -> dict[str, str]:
        """The model of each training run, by label."""
        return {run.label: model.label for model in self.models for run in model.runs}

    @property
    def run_colors(self) -> dict[str, str]:
        """Color by training run."""
        return {run: self.colors[model] for run, model in self.of_runs.items()}

    @property
    def background(self) -> list[str]:
        """Models that are drawn in gray."""
        return [label for label in self.colors if label not in self.legend_names]

    def entries(self) -> list[LegendEntry]:
        """The legend: a line a model, nothing of a single one."""
        if len(self.colors) == 1:
            return []
        entries = [LegendEntry(name, self.colors[label]) for label, name in self.legend_names.items()]
        if self.background:
            return [*entries, LegendEntry("the others", GRAY)]
        return [entry._replace(dash=dash) for entry, dash in zip(entries, MODEL_DASHES, strict=False)]

    def phrase(self, averaged: str) -> str:
        """What is in color, where not all are: for a subtitle; `averaged` tells what the mean is over."""
        which = f"of {len(self.colors)} models those with the highest and the lowest mean accuracy over {averaged}"
        return f"in color: {which}" if self.background else ""


def model_colors(con: duckdb.DuckDBPyConnection, selection: Selection) -> ModelColors:
    """Colors of the models of a selection."""
    models = tuple(trained_models(selection.evaluations))
    labels = [model.label for model in models]
    if len(labels) <= len(MODEL_COLORS):
        names = {model.label: model.label_with_seeds for model in models}
        return ModelColors(dict(zip(labels, MODEL_COLORS, strict=False)), names, models)
    found = model_accuracies(con, selection)
    means = {e.label: one.corrupted.value for e, one in found.items() if one.corrupted is not None}
    if not means:
        return ModelColors(dict.fromkeys(labels, GRAY), {}, models)
    most, least = max(means, key=means.__getitem__), min(reversed(means), key=means.__getitem__)
    legend_names = {label: f"{label}, {rank} mean accuracy ({format_percent(means[label])})"
                    for label, rank in ((most, "highest"), (least, "lowest"))}  # fmt: skip
    colored = dict(zip(legend_names, MODEL_COLORS, strict=False))
    return ModelColors({label: colored.get(label, GRAY) for label in labels}, legend_names, models)
