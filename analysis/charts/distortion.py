"""Distortion curves as small multiples: how far images lie from their clean twins, by RMSE and by SSIM."""

from typing import NamedTuple

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style.axes import panel_columns, severity_axis, severity_ticks
from failmodes.analysis.charts.style.theme import BLUE, PAGE, VERMILLION, ChartSize, ChartText, Layered, add_text
from failmodes.analysis.formatting import format_number, format_severity, join_names, label_with_extra, lower_label
from failmodes.analysis.sample_images import CorruptionRequest, many_images
from failmodes.analysis.selection import Selection
from failmodes.analysis.statistics.distortion import (
    MeasuredDistortion,
    measured_distortion,
    not_monotone,
    stored_distortion,
)
from failmodes.ingest.corruptions.catalogue import CORRUPTIONS

MEASURES = {"rmse": ("RMSE", BLUE), "ssim": ("1 \u2212 SSIM", VERMILLION)}  # one above the other in a panel

LABEL_PX, AXIS_PX, HEADROOM = 30, 44, 1.12

DRAWN = (
    "Distance from the clean image by severity: root mean square difference (of values / 255) above, one minus "
    "structural similarity below; line: mean over {images}, band: the middle 90\u00a0% of them."
)


class DistortionPanelFrame(NamedTuple):
    """What all panels share: size of one measure's plot in pixels, and the top of each measure's axis."""

    width_px: float
    height_px: float
    tops: dict[str, float]


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, layout: ChartSize = PAGE) -> alt.VConcatChart:
    """Distortion on record, a panel a corruption.

    Raises:
        WarehouseError: corrupted images do not pair with clean ones.
    """
    rows = stored_distortion(con, selection)
    words = ChartText(
        distortion_sentence(rows),
        DRAWN.format(images=selection.images),
        selection.source_line,
    )
    return _dressed(rows, words, layout)


def chart_of_images(corrupting: CorruptionRequest, *, layout: ChartSize = PAGE) -> alt.VConcatChart:
    """Distortion measured on the spot, over severity 0 to 5 by .25 where a corruption interpolates.

    Raises:
        StudyError, DataError: what was asked for cannot be read, or nothing of it can be made.
    """
    pictures = many_images(corrupting.files, corrupting.side_px)
    measured = measured_distortion(corrupting, pictures.images)
    side = corrupting.side_px
    images = f"{pictures.label} ({side} \u00d7 {side} pixels)"
    words = ChartText(
        distortion_sentence(measured.rows),
        DRAWN.format(images=images) + _without(measured),
        f"Images: {pictures.credit}; {corrupting.words}.",
    )
    return _dressed(measured.rows, words, layout)


def _without(measured: MeasuredDistortion) -> str:
    return "".join(
        f" Without {lower_label(CORRUPTIONS[name].label)}: {reason.rstrip('.')}."
        for name, reason in measured.missing.items()
    )


def _dressed(rows: pl.DataFrame, words: ChartText, layout: ChartSize) -> alt.VConcatChart:
    order = rows.sort("corruption_order")["corruption"].unique(maintain_order=True).to_list()
    columns = panel_columns(layout, len(order))
    frame = DistortionPanelFrame(
        (layout.width_px - AXIS_PX - 16) / columns - LABEL_PX - 10,
        62 if layout.columns > 2 else 46,
        {name: max(0.01, HEADROOM * float(rows.select(_distances(name)["high"].max()).item())) for name in MEASURES},
    )
    panels = [
        _panel(
            rows.filter(corruption=name), frame,
            is_left=not place % columns, is_last=place // columns == (len(order) - 1) // columns,
        )
        for place, name in enumerate(order)
    ]  # fmt: skip
    return add_text([alt.concat(*panels, columns=columns, spacing={"row": 14, "column": 10})], words, layout)


def _distances(measure: str) -> dict[str, pl.Expr]:
    """Mean, low and high of a measure as a distance, which is 0 for the clean image."""
    mean, low, high = pl.col(f"mean_{measure}"), pl.col(f"{measure}_q05"), pl.col(f"{measure}_q95")
    return {"mean": 1 - mean, "low": 1 - high, "high": 1 - low} if measure == "ssim" else (
        {"mean": mean, "low": low, "high": high})  # fmt: skip


def _panel(rows: pl.DataFrame, frame: DistortionPanelFrame, *, is_left: bool, is_last: bool) -> alt.VConcatChart:
    """One corruption: each measure on its own axis, one above the other."""
    label = label_with_extra(rows["corruption_label"][0], is_extra=not rows["headline"][0])
    last = float(rows.select(pl.col("severity").max()).item())
    parts = []
    for measure, (title, colour) in MEASURES.items():
        x = severity_axis(last, title=is_left and is_last)
        if measure != list(MEASURES)[-1]:
            x = x.axis(alt.Axis(values=severity_ticks(last), labels=False, title=None, grid=False))
        y = alt.Y("mean:Q", title=title if is_left else None,
                  scale=alt.Scale(domain=[0, frame.tops[measure]], nice=False),
                  axis=alt.Axis(tickCount=3, format="~g", labels=is_left, ticks=is_left, domain=False))  # fmt: skip
        parts.append(_curve(rows.sort("severity").select("severity", **_distances(measure)), colour, x, y, frame))
    heading = alt.Title(label, frame="group", offset=4)
    return alt.vconcat(*parts, spacing=13, bounds="flush", title=heading)  # flush: labels must not move a plot


def _curve(points: pl.DataFrame, colour: str, x: alt.X, y: alt.Y, frame: DistortionPanelFrame) -> Layered:
    base = alt.Chart(points).encode(x=x)
    tips = [alt.Tooltip("severity:Q"), alt.Tooltip("mean:Q", format=".3f"),
            alt.Tooltip("low:Q", format=".3f", title="5 %"),
            alt.Tooltip("high:Q", format=".3f", title="95 %")]  # fmt: skip
    end = alt.Chart(points.tail(1).with_columns(text=pl.lit(format_number(points["mean"][-1], 2))))
    return alt.layer(
        base.mark_area(opacity=0.2, color=colour).encode(y="low:Q", y2="high:Q"),
        base.mark_line(strokeWidth=1.8, color=colour).encode(y=y, tooltip=tips),
        end.mark_text(align="left", dx=5, fontSize=11, fontWeight="bold", color=colour).encode(
            x=x, y="mean:Q", text="text:N"),
        width=frame.width_px, height=frame.height_px,
    )  # fmt: skip


def distortion_sentence(rows: pl.DataFrame) -> str:
    """Which corruption takes images farthest at its last severity, and under which the distance falls on the way."""
    last = rows.filter(pl.col("severity") == pl.col("severity").max().over("corruption"))
    first = last.sort("mean_rmse", descending=True).row(0, named=True)
    told = (
        f"{first['corruption_label']} takes images farthest from clean: RMSE {format_number(first['mean_rmse'], 2)} at "
        f"severity {format_severity(first['severity'])}"
    )
    uneven = not_monotone(rows)
    if not uneven:
        return f"{told}; no distance falls as severity grows"
    return f"{told}; not monotone: {join_names(lower_label(label) for label in uneven)}"
