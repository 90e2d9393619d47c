"""Distortion curves: RMSE and 1 − SSIM between corrupted and clean images, one panel per corruption."""

from decimal import Decimal
from typing import Any

import altair as alt
import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from failmodes.analysis.charts.style import frame as style
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE, Frame
from failmodes.analysis.charts.style.series import name_with_extra
from failmodes.analysis.charts.style.theme import DARK_GRAY, LABEL_PX, MID_GRAY
from failmodes.analysis.evaluations.selection import Selection, read_for_selection
from failmodes.analysis.images.sample_images import CorruptionRequest, many_images
from failmodes.analysis.render.formatting import format_count, format_number, format_severity, join_names, lower_label
from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.ingest.distortion import rmse, ssim
from failmodes.runtime.errors import FailmodesError, StudyError, WarehouseError
from failmodes.runtime.hashing import fingerprint_with_rows
from failmodes.warehouse.metrics.duplicates import number_groups
from failmodes.warehouse.metrics.intervals import interval_of_mean

DENSE_GRID = [Decimal(step) / 4 for step in range(1, 21)]  # 0.25 to 5
MAX_COLUMNS, HEIGHT_PX, VALUE_PX = 4, 110, 32
MAX_NAMED = 3  # corruptions of equal distortion
MEASURES = {"RMSE": MID_GRAY, "1 \u2212 SSIM": DARK_GRAY}


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, frame: Frame = PAGE) -> Figure:
    """Stored distortion, of the first evaluation, since all evaluations of a selection share their pixels.

    Raises:
        WarehouseError: corrupted images do not pair with clean ones, or their distance is not stored.
    """
    rows = read_for_selection(con, "distortion_by_severity", selection.only(selection.evaluations[0]))
    rows = rows.drop_nulls(["mean_rmse", "mean_ssim", "rmse_q95", "ssim_q05"])
    if rows.is_empty():
        raise WarehouseError("no distortion to show: images do not pair with clean ones, or it is not stored")
    rows = rows.sort("corruption_order", "severity")
    return _figure(rows, selection.images, "", selection.source_line, frame)


def chart_of_images(request: CorruptionRequest, *, frame: Frame = PAGE) -> Figure:
    """Distortion measured on request, over severity 0 to 5 in steps of .25 where a corruption interpolates.

    Raises:
        StudyError, DataError: what was requested cannot be read, or nothing of it can be made.
    """
    samples = many_images(request.files, request.side_px)
    rows, missing = measured_distortion(request, samples.images)
    without = "".join(
        f" Without {lower_label(CORRUPTIONS[name].label)}: {reason.rstrip('.')}." for name, reason in missing.items()
    )
    images = f"{samples.label} ({request.side_px} \u00d7 {request.side_px} pixels)"
    return _figure(rows, images, without, f"Images: {samples.credit}; {request.description}.", frame)


def _figure(rows: pl.DataFrame, images: str, without: str, source: str, frame: Frame) -> Figure:
    rows = rows.with_columns(corruption=name_with_extra())
    order = rows.sort("corruption_order")["corruption"].unique(maintain_order=True).to_list()
    panels = frame.panels(len(order), MAX_COLUMNS, right_px=VALUE_PX)
    height = panels.height(HEIGHT_PX)
    layers = _layers(frame, max(rows["severity"]))
    plot = style.small_multiples(layers, _points(rows, LABEL_PX / height), "corruption", order, panels, height)
    return Figure(
        plot,
        distortion_sentence(rows),
        "Distance from the clean image by severity: root mean square error (RMSE, values / 255) and one minus "
        f"structural similarity (SSIM); line: mean over {images}; band: 5th to 95th percentile.{without}",
        source,
        frame,
    )


def _points(rows: pl.DataFrame, apart: float) -> pl.DataFrame:
    """Mean distance and its quantiles by corruption, severity and measure, 0 for the clean image.

    The last of each has its value as `text`, and the height `place` at which it is printed.

    Args:
        rows: of the view distortion_by_severity.
        apart: distance of two texts, as a share of the plot's height.
    """
    rmse, ssim = MEASURES
    points = pl.concat([
        rows.select("corruption", "severity", series=pl.lit(rmse), mean="mean_rmse", low="rmse_q05", high="rmse_q95"),
        rows.select("corruption", "severity", series=pl.lit(ssim), mean=1 - pl.col("mean_ssim"),
                    low=1 - pl.col("ssim_q95"), high=1 - pl.col("ssim_q05")),
    ])  # fmt: skip
    gap = 1.15 * apart * max(points["high"])
    ends = points.filter(pl.col("severity") == pl.col("severity").max().over("corruption"))
    places = []
    for end in ends.partition_by("corruption"):
        place = pl.Series(style.spread_apart(end["mean"].to_list(), gap, gap / 3))
        text = pl.Series([format_number(mean, 2) for mean in end["mean"]])
        places.append(end.select("corruption", "severity", "series", place=place, text=text))
    return points.join(pl.concat(places), on=["corruption", "severity", "series"], how="left", maintain_order="left")


def _layers(frame: Frame, last: float) -> list[alt.Chart]:
    base = alt.Chart().encode(
        x=style.severity_axis(last),
        y=alt.Y("mean:Q", title="distance", axis=style.y_axis(tickCount=4, format="~g"), scale=alt.Scale(domainMin=0)),
        color=style.series_color(MEASURES, frame),
        strokeDash=alt.StrokeDash("series:N", scale=alt.Scale(domain=list(MEASURES), range=[[1, 0], [4, 2]])),
    )  # fmt: skip
    tips = [alt.Tooltip("corruption:N", title="corruption"), alt.Tooltip("series:N", title="distance"),
            alt.Tooltip("severity:Q", title="severity"), alt.Tooltip("mean:Q", format=".3f", title="mean"),
            alt.Tooltip("low:Q", format=".3f", title="5th percentile"),
            alt.Tooltip("high:Q", format=".3f", title="95th percentile")]  # fmt: skip
    return [
        base.mark_area(opacity=0.2, strokeWidth=0).encode(y="low:Q", y2="high:Q"),
        base.mark_line(strokeWidth=1.8).encode(tooltip=tips),
        base.transform_filter("isValid(datum.text)")
        .mark_text(align="left", dx=5, fontWeight="bold")
        .encode(y="place:Q", text="text:N"),
    ]


def distortion_sentence(rows: pl.DataFrame) -> str:
    """The corruption with the largest distortion at its last severity, and those that are not monotone.

    All whose distortion is printed as the largest are named, or counted. Those that are not monotone have a step with a
    decrease of mean RMSE whose 95% interval is below 0.
    """
    last = rows.filter(pl.col("severity") == pl.col("severity").max().over("corruption"))
    printed = [format_number(value, 2) for value in last["mean_rmse"]]
    largest = format_number(max(last["mean_rmse"]), 2)
    first = last.filter(pl.Series(printed) == largest)
    labels = first["corruption_label"].unique(maintain_order=True).to_list()
    named = join_names([labels[0], *map(lower_label, labels[1:])])
    who = named if len(labels) <= MAX_NAMED else format_count(len(labels), "corruption")
    at = join_names(format_severity(severity) for severity in first["severity"].unique(maintain_order=True))
    most = f"{who} distort{'s' * (len(labels) == 1)} the images most: RMSE {largest} at severity {at}"
    falls = rows.filter(pl.col("rmse_change_high") < 0)["corruption_label"].unique(maintain_order=True)
    uneven = [lower_label(label) for label in falls]
    trend = f"not monotone: {join_names(uneven)}" if uneven else "distortion never decreases with severity"
    return f"{most}; {trend}"


def measured_distortion(request: CorruptionRequest, clean: NDArray[np.uint8]) -> tuple[pl.DataFrame, dict[str, str]]:
    """Corrupt `clean` (N, S, S, 3) uint8 and measure its distortion at the requested severities or a dense grid.

    Fractional severities include only corruptions that interpolate.

    Returns:
        Rows as in the view distortion_by_severity, and the reason for each corruption that failed.

    Raises:
        StudyError: all corruptions failed; the message says why.
    """
    rows: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    for name in request.names():
        try:
            rows += _curve(request, name, clean)
        except FailmodesError as error:
            missing[name] = str(error)
    if not rows:
        raise StudyError(next(iter(missing.values())))
    return pl.DataFrame(rows), missing


def _curve(request: CorruptionRequest, name: str, clean: NDArray[np.uint8]) -> list[dict[str, Any]]:
    """Rows of one corruption from clean to the last severity; the change is from the previous severity."""
    info = CORRUPTIONS[name]
    severities = request.levels() or DENSE_GRID
    rows: list[dict[str, Any]] = []
    before = None
    groups = number_groups(fingerprint_with_rows(clean)[1])
    for severity in [Decimal(0), *(s for s in severities if info.interpolable or not s % 1)]:
        images = request.images_at(name, severity, clean)
        distances = rmse(clean, images).astype(np.float64)
        change = (None, None, None) if before is None else interval_of_mean(distances - before, groups=groups)
        rows.append({
            "corruption": name, "corruption_label": info.label, "corruption_order": info.order,
            "headline": info.headline, "severity": float(severity), "image_count": len(clean),
            **_summary("rmse", distances), **_summary("ssim", ssim(clean, images).astype(np.float64)),
            **dict(zip(("rmse_change", "rmse_change_low", "rmse_change_high"), change, strict=True)),
        })  # fmt: skip
        before = distances
    return rows


def _summary(name: str, values: NDArray[np.float64]) -> dict[str, float]:
    low, high = np.quantile(values, [0.05, 0.95])
    return {f"mean_{name}": float(values.mean()), f"{name}_q05": float(low), f"{name}_q95": float(high)}
