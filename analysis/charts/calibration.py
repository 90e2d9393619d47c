"""Reliability by severity: how often the network is right when it says so, and how many images stand behind it."""

from dataclasses import replace

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style.axes import evenly_spaced
from failmodes.analysis.charts.style.legend import LegendEntry, legend
from failmodes.analysis.charts.style.theme import PAGE, PERCENT_AXIS, ChartSize, ChartText, Layered, add_text
from failmodes.analysis.findings.calibration import overconfidence_sentence
from failmodes.analysis.formatting import format_severity
from failmodes.analysis.selection import Selection, read_for_selection

RAMP = ("#7cc4f0", "#4aa0dc", "#3a7fc4", "#5b5fb5", "#8a4a9e", "#b03a78")  # clean to last; seen in light and dark

FEWEST = 10  # bins of fewer images are left out of the lines, not of the counts


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, layout: ChartSize = PAGE) -> alt.VConcatChart:
    """Accuracy against confidence in equal bins, pooled over corruptions, a line a severity, a panel a network."""
    bins = _pooled(read_for_selection(con, "reliability_bins", replace(selection, corruptions=selection.averaged)))
    all_levels = sorted(bins["severity"].unique().to_list())
    levels = evenly_spaced(all_levels, len(RAMP))
    colours = {s: RAMP[round(place / max(1, len(levels) - 1) * (len(RAMP) - 1))] for place, s in enumerate(levels)}
    bins = bins.filter(pl.col("severity").is_in(levels))
    bins = bins.with_columns(colour=pl.col("severity").replace_strict(colours, return_dtype=pl.String))
    labels = list(selection.labels.values())
    columns = 2 if len(labels) > 1 and layout.columns > 2 else 1
    width = min(330.0, (layout.width_px - 60 * columns) / columns)
    panels = [_panel(bins.filter(label=label), label, width) for label in labels]
    entries = [LegendEntry(format_severity(s), colours[s]) for s in levels]
    few = "" if levels == all_levels else f" ({len(levels)} of {len(all_levels)} levels)"
    parts = (legend(entries, layout.width_px - 70), alt.concat(*panels, columns=columns, spacing=24))
    bin_count = round(1 / float((bins["bin_high"] - bins["bin_low"])[0]))
    words = ChartText(
        overconfidence_sentence(con, selection),
        f"Accuracy against mean confidence (largest softmax) in {bin_count} equal bins of at least {FEWEST} images, "
        f"pooled over {selection.averaged_words}, clean and by severity{few}; dashed: perfect calibration, above it "
        f"under-, below it overconfident; beneath: share of images by confidence. {selection.images}.",
        selection.source_line,
    )
    return add_text(parts, words, layout)


def _pooled(bins: pl.DataFrame) -> pl.DataFrame:
    """Bins pooled over corruptions; the clean cell, which stands at the foot of every corruption, counts once."""
    once = bins.filter((pl.col("severity") > 0) | (pl.col("corruption") == pl.col("corruption").min().over("label")))
    weight = pl.col("image_count")
    pooled = once.group_by("label", "severity", "bin_index", "bin_low", "bin_high").agg(
        weight.sum().alias("count"),
        (pl.col("mean_confidence") * weight).sum() / weight.sum(),
        (pl.col("accuracy") * weight).sum() / weight.sum(),
    )
    share = pl.col("count") / pl.col("count").sum().over("label", "severity")
    return pooled.with_columns(share=share).sort("label", "severity", "bin_index")


def _panel(bins: pl.DataFrame, title: str, width: float) -> alt.VConcatChart:
    return alt.vconcat(_lines(bins, title, width), _counts(bins, width), spacing=6)


def _lines(bins: pl.DataFrame, title: str, width: float) -> Layered:
    scale = alt.Scale(domain=[0, 1], nice=False)
    axis = alt.Axis(labels=False, title=None, ticks=False, grid=True, tickCount=5)
    x = alt.X("mean_confidence:Q", scale=scale, axis=axis)
    y = alt.Y("accuracy:Q", scale=scale, title="accuracy",
              axis=alt.Axis(labelExpr=PERCENT_AXIS, tickCount=5, domain=False))  # fmt: skip
    colour = alt.Color("colour:N", scale=None, legend=None)
    ideal = alt.Chart(pl.DataFrame({"mean_confidence": [0.0, 1.0], "accuracy": [0.0, 1.0]}))
    base = alt.Chart(bins.filter(pl.col("count") >= FEWEST)).encode(x=x, y=y, color=colour)
    tips = [alt.Tooltip("severity:Q"), alt.Tooltip("mean_confidence:Q", format=".1%", title="confidence"),
            alt.Tooltip("accuracy:Q", format=".1%"), alt.Tooltip("count:Q", title="images")]  # fmt: skip
    return alt.layer(
        ideal.mark_line(strokeDash=[4, 3], strokeWidth=1, style="muted-line").encode(x=x, y=y),
        base.mark_line(strokeWidth=1.8).encode(detail="severity:N"),
        base.mark_point(filled=True, size=16, opacity=1).encode(tooltip=tips),
        width=width,
        height=width * 0.8,
        title=alt.Title(title, frame="group", offset=6),
    )


def _counts(bins: pl.DataFrame, width: float) -> alt.Chart:
    middle = bins.with_columns(middle=(pl.col("bin_low") + pl.col("bin_high")) / 2)
    return (
        alt.Chart(middle)
        .mark_line(interpolate="step", strokeWidth=1.4)
        .encode(
            x=alt.X("middle:Q", title="confidence", scale=alt.Scale(domain=[0, 1], nice=False),
                    axis=alt.Axis(labelExpr=PERCENT_AXIS, tickCount=5, grid=False)),
            y=alt.Y("share:Q", title="share", axis=alt.Axis(labelExpr=PERCENT_AXIS, tickCount=2, domain=False)),
            color=alt.Color("colour:N", scale=None, legend=None), detail="severity:N",
        )
        .properties(width=width, height=50)
    )  # fmt: skip
