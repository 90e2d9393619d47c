"""Colors and dashes of the series of a chart.

Each model has a color, by its place in the study; of many models only the best and the worst have one, and the others
are gray. The baseline is dark gray. A corruption has the color of its group and a dash within the group.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style.frame import Frame, series_color
from failmodes.analysis.charts.style.theme import BASELINE_GRAY, GRAY, GROUP_COLORS, MODEL_COLORS, MODEL_DASHES
from failmodes.analysis.evaluations.selection import Selection, corruption_names
from failmodes.analysis.evaluations.trained_models import TrainedModel, trained_models
from failmodes.analysis.render.formatting import format_count, format_percent, label_with_extra
from failmodes.analysis.statistics.model_accuracy import model_accuracies
from failmodes.analysis.statistics.published import published_curves, published_shapes, unlike
from failmodes.warehouse.curve_shapes import FALLING

OTHER_MODELS = "other models"
DASHES = ([1, 0], [6, 2], [2, 2], [7, 2, 2, 2], [1, 3], [10, 3])  # of corruptions of one group
PUBLISHED = "published models"  # in a legend


class ModelColors(NamedTuple):
    """Colors of the models of a selection; training runs of one model share its color.

    Attributes:
        models: of the selection, in order.
        colors: color by label: of all models up to four besides the baseline, else of the two with the highest and
            lowest mean accuracy and of the baseline.
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
        return OTHER_MODELS in self.series.values()

    def with_series(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows with the `series` of their `label` (of a model or a run); gray ones first, to be drawn first."""
        series = {run: self.series[model] for run, model in self.of_runs.items()} | self.series
        named = rows.with_columns(series=pl.col("label").replace_strict(series, return_dtype=pl.String))
        return named.sort(pl.col("series") != OTHER_MODELS, maintain_order=True)

    def color(self, frame: Frame, *others: tuple[str, str], **legend: Any) -> alt.Color:
        """The color channel of the column `series`, with its legend.

        Args:
            frame: of the chart.
            others: further series with their colors, such as published models.
            legend: options of Altair's legend.
        """
        domain = {self.series[label]: color for label, color in self.colors.items()}
        domain |= {OTHER_MODELS: GRAY} if self.has_others else {}
        domain |= dict(others)
        return series_color(domain, frame, **legend)

    def dash(self) -> alt.StrokeDash:
        """The dash channel of the column `series`, one dash per colored model."""
        names = [self.series[label] for label in self.colors]
        dashes = [list(MODEL_DASHES[color]) for color in self.colors.values()]
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
    baseline = next((model for model in models if model.runs[0].facts["is_baseline"]), None)
    names = {model.label: f"{model.label_with_seeds}{' (baseline)' * (model == baseline)}" for model in models}
    if len(models) - (baseline is not None) <= len(MODEL_COLORS):
        series = names
        colored = list(models)
    else:
        accuracies = model_accuracies(con, selection)
        means = {model: mean.overall.value for model, mean in accuracies.items() if mean.overall is not None}
        ranked = sorted(means, key=means.__getitem__)
        highest_lowest = {ranked[-1]: "highest", ranked[0]: "lowest"} if ranked else {}
        ends = {m.label: f"{m.label} ({rank} mean, {format_percent(means[m])})" for m, rank in highest_lowest.items()}
        colored = [model for model in models if model in highest_lowest or model == baseline]
        shown = {label: ends.get(label, names[label]) for label in (model.label for model in colored)}
        series = {model.label: shown.get(model.label, OTHER_MODELS) for model in models}
    return ModelColors(models, _colors(colored, baseline), series, of_runs)


def _colors(models: Sequence[TrainedModel], baseline: TrainedModel | None) -> dict[str, str]:
    """Color by label: of the first models of a warehouse always the same, of later ones those that remain."""
    colors = {} if baseline is None else {baseline.label: BASELINE_GRAY}
    for model in models:
        place = model.runs[0].facts["model_place"] - 1
        if model != baseline and place < len(MODEL_COLORS) and MODEL_COLORS[place] not in colors.values():
            colors[model.label] = MODEL_COLORS[place]
    left = [color for color in MODEL_COLORS if color not in colors.values()]
    later = [model.label for model in models if model.label not in colors]
    colors |= dict(zip(later, left, strict=False))
    return {model.label: colors[model.label] for model in models}


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
    present = set(rows["group"])
    groups = [group for group in GROUP_COLORS if group in present] + sorted(present - set(GROUP_COLORS))
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


class PublishedBehind(NamedTuple):
    """Published models on a selection's dataset; tables and phrase are empty if there are none.

    Attributes:
        curves: label, corruption, severity and accuracy (0-1).
        shapes: label, corruption, shape, curvature and total_drop (0-1) of curves that drop.
        phrase: their part of a caption: count, sets, and which images they were measured on; ends in a semicolon.
    """

    curves: pl.DataFrame
    shapes: pl.DataFrame
    phrase: str


def published_behind(con: duckdb.DuckDBPyConnection, selection: Selection, *, shown: bool = True) -> PublishedBehind:
    """Published models to draw behind a selection.

    Args:
        con: the warehouse, with shapes.
        selection: the evaluations in front.
        shown: False returns none.
    """
    curves = published_curves(con, selection)
    shapes = published_shapes(con, selection)
    if not shown:
        curves = curves.clear()
        shapes = shapes.clear()
    sets = curves["published_set"].unique().sort().to_list()
    count = format_count(curves.select("published_set", "model").n_unique(), "published model")
    phrase = f"gray, without intervals: {count} ({'; '.join(sets)}), {protocol_phrase(selection, sets)}; "
    model = pl.col("model") if len(sets) == 1 else pl.format("{} ({})", "model", "published_set")
    return PublishedBehind(
        curves.select("corruption", "severity", "accuracy", label=model),
        shapes.filter(pl.col("shape").is_in(FALLING)).select(
            "corruption", "shape", "curvature", "total_drop", label=model
        ),
        phrase if sets else "",
    )


def protocol_phrase(selection: Selection, sets: Sequence[str]) -> str:
    """Whether accuracies of published tables are measured as those of a selection, and if not, the differences."""
    known = [unlike(selection, name) for name in sets]
    differences = [text for found in known for text in found or ()]
    if differences:
        return f"measured under another protocol ({'; '.join(dict.fromkeys(differences))})"
    return "possibly measured under another protocol" if None in known else "measured under the same protocol"
