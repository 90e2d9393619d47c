"""Attention on the object: the share of maps inside the object masks along severity, beside what chance would give."""

from typing import Any, NamedTuple

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.model_colors import ModelColors, model_colors
from failmodes.analysis.charts.style import axes
from failmodes.analysis.charts.style.combining import in_grid, layered
from failmodes.analysis.charts.style.focus import add_focus, focus_opacity, pointed_layer
from failmodes.analysis.charts.style.labels import LegendEntry, legend, text_width
from failmodes.analysis.charts.style.theme import (
    GRAY,
    MODEL_DASHES,
    PAGE,
    ChartSize,
    ChartText,
    Layered,
    add_text,
)
from failmodes.analysis.judging.findings.attention_off_object import object_word
from failmodes.analysis.render.formatting import (
    MAX_LISTED,
    format_points_interval,
    join_names,
    label_with_extra,
    lower_label,
)
from failmodes.analysis.selection import Selection, corruption_labels, read_for_selection
from failmodes.analysis.statistics.attention import attention_at_last
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.warehouse.errors import WarehouseError
from failmodes.warehouse.schema import CLEAN

AXIS_PX, RIGHT_PX, TITLE_PX = 42, 10, 12
PANEL_HEIGHT_PX, LEAST_HEIGHT_PX = 130, 44
EVEN_DASH = (1, 3)
PAD = 0.08  # of the range of shares, above and below it
NULLS = (LegendEntry("another image's map", GRAY, shape="diamond"), LegendEntry("an even map", GRAY, dash=EVEN_DASH))


class PanelFrame(NamedTuple):
    """What all panels share: the last severity, lowest and highest share, width and height, and the models."""

    last: float
    low: float
    high: float
    width: float
    height: float
    models: ModelColors


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, size: ChartSize = PAGE) -> alt.VConcatChart:
    """Mean share of attention inside the object, a panel a corruption and a line a model, beside both nulls.

    Raises:
        WarehouseError: no evaluation of the selection has attention and object masks; it says why.
    """
    rows = read_for_selection(con, "attention_on_object", selection)
    points = _with_intervals(rows.filter(pl.col("object_count").is_not_null()))
    if points.filter(pl.col("severity") > 0).is_empty():
        reasons = rows.filter(pl.col("severity") > 0)["reason"].unique().drop_nulls().sort()
        raise WarehouseError(f"no attention on objects to show: {'; '.join(reasons)}")
    names = corruption_labels(con)
    names = {name: label_with_extra(names[name], is_extra=name in selection.extras) for name in selection.corruptions}
    order = [name for name in _order(points) if name in names]
    models = model_colors(con, selection)
    columns = axes.corruption_columns(size, len(order), max(text_width(names[c], TITLE_PX) for c in order))
    low, high = _range(points)
    width, height = (
        (size.width_px - AXIS_PX - 16) / columns - RIGHT_PX - 10,
        size.height(PANEL_HEIGHT_PX, LEAST_HEIGHT_PX),
    )
    frame = PanelFrame(axes.last_severity(points), low, high, width, height, models)
    panels = [
        _panel(points.filter(corruption=name), names[name], frame, pointed_layer(index), is_left=not index % columns,
               is_last=index // columns == (len(order) - 1) // columns)
        for index, name in enumerate(order)
    ]  # fmt: skip
    grid = in_grid(*panels, columns=columns, spacing={"row": 18, "column": 10})
    nulls = NULLS if points["null_mean_mask_share"].is_not_null().any() else NULLS[1:]
    entries = [*models.entries(), *nulls]
    drawn = add_text(
        [*legend(entries, size.width_px - AXIS_PX - 40), grid], _text(con, points, selection, names, models), size
    )
    return add_focus(drawn, "label", len(panels))


def _with_intervals(rows: pl.DataFrame) -> pl.DataFrame:
    """Shares with the interval of their difference from another image's map; where that is not known, of themselves."""
    null = pl.col("mean_mask_share") - pl.col("mean_over_null")
    return rows.with_columns(
        severity=pl.col("severity").cast(pl.Float64),
        share_low=(null + pl.col("mean_over_null_low")).fill_null(pl.col("mean_mask_share_low")).clip(0, 1),
        share_high=(null + pl.col("mean_over_null_high")).fill_null(pl.col("mean_mask_share_high")).clip(0, 1),
    )


def _range(points: pl.DataFrame) -> tuple[float, float]:
    """The lowest and the highest share that is drawn, with some room."""
    shares = points.select("share_low", "share_high", "null_mean_mask_share", "even_mask_share")
    values = [value for column in shares.iter_columns() for value in column.drop_nulls()]
    pad = PAD * max(0.05, max(values) - min(values))
    return max(0.0, min(values) - pad), min(1.0, max(values) + pad)


def _order(points: pl.DataFrame) -> list[str]:
    """Corruptions by the share that is lost from clean to the last severity, the largest loss first."""
    ends = points.sort("severity").group_by("label", "corruption").agg(
        lost=pl.col("mean_mask_share").first() - pl.col("mean_mask_share").last()
    )  # fmt: skip
    lost = ends.group_by("corruption").agg(pl.col("lost").max())
    return lost.sort("lost", "corruption", descending=[True, False])["corruption"].to_list()


def _text(
    con: duckdb.DuckDBPyConnection,
    points: pl.DataFrame,
    selection: Selection,
    names: dict[str, str],
    models: ModelColors,
) -> ChartText:
    missing = [label for label in selection.labels.values() if label not in set(points["label"])]
    word = object_word(selection.evaluations[0])
    known = points["null_mean_mask_share"].is_not_null().any()
    null = (
        "diamond: another image's map of the same cell inside this image's mask; band: 95% interval of the "
        "difference of paired images, drawn about the line: they differ where the diamond lies outside; "
        if known
        else "band: its 95% interval; another image's map is not on record; "
    )
    behind = f"; {models.phrase(selection.averaged_phrase)}" if models.background else ""
    return ChartText(
        _finding(con, selection, names, word),
        f"Mean share of a map's mass that lies on {word}, for the class predicted on the clean image; "
        f"{selection.images}. Line: each image's own map; {null}dotted: an even map, which has the share of the image "
        f"that is {word.removeprefix('the ')}{behind}."
        f"{f' Without masks or attention: {join_names(missing)}.' if missing else ''}",
        selection.source_line,
    )


def _panel(
    points: pl.DataFrame, title: str, frame: PanelFrame, pointed: str, *, is_left: bool, is_last: bool
) -> Layered:
    models, labels = frame.models, list(frame.models.colors)
    x = axes.severity_axis(frame.last, title=is_left and is_last)
    axis = axes.percent_axis(labels=is_left, ticks=is_left, domain=False)
    scale = axes.fixed_scale(frame.low, frame.high)

    def y(field: str) -> alt.Y:
        return alt.Y(f"{field}:Q", title="on the object" if is_left else None, scale=scale, axis=axis)

    color: Any = alt.Color("label:N", title=None, sort=labels, legend=None,
                            scale=alt.Scale(domain=labels, range=list(models.colors.values())))  # fmt: skip
    dash: Any = alt.StrokeDashValue([1, 0])
    if 1 < len(labels) <= len(MODEL_DASHES):
        dash = alt.StrokeDash("label:N", sort=labels, legend=None,
                              scale=alt.Scale(domain=labels, range=list(MODEL_DASHES[: len(labels)])))  # fmt: skip
    tips = [alt.Tooltip("label:N", title="model"), alt.Tooltip("severity:Q"),
            alt.Tooltip("mean_mask_share:Q", format=".1%", title="own map"),
            alt.Tooltip("null_mean_mask_share:Q", format=".1%", title="another image's map"),
            alt.Tooltip("even_mask_share:Q", format=".1%", title="even map"),
            alt.Tooltip("pointing_accuracy:Q", format=".1%", title="maximum on it"),
            alt.Tooltip("null_pointing_accuracy:Q", format=".1%", title="maximum of another image's map on it"),
            alt.Tooltip("object_count:Q", title="images")]  # fmt: skip
    shown = points.select(
        "label", "severity", "share_low", "share_high", *(tip.shorthand.split(":")[0] for tip in tips[2:])
    )
    base = alt.Chart(shown.sort("label", "severity")).encode(x=x, detail=alt.Detail("label:N"))
    front = base.transform_filter(alt.FieldOneOfPredicate("label", list(models.legend_names)))
    behind = base.transform_filter(alt.FieldOneOfPredicate("label", models.background))
    even = shown.group_by("severity", maintain_order=True).agg(pl.col("even_mask_share").mean()).sort("severity")
    layers = [
        alt.Chart(even).mark_line(style="muted-line", strokeDash=EVEN_DASH, strokeWidth=1.4)
        .encode(x=x, y=y("even_mask_share")),
        *([behind.mark_line(strokeWidth=1, color=GRAY).encode(y=y("mean_mask_share"))] if models.background else []),
        front.mark_area(opacity=0.22).encode(y=y("share_low"), y2=alt.Y2("share_high:Q"), color=color),
        front.mark_point(shape="diamond", size=34, strokeWidth=1.4, opacity=1, style="hollow").encode(
            y=y("null_mean_mask_share"), color=color, tooltip=tips),
        front.mark_line(strokeWidth=1.8).encode(y=y("mean_mask_share"), color=color, strokeDash=dash,
                                                opacity=focus_opacity()),
        front.mark_point(size=axes.point_size(shown), filled=True).encode(
            y=y("mean_mask_share"), color=color, tooltip=tips, opacity=focus_opacity()).properties(name=pointed),
    ]  # fmt: skip
    return layered(*layers, width=frame.width, height=frame.height, title=axes.panel_title(title, offset=4))


def _finding(con: duckdb.DuckDBPyConnection, selection: Selection, names: dict[str, str], word: str) -> str:
    """Whether each model's clean attention follows the object, beside another image's map, and what is left of it."""
    every = {e.label: attention_at_last(con, e, selection.corruptions).over_null for e in selection.evaluations}
    known = {label: dict(over) for label, over in every.items() if CLEAN in over}
    if not known:
        return f"Share of attention on {word}; whether it follows {word} is not on record"
    clean = {label: over.pop(CLEAN) for label, over in known.items()}
    if len(known) > MAX_LISTED:
        return f"Clean attention follows {word} in {sum(one.low > 0 for one in clean.values())} of {len(known)} models"
    phrases: dict[str, list[str]] = {"follows": [], "does not follow": [], "is not shown to follow": []}
    for label, one in clean.items():
        verdict = "follows" if one.above_zero else "does not follow" if one.below_zero else "is not shown to follow"
        shown = (-one.value, -one.high, -one.low) if one.below_zero else one
        phrases[verdict].append(f"{label} has {format_points_interval(shown)}{_left(known[label], names, one)}")
    parts = [
        f"attention {verdict} {word}: {join_names(each)} {'less' if verdict == 'does not follow' else 'more'} on it "
        "than another image's map"
        for verdict, each in phrases.items()
        if each
    ]
    return f"When clean, {'; '.join(parts)}"


def _left(over: dict[str, Estimate], names: dict[str, str], clean: Estimate) -> str:
    """What the corruption that leaves least leaves, where attention follows the object when clean."""
    if not (over and clean.above_zero):
        return ""
    least = min(over, key=lambda corruption: over[corruption].value)
    return f" ({format_points_interval(over[least])} under {lower_label(names[least])})"
