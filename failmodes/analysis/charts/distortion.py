"""Distortion curves as small multiples: how far corrupted images lie from the clean ones, by RMSE and by SSIM."""

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style import axes
from failmodes.analysis.charts.style.combining import in_grid, layered, stacked
from failmodes.analysis.charts.style.theme import PAGE, ChartSize, ChartText, add_text
from failmodes.analysis.render.formatting import (
    format_number,
    format_severity,
    join_names,
    label_with_extra,
    lower_label,
)
from failmodes.analysis.sample_images import CorruptionRequest, many_images
from failmodes.analysis.selection import Selection
from failmodes.analysis.statistics.distortion import measured_distortion, not_monotone, stored_distortion
from failmodes.ingest.corruptions.catalog import CORRUPTIONS

MEASURES = {"rmse": "RMSE", "ssim": "1 \u2212 SSIM"}  # one above the other in a panel
LABEL_PX, AXIS_PX, HEADROOM = 30, 44, 1.12

DRAWN = (
    "Distance from the clean image by severity: root mean square difference (of values / 255) above, one minus "
    "structural similarity below; line: mean over {images}, band: the middle 90% of them."
)


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, size: ChartSize = PAGE) -> alt.VConcatChart:
    """Distortion on record, a panel a corruption.

    Raises:
        WarehouseError: corrupted images do not pair with clean ones.
    """
    rows = stored_distortion(con, selection)
    subtitle = DRAWN.format(images=selection.images)
    return _draw(rows, ChartText(distortion_sentence(rows), subtitle, selection.source_line), size)


def chart_of_images(request: CorruptionRequest, *, size: ChartSize = PAGE) -> alt.VConcatChart:
    """Distortion measured on request, over severity 0 to 5 by .25 where a corruption interpolates.

    Raises:
        StudyError, DataError: what was requested cannot be read, or nothing of it can be made.
    """
    samples = many_images(request.files, request.side_px)
    rows, missing = measured_distortion(request, samples.images)
    without = "".join(
        f" Without {lower_label(CORRUPTIONS[name].label)}: {reason.rstrip('.')}." for name, reason in missing.items()
    )
    images = f"{samples.label} ({request.side_px} \u00d7 {request.side_px} pixels)"
    source = f"Images: {samples.credit}; {request.description}."
    return _draw(rows, ChartText(distortion_sentence(rows), DRAWN.format(images=images) + without, source), size)


def _draw(rows: pl.DataFrame, text: ChartText, size: ChartSize) -> alt.VConcatChart:
    order = rows.sort("corruption_order")["corruption"].unique(maintain_order=True).to_list()
    columns = axes.corruption_columns(size, len(order))
    width, height = (
        (size.width_px - AXIS_PX - 16) / columns - LABEL_PX - 10,
        size.height(62 if size.is_wide else 46, 24),
    )
    highest = {name: float(rows.select(_distances(name)["high"].max()).item()) for name in MEASURES}
    scales = {name: axes.fixed_scale(0, max(0.01, HEADROOM * high)) for name, high in highest.items()}
    panels = [
        _panel(
            rows.filter(corruption=name), scales, width, height,
            is_left=not index % columns, is_last=index // columns == (len(order) - 1) // columns,
        )
        for index, name in enumerate(order)
    ]  # fmt: skip
    return add_text([in_grid(*panels, columns=columns, spacing={"row": 14, "column": 10})], text, size)


def _distances(measure: str) -> dict[str, pl.Expr]:
    """Mean, low and high of a measure as a distance, which is 0 for the clean image."""
    mean, low, high = pl.col(f"mean_{measure}"), pl.col(f"{measure}_q05"), pl.col(f"{measure}_q95")
    return {"mean": 1 - mean, "low": 1 - high, "high": 1 - low} if measure == "ssim" else (
        {"mean": mean, "low": low, "high": high})  # fmt: skip


def _panel(
    rows: pl.DataFrame, scales: dict[str, alt.Scale], width: float, height: float, *, is_left: bool, is_last: bool
) -> alt.VConcatChart:
    """One corruption: each measure on its own axis, one above the other."""
    label = label_with_extra(rows["corruption_label"][0], is_extra=not rows["headline"][0])
    last = axes.last_severity(rows)
    plots = []
    for measure, title in MEASURES.items():
        x = axes.severity_axis(last, title=is_left and is_last)
        if measure != list(MEASURES)[-1]:
            x = x.axis(alt.Axis(values=axes.severity_ticks(last), labels=False, title=None, grid=False))
        y = alt.Y("mean:Q", title=title if is_left else None, scale=scales[measure],
                  axis=alt.Axis(tickCount=3, format="~g", labels=is_left, ticks=is_left, domain=False))  # fmt: skip
        layers = _curve(rows.sort("severity").select("severity", **_distances(measure)), title, x, y)
        plots.append(layered(*layers, width=width, height=height))
    # flush: labels must not move a plot
    return stacked(*plots, spacing=13, bounds="flush", title=axes.panel_title(label, offset=4))


def _curve(points: pl.DataFrame, title: str, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    base = alt.Chart(points).encode(x=x)
    tips = [alt.Tooltip("severity:Q"), alt.Tooltip("mean:Q", format=".3f", title=title),
            alt.Tooltip("low:Q", format=".3f", title="5% of images are nearer than"),
            alt.Tooltip("high:Q", format=".3f", title="95% are nearer than")]  # fmt: skip
    end = alt.Chart(points.tail(1).with_columns(text=pl.lit(format_number(points["mean"][-1], 2))))
    text = end.mark_text(align="left", dx=5, fontSize=11, fontWeight="bold", style="ink")
    return [
        base.mark_area(style="band").encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q")),
        base.mark_line(strokeWidth=1.8, style="ink-line").encode(y=y, tooltip=tips),
        text.encode(x=x, y=alt.Y("mean:Q"), text=alt.Text("text:N")),
    ]


def distortion_sentence(rows: pl.DataFrame) -> str:
    """Which corruption takes images farthest at its last severity, and under which the distance falls between."""
    last = rows.filter(pl.col("severity") == pl.col("severity").max().over("corruption"))
    first = last.sort("mean_rmse", descending=True).row(0, named=True)
    severity, rmse = format_severity(first["severity"]), format_number(first["mean_rmse"], 2)
    farthest = f"{first['corruption_label']} takes these images farthest from clean: RMSE {rmse} at severity {severity}"
    uneven = not_monotone(rows)
    if not uneven:
        return f"{farthest}; no distance falls as severity grows"
    return f"{farthest}; not monotone: {join_names(lower_label(label) for label in uneven)}"
