"""Accuracy curves as small multiples: from clean to the last severity, with chord, interval and shape."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style import frame as style
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE, Frame
from failmodes.analysis.charts.style.series import (
    OTHER_MODELS,
    PUBLISHED,
    ModelColors,
    by_largest_drop,
    model_colors,
    published_behind,
)
from failmodes.analysis.charts.style.theme import GRAY, LABEL_PX, TEXT_SHADES
from failmodes.analysis.charts.style.value_axis import (
    POSITION,
    VALUE,
    VALUES_PX,
    axis_ticks,
    levels_with_values,
    value_axis,
    with_positions,
)
from failmodes.analysis.evaluations.selection import Selection, corruption_names, read_for_selection, words_of_runs
from failmodes.analysis.judging.findings.headlines import is_judged
from failmodes.analysis.judging.findings.largest_drop import largest_drop_sentence
from failmodes.analysis.judging.findings.shape import shape_label
from failmodes.analysis.render.formatting import (
    capitalize_first,
    format_count,
    format_number,
    format_percent,
    join_names,
)
from failmodes.analysis.statistics.curve_shape import VALUE_AXIS, chord, stored_settings
from failmodes.analysis.statistics.level_axes import LevelAxis
from failmodes.analysis.statistics.model_accuracy import seed_curves
from failmodes.analysis.statistics.views_of_images import read_view
from failmodes.runtime.errors import WarehouseError
from failmodes.warehouse.curve_shapes import NO_SHAPE, SHAPE_LABELS

MAX_COLUMNS, LINE_PX = 5, 13
MIN_HEIGHT_PX, MAX_HEIGHT_PX, ASPECT = 92, 150, 0.75  # of a panel; height by width
MIN_FOLDED = 4  # with fewer panels, flat ones are drawn too


def chart(
    con: duckdb.DuckDBPyConnection,
    selection: Selection,
    *,
    frame: Frame = PAGE,
    published: bool = True,
    axis: str = "severity",
    beside: Sequence[Selection] = (),
) -> Figure:
    """Small multiples, one panel per corruption, by total drop; of more than four models only two have a color.

    A line below names corruptions under which every model stays within the margin of a flat curve.

    Args:
        con: the warehouse, with shapes.
        selection: evaluations and corruptions.
        frame: where it is drawn.
        published: draw published models on the dataset behind, if the warehouse has any.
        axis: "severity", or "value" of the levels, on their scale.
        beside: selections of charts beside this one, which have the same panels and scale; shapes are then left out.

    Raises:
        WarehouseError: there is one level only, or no corruption has values of levels, which the axis needs.
    """
    levels = levels_with_values(con, selection) if axis == VALUE else {}
    drawn = replace(selection, corruptions=tuple(levels)) if levels else selection
    models = model_colors(con, selection)
    is_of_some = bool(selection.filter or beside)  # published models and stored shapes are of all images
    others = published_behind(con, selection, shown=published and not levels and not is_of_some)
    names = corruption_names(con, selection)
    shapes = _shapes(con, drawn, over_values=bool(levels))
    shapes = shapes.clear() if is_of_some else shapes
    points = _points(con, drawn, models, levels)
    if points["severity"].n_unique() < 2:
        raise WarehouseError("no curve to show: there is one level, and no reference level")
    margin = stored_settings(con).flat_below
    every = _with_those_beside(con, points, models, levels, beside)
    flat = _flat_corruptions(every, margin)
    by_drop = sorted(by_largest_drop(every, "accuracy"), key=selection.extras.__contains__)  # extras last
    order = [names[corruption] for corruption in by_drop if corruption not in flat]
    low = style.share_floor(min([*every["accuracy_low"].drop_nulls(), *others.curves["accuracy"]]))
    first, last = min(points["severity"]), max(points["severity"])
    panels = frame.panels(len(order), MAX_COLUMNS, right_px=32)
    words = _shape_rows(shapes.filter(~pl.col("corruption").is_in(flat)), models, panels.width)
    usual = min(MAX_HEIGHT_PX, max(MIN_HEIGHT_PX, ASPECT * panels.width))
    last_line = max(words["line"], default=0)
    below_px = VALUES_PX * bool(levels)
    height = panels.height(usual, style.PANEL_HEAD_PX + LINE_PX * (last_line + 1) + below_px)
    words = words.with_columns(above=1 + (4 + LINE_PX * (last_line - pl.col("line"))) / height * (1 - low))
    behind = others.curves.with_columns(series=pl.lit(PUBLISHED))
    rows = pl.concat([behind, models.with_series(points), words], how="diagonal_relaxed")
    rows = _with_last_values(rows, models, LABEL_PX / height * (1 - low), low)
    if levels:
        rows = pl.concat([rows, axis_ticks(levels, panels.width)], how="diagonal_relaxed")
        names |= {corruption: _panel_title(names[corruption], levels[corruption]) for corruption in levels}
        order = [names[corruption] for corruption in by_drop if corruption not in flat]
    rows = rows.with_columns(
        corruption=pl.col("corruption").replace_strict(names, default=None, return_dtype=pl.String)
    )
    chance = selection.chance if selection.chance is not None and selection.chance >= low + 0.005 else None
    layers = _layers(
        models,
        frame,
        [PUBLISHED] if others.phrase else [],
        POSITION if levels else style.severity_axis(last, first=first),
        alt.Y("accuracy:Q", title="accuracy", scale=style.fixed_scale(low, 1), axis=style.percent_axis(height)),
        chance,
        style.point_size(points),
    )
    layers += value_axis(height) if levels else []
    plot = style.small_multiples(
        layers, rows.filter(pl.col("corruption").is_in(order)), "corruption", order, panels, height, below_px=below_px
    )
    above = "above each panel: shape of each curve, if it is conclusive" * (not shapes.is_empty())
    steady = "" if chance is None else f"dotted: chance ({format_percent(chance)}); "
    return Figure(
        plot,
        (is_judged(con, selection) and largest_drop_sentence(con, selection)) or f"Accuracy by {axis}",
        f"{_span(levels, first, last)} on {selection.images}; {_band_phrase(models)}; gray "
        f"dashes: linear drop; {models.phrase(selection.averaged_phrase)}{others.phrase}{steady}{above}".rstrip("; ")
        + f".{_without_values(levels, names)}",
        selection.source_line,
        frame,
        f"Within {format_number(100 * margin, 0)} points of clean accuracy at every severity, not drawn: "
        f"{join_names(names[corruption] for corruption in flat)}."
        if flat
        else "",
    )


def _shapes(con: duckdb.DuckDBPyConnection, selection: Selection, *, over_values: bool) -> pl.DataFrame:
    """Stored shapes of curves over severity, or over the values of levels, which are of all images."""
    of_all = replace(selection, filter="", kept_count=None)
    shapes = read_for_selection(con, "shapes_over_distortion" if over_values else "shapes", of_all)
    return shapes.filter(axis=VALUE_AXIS) if over_values else shapes


def _with_those_beside(
    con: duckdb.DuckDBPyConnection, points: pl.DataFrame, models: ModelColors, levels: dict[str, LevelAxis],
    beside: Sequence[Selection],
) -> pl.DataFrame:  # fmt: skip
    """The points with those of charts beside this one, whose labels are distinct."""
    others = [
        _points(con, replace(other, corruptions=tuple(levels) or other.corruptions), models, levels).with_columns(
            label=pl.col("label") + f" {number}"
        )
        for number, other in enumerate(beside)
    ]
    return pl.concat([points, *others], how="diagonal_relaxed")


def _panel_title(name: str, axis: LevelAxis) -> str:
    """The corruption with the quantity and unit of its levels: "Contrast, % (log)"."""
    title = axis.title
    return capitalize_first(title) if axis.name.lower() == name.lower() else f"{name}: {title}"


def _span(levels: dict[str, LevelAxis], first: float, last: float) -> str:
    """The levels of the curves, in words."""
    if not levels:
        return f"Accuracy from {f'severity {first:g}' if first else 'clean (0)'} to severity {last:g}"
    off = "; a reference level off the scale is at the left" * any(axis.is_reference_off for axis in levels.values())
    return f"Accuracy by value of the level, from the reference level to the most severe{off},"


def _without_values(levels: dict[str, LevelAxis], names: dict[str, str]) -> str:
    """Which corruptions have no values, after a space; "" if the chart needs none, or all have them."""
    lacking = [name for corruption, name in names.items() if levels and corruption not in levels]
    return f" Not drawn, since their levels have no values: {join_names(lacking)}." if lacking else ""


def _points(
    con: duckdb.DuckDBPyConnection, selection: Selection, models: ModelColors, levels: dict[str, LevelAxis]
) -> pl.DataFrame:
    """Accuracy with interval and chord by label, corruption and severity; several training runs as their mean.

    Where levels have values, `position` is the place of each on its axis, 0-1.

    Each run of such a model has rows of its own, with a `run` and without an interval.
    """
    cells = read_view(con, "accuracy_by_severity", selection)
    columns = ["corruption", "label", "severity", "accuracy", "accuracy_low", "accuracy_high"]
    of_several = [run.label for model in models.trained for run in model.runs]
    means = [seed_curves(con, selection, model).with_columns(label=pl.lit(model.label)) for model in models.trained]
    single = cells.filter(~pl.col("label").is_in(of_several))
    points = pl.concat([part.select(columns) for part in (single, *means)]).sort("corruption", "label", "severity")
    field = "severity"
    if levels:
        points, cells, field = with_positions(points, levels), with_positions(cells, levels), "position"
        columns = [*columns, "position", "level"]
    chords = [
        pl.Series(chord(curve["accuracy"], curve[field]) if len(curve) > 1 else curve["accuracy"])
        for curve in points.partition_by("corruption", "label", maintain_order=True)
    ]
    runs = cells.filter(pl.col("label").is_in(of_several)).select(
        *(name for name in columns if name not in ("accuracy_low", "accuracy_high")), run="label"
    )
    return pl.concat([points.with_columns(chord=pl.concat(chords)), runs], how="diagonal_relaxed")


def _flat_corruptions(points: pl.DataFrame, margin: float) -> list[str]:
    """Corruptions under which every model stays within `margin` of its clean accuracy, largest change first.

    Empty if there are few corruptions, or no other.
    """
    curves = points.filter(pl.col("run").is_null()).sort("severity").group_by("corruption", "label")
    changes = curves.agg(change=(pl.col("accuracy") - pl.col("accuracy").first()).abs().max())
    largest = (
        changes.group_by("corruption").agg(pl.max("change")).sort("change", "corruption", descending=[True, False])
    )
    flat = largest.filter(pl.col("change") <= margin)["corruption"].to_list()
    return flat if MIN_FOLDED <= len(largest) != len(flat) else []


def _shape_rows(shapes: pl.DataFrame, models: ModelColors, width: float) -> pl.DataFrame:
    """The `shape_text` of each corruption and colored model with a shape, and its `line` below the title.

    Models with the same text share one, whose `series` is null. A panel without a shape has an empty line.
    """
    labeled = shapes.with_columns(label=pl.col("label").replace_strict(models.of_runs, return_dtype=pl.String))
    rows = []
    for (corruption,), panel in labeled.partition_by("corruption", as_dict=True, maintain_order=True).items():
        lines = {label: shape_line(panel.filter(label=label).rows(named=True), width + 30) for label in models.colors}
        texts: dict[str | None, str] = {models.series[label]: line for label, line in lines.items() if line}
        if len(texts) == len(lines) > 1 and len(set(texts.values())) == 1:
            texts = {None: texts.popitem()[1]}
        rows += [
            {"corruption": corruption, "series": series, "shape_text": text, "line": line}
            for line, (series, text) in enumerate((texts or {None: "\u00a0"}).items())
        ]
    schema = {"corruption": pl.String, "series": pl.String, "shape_text": pl.String, "line": pl.Int64}
    return pl.DataFrame(rows, schema, orient="row")


def _with_last_values(rows: pl.DataFrame, models: ModelColors, gap: float, low: float) -> pl.DataFrame:
    """Rows with the last accuracy of each colored curve as `text`, and its vertical position as `place`."""
    colored = pl.col("series").is_in([models.series[label] for label in models.colors])
    ends = (
        rows.filter(colored & pl.col("chord").is_not_null())
        .sort("severity")
        .unique(["corruption", "series"], keep="last", maintain_order=True)
    )
    places = [
        panel.select(
            "corruption",
            "series",
            "severity",
            place=pl.Series(style.spread_apart(panel["accuracy"].to_list(), gap, low + gap / 3)),
            text=pl.Series([format_percent(value, 0) for value in panel["accuracy"]]),
        )
        for panel in ends.partition_by("corruption")
    ]
    return rows.join(pl.concat(places), on=["corruption", "series", "severity"], how="left", maintain_order="left")


def _layers(
    models: ModelColors,
    frame: Frame,
    behind: list[str],
    severity: alt.X,
    accuracy: alt.Y,
    chance: float | None,
    point_size: int,
) -> list[alt.Chart]:
    """Lines with intervals and chords, last values at their right and shapes above."""
    focus = style.focus_on("label", frame)
    color = models.color(frame, *((name, GRAY) for name in behind))
    faded = style.faded(focus)
    base = alt.Chart().encode(x=severity, y=accuracy, color=color, detail=["label:N", "run:N"])
    front = base.transform_filter(f"isValid(datum.chord) && datum.series !== '{OTHER_MODELS}'")
    tips = [
        alt.Tooltip("label:N", title="model"),
        alt.Tooltip("severity:Q", title="severity"),
        *([alt.Tooltip("level:N", title="level")] if severity is POSITION else []),
        *style.interval_tips("accuracy", ".1%", "accuracy", "accuracy_low", "accuracy_high"),
    ]
    shades = [TEXT_SHADES.get(color, color) for color in models.colors.values()]
    of_series: list[tuple[Any, dict[str, Any]]] = [
        (alt.FieldEqualPredicate(field="series", equal=models.series[label]), {"color": shade})
        for label, shade in zip(models.colors, shades, strict=True)
    ]
    return [
        *([] if chance is None else [style.rule_at(chance, strokeDash=[1, 3])]),
        base.transform_filter(alt.FieldOneOfPredicate("series", [*behind, OTHER_MODELS])).mark_line(
            strokeWidth=0.7, opacity=0.6
        ),
        front.mark_line(strokeDash=[3, 3], strokeWidth=1, style="muted-line").encode(y="chord:Q", color=alt.Color()),
        front.mark_area(opacity=0.22).encode(y="accuracy_low:Q", y2="accuracy_high:Q"),
        base.transform_filter("isValid(datum.run)")
        .mark_line(strokeWidth=0.7, strokeOpacity=0.65)
        .encode(opacity=faded),
        front.mark_line(strokeWidth=1.8).encode(strokeDash=models.dash(), opacity=faded),
        front.mark_point(size=point_size, filled=True).encode(tooltip=tips, opacity=faded).add_params(focus),
        *(
            front.transform_filter(is_one)
            .mark_text(align="left", dx=6, fontWeight="bold", **shade)
            .encode(y="place:Q", text="text:N", opacity=faded, color=alt.Color())
            for is_one, shade in of_series
        ),
        *(
            alt.Chart()
            .transform_filter("isValid(datum.shape_text)")
            .transform_filter(is_one)
            .mark_text(align="left", baseline="bottom", **shade)
            .encode(text="shape_text:N", x=alt.value(0), y="above:Q")
            for is_one, shade in [*of_series, ("!isValid(datum.series)", {"style": "muted"})]
        ),
    ]


def _band_phrase(models: ModelColors) -> str:
    """Meaning of the band of a curve."""
    counts = {len(model.runs) for model in models.trained}
    if not counts:
        return "band: exact 95% interval"
    words = words_of_runs(run for model in models.trained for run in model.runs)
    seeds = format_count(counts.pop(), words.seed) if len(counts) == 1 else f"{words.seed}s"
    single = "" if len(models.trained) == len(models.models) else " (single runs: exact, over images)"
    return f"band: 95% interval over {seeds} and images{single}; thin lines: individual {words.short_seed}s"


def shape_line(rows: Sequence[dict[str, Any]], available_px: float) -> str:
    """The shape of a model's training runs under one corruption, as one line that fits the panel; "" if inconclusive.

    Args:
        rows: of the table `shapes`, one per training run.
        available_px: width of the panel.
    """
    (shape, most), *others = Counter(row["shape"] for row in rows).most_common() or [(NO_SHAPE, 0)]
    if shape == NO_SHAPE:
        return ""
    if len(rows) == 1 and "axis" not in rows[0]:
        long = shape_label(rows[0])
        short = SHAPE_LABELS[shape]
    elif any(count == most for _, count in others):
        long = "shapes differ by seed"
        short = "shapes differ"
    elif others:
        long, short = (
            f"{SHAPE_LABELS[shape]} in {most} of {len(rows)} seeds",
            f"{SHAPE_LABELS[shape]} {most}/{len(rows)}",
        )
    else:
        return SHAPE_LABELS[shape]
    return long if style.text_width(long) <= available_px else short
