"""Colors and dashes of the series of a chart.

Each model has a color; of many models only the best and the worst have one, and the others are gray. A corruption has
the color of its group and a dash within the group.
"""

from typing import Any, NamedTuple

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style.frame import Frame, series_color
from failmodes.analysis.charts.style.theme import GRAY, GROUP_COLORS, MODEL_COLORS, MODEL_DASHES
from failmodes.analysis.evaluations.selection import Selection, corruption_names
from failmodes.analysis.evaluations.trained_models import TrainedModel, trained_models
from failmodes.analysis.render.formatting import format_percent, label_with_extra
from failmodes.analysis.statistics.model_accuracy import model_accuracies

OTHERS = "other models"
DASHES = ([1, 0], [6, 2], [2, 2], [7, 2, 2, 2], [1, 3], [10, 3])  # of corruptions of one group


class ModelColors(NamedTuple):
    """Colors of the models of a selection; training runs of one model share its color.

    Attributes:
        models: of the selection, in order.
        colors: color by label: of all models up to four, else of the two with the highest and lowest mean accuracy.
        series: legend entry by label; models without a color share one.
        of_runs: label of the model by label of the training run.
    """

    models: tuple[TrainedModel, ...]
    colors: dict[str, str]
    series: dict[str, str]
    of_runs: dict[str, str]

    @property
    def trained(self) -> list[TrainedModel]:
        """Models of several training runs."""
        return [model for model in self.models if model.has_several_seeds]

    @property
    def has_others(self) -> bool:
        """Whether some models are gray."""
        return OTHERS in self.series.values()

    def with_series(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows with the `series` of their `label` (of a model or a run); gray ones first, to be drawn first."""
        series = {run: self.series[model] for run, model in self.of_runs.items()} | self.series
        named = rows.with_columns(series=pl.col("label").replace_strict(series, return_dtype=pl.String))
        return named.sort(pl.col("series") != OTHERS, maintain_order=True)

    def color(self, frame: Frame, *others: tuple[str, str], **legend: Any) -> alt.Color:
        """The color channel of the column `series`, with its legend.

        Args:
            frame: of the chart.
            others: further series with their colors, such as published models.
            legend: options of Altair's legend.
        """
        domain = {self.series[label]: color for label, color in self.colors.items()}
        domain |= {OTHERS: GRAY} if self.has_others else {}
        domain |= dict(others)
        return series_color(domain, frame, **legend)

    def dash(self) -> alt.StrokeDash:
        """The dash channel of the column `series`, one dash per colored model."""
        names = [self.series[label] for label in self.colors]
        dashes = [list(dash) for dash in MODEL_DASHES[: len(names)]]
        return alt.StrokeDash("series:N", title=None, scale=alt.Scale(domain=names, range=dashes), legend=None)

    def phrase(self, averaged: str) -> str:
        """The models in color, if not all are; `averaged` is the subject of the mean."""
        if not self.has_others:
            return ""
        return f"in color: highest and lowest mean accuracy over {averaged} of {len(self.models)} models; "


def model_colors(con: duckdb.DuckDBPyConnection, selection: Selection) -> ModelColors:
    """Colors of the models of a selection."""
    models = tuple(trained_models(selection.evaluations))
    of_runs = {run.label: model.label for model in models for run in model.runs}
    if len(models) <= len(MODEL_COLORS):
        series = {model.label: model.label_with_seeds for model in models}
        return ModelColors(models, dict(zip(series, MODEL_COLORS, strict=False)), series, of_runs)
    found = model_accuracies(con, selection)
    means = {one.label: mean.corrupted.value for one, mean in found.items() if mean.corrupted is not None}
    ranked = sorted(means, key=means.__getitem__)
    ends = {"highest": ranked[-1], "lowest": ranked[0]} if ranked else {}
    colored = {label: f"{label} ({rank} mean, {format_percent(means[label])})" for rank, label in ends.items()}
    series = {model.label: colored.get(model.label, OTHERS) for model in models}
    return ModelColors(models, dict(zip(colored, MODEL_COLORS, strict=False)), series, of_runs)


def by_largest_drop(rows: pl.DataFrame, column: str) -> list[str]:
    """Corruptions by the largest drop of a model from clean to the last severity, largest first."""
    drop = pl.col(column).first() - pl.col(column).last()
    drops = rows.sort("severity").group_by("corruption", "label").agg(drop=drop)
    largest = drops.group_by("corruption").agg(pl.max("drop")).sort("drop", "corruption", descending=[True, False])
    return largest["corruption"].to_list()


def with_groups(con: duckdb.DuckDBPyConnection, selection: Selection, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with the `name`, `group` and `dash` of their corruption; dashes count corruptions within a group."""
    groups = con.sql('select corruption, corruption_group as "group" from corruptions').pl()
    names = pl.DataFrame(list(corruption_names(con, selection).items()), ["corruption", "name"], orient="row")
    places = names.join(groups, on="corruption", how="left", maintain_order="left").with_columns(
        dash=pl.int_range(pl.len()).over("group") % len(DASHES)
    )
    return rows.join(places, on="corruption", maintain_order="left")


def group_color(rows: pl.DataFrame, frame: Frame) -> alt.Color:
    """The color channel of the column `group`, with its legend; groups in published order, others last."""
    found = set(rows["group"])
    groups = [group for group in GROUP_COLORS if group in found] + sorted(found - set(GROUP_COLORS))
    return series_color({group: GROUP_COLORS.get(group, GRAY) for group in groups}, frame, field="group")


def corruption_dash() -> alt.StrokeDash:
    """The dash channel of the column `dash`."""
    scale = alt.Scale(domain=list(range(len(DASHES))), range=list(DASHES))
    return alt.StrokeDash("dash:N", scale=scale, legend=None)


def name_with_extra() -> pl.Expr:
    """The name of a row's corruption, from its columns corruption_label and headline; see `label_with_extra`."""
    return pl.col("corruption_label") + pl.when("headline").then(pl.lit("")).otherwise(
        pl.lit(label_with_extra("", is_extra=True))
    )
