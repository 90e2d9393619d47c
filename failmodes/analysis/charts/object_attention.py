"""Attention on the object by severity: share of the attention map inside the object mask, with two nulls."""

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style import frame as style
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE, Frame
from failmodes.analysis.charts.style.series import OTHER_MODELS, ModelColors, by_largest_drop, model_colors
from failmodes.analysis.charts.style.theme import GRAY
from failmodes.analysis.evaluations.selection import Selection, corruption_names, read_for_selection
from failmodes.analysis.judging.findings.attention_off_object import object_word
from failmodes.analysis.judging.findings.headlines import chart_title
from failmodes.analysis.render.formatting import join_names
from failmodes.runtime.errors import WarehouseError

MAX_COLUMNS, HEIGHT_PX = 5, 120
PAD = 0.05  # of the range of shares, above and below it


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, frame: Frame = PAGE) -> Figure:
    """Mean share of attention inside the object: a panel per corruption, a line per model, and both nulls.

    Raises:
        WarehouseError: no evaluation has attention and object masks; the message says why.
    """
    every = read_for_selection(con, "attention_on_object", selection)
    points = _with_intervals(every.filter(pl.col("object_count").is_not_null()))
    if points.filter(pl.col("severity") > 0).is_empty():
        reasons = every.filter(pl.col("severity") > 0)["reason"].unique().drop_nulls().sort()
        raise WarehouseError(
            f"no attention on objects to show: {'; '.join(reasons)}: evaluate with attention and with `masks` in the "
            "[dataset] of the study (docs/masks.md)"
        )
    models = model_colors(con, selection)
    names = corruption_names(con, selection)
    word = object_word(selection.evaluations[0])
    order = [names[corruption] for corruption in by_largest_drop(points, "mean_mask_share") if corruption in names]
    rows = models.with_series(points).with_columns(corruption=pl.col("corruption").replace_strict(names, default=None))
    panels = frame.panels(len(order), MAX_COLUMNS, right_px=10)
    plot = style.small_multiples(
        _layers(rows, models, frame, word), rows.drop_nulls("corruption"), "corruption", order, panels,
        panels.height(HEIGHT_PX),
    )  # fmt: skip
    missing = [label for label in selection.labels.values() if label not in points["label"]]
    has_null = points["null_mean_mask_share"].is_not_null().any()
    null = "band: 95% interval of the difference from the null, around the line" if has_null else "band: 95% interval"
    return Figure(
        plot,
        chart_title(
            con,
            selection,
            "attention_off_object",
            f"has no conclusive change of attention on {word}",
            f"Attention on {word}",
        ),
        f"Mean share of the attention map on {word}, for the class predicted on the clean image; {selection.images}. "
        f"{'Diamond: null, another image’s map of the same cell; ' if has_null else ''}{null}; dotted: uniform map; "
        f"{models.phrase(selection.averaged_phrase)}".rstrip("; ")
        + f".{f' No masks or attention maps: {join_names(missing)}.' if missing else ''}",
        selection.source_line,
        frame,
    )


def _with_intervals(rows: pl.DataFrame) -> pl.DataFrame:
    """Shares with the interval of their difference from another image's map, else with their own interval."""
    null = pl.col("mean_mask_share") - pl.col("mean_over_null")
    return rows.with_columns(
        share_low=(null + pl.col("mean_over_null_low")).fill_null(pl.col("mean_mask_share_low")).clip(0, 1),
        share_high=(null + pl.col("mean_over_null_high")).fill_null(pl.col("mean_mask_share_high")).clip(0, 1),
    )


def _layers(rows: pl.DataFrame, models: ModelColors, frame: Frame, word: str) -> list[alt.Chart]:
    """The uniform map, models behind, bands, nulls, lines and points."""
    shares = [
        share
        for name in ("share_low", "share_high", "null_mean_mask_share", "even_mask_share")
        for share in rows[name].drop_nulls()
    ]
    pad = PAD * max(0.05, max(shares) - min(shares))
    scale = style.fixed_scale(max(0.0, min(shares) - pad), min(1.0, max(shares) + pad))

    def y(field: str) -> alt.Y:
        return alt.Y(f"{field}:Q", title=f"on {word}", scale=scale, axis=style.percent_axis())

    focus = style.focus_on("label", frame)
    tips = [alt.Tooltip("label:N", title="model"), alt.Tooltip("severity:Q", title="severity"),
            alt.Tooltip("mean_mask_share:Q", format=".1%", title="own map"),
            alt.Tooltip("null_mean_mask_share:Q", format=".1%", title="another image’s map"),
            alt.Tooltip("even_mask_share:Q", format=".1%", title="uniform map"),
            alt.Tooltip("pointing_accuracy:Q", format=".1%", title="pointing accuracy"),
            alt.Tooltip("null_pointing_accuracy:Q", format=".1%", title="pointing accuracy, another image’s map"),
            alt.Tooltip("object_count:Q", title="images")]  # fmt: skip
    x = style.severity_axis(max(rows["severity"]))
    base = alt.Chart().encode(x=x, y=y("mean_mask_share"), color=models.color(frame), detail="label:N")
    front = base.transform_filter(f"datum.series !== '{OTHER_MODELS}'")
    null = front.mark_point(shape="diamond", size=30, style="hollow", opacity=1)
    behind = base.transform_filter(f"datum.series === '{OTHER_MODELS}'").mark_line(strokeWidth=0.7, color=GRAY)
    return [
        alt.Chart().mark_line(style="muted-line", strokeDash=[1, 3]).encode(
            x=x, y=alt.Y("mean(even_mask_share):Q", scale=scale)
        ),
        *([behind] if models.has_others else []),
        front.mark_area(opacity=0.22).encode(y=y("share_low"), y2="share_high:Q"),
        null.encode(y=y("null_mean_mask_share"), tooltip=tips),
        front.mark_line(strokeWidth=1.8).encode(strokeDash=models.dash(), opacity=style.faded(focus)),
        front.mark_point(size=style.point_size(rows), filled=True).encode(
            tooltip=tips, opacity=style.faded(focus)
        ).add_params(focus),
    ]  # fmt: skip
