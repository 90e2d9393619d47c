"""Reliability by severity: how often the model is right at each confidence, and how many images are behind it."""

from collections.abc import Mapping, Sequence

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style import axes
from failmodes.analysis.charts.style.combining import in_grid, layered, stacked
from failmodes.analysis.charts.style.labels import LegendEntry, legend, severity_colors
from failmodes.analysis.charts.style.theme import PAGE, ChartSize, ChartText, Layered, add_text
from failmodes.analysis.judging.findings.overconfidence import size_of
from failmodes.analysis.render.formatting import (
    MAX_LISTED,
    format_points_interval,
    format_severity,
    join_names,
    lower_label,
)
from failmodes.analysis.selection import Selection, corruption_labels
from failmodes.analysis.statistics.calibration import CellConfidence, overconfidence_by_corruption
from failmodes.analysis.statistics.reliability import pooled_reliability
from failmodes.warehouse.errors import WarehouseError
from failmodes.warehouse.metrics.columns import BINS
from failmodes.warehouse.schema import CLEAN

TERMS = {"supported": "overconfident", "contradicted": "underconfident"}
FEWEST = 10  # bins of fewer predictions are left out of the lines, not of the counts


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, size: ChartSize = PAGE) -> alt.VConcatChart:
    """Accuracy against confidence in equal bins, pooled over corruptions, a line a severity, a panel a model.

    Raises:
        WarehouseError: no prediction is a finite number.
    """
    bins = pooled_reliability(con, selection)
    if bins.is_empty():
        raise WarehouseError("no calibration to show: no prediction is a finite number")
    severities = sorted(bins["severity"].unique().to_list())
    colors = severity_colors(severities)
    bins = bins.filter(pl.col("severity").is_in(list(colors))).with_columns(
        color=pl.col("severity").replace_strict(colors, return_dtype=pl.String),
        share=pl.col("count") / pl.col("count").sum().over("label", "severity"),
        middle=(pl.col("bin_index") + 0.5) / BINS,
    )
    labels = list(selection.labels.values())
    columns, width = axes.model_columns(size, len(labels), axes.MARGIN_PX)
    width = min(330.0, width)
    height = size.height(0.8 * width, 90)
    panels = [_panel(bins.filter(label=label), label, width, height) for label in labels]
    entries = [LegendEntry(format_severity(s), color) for s, color in colors.items()]
    few = "" if len(colors) == len(severities) else f" ({len(colors)} of {len(severities)} levels)"
    text = ChartText(
        overconfidence_sentence(con, selection),
        f"Accuracy against mean confidence (largest softmax) in {BINS} equal bins of at least {FEWEST} "
        f"predictions, pooled over {selection.averaged_phrase}, clean and by severity{few}; thin: 95% interval "
        "over images; dashed: perfect calibration, above it under-, below it overconfident; beneath: share of "
        f"predictions by confidence. {selection.images}.",
        selection.source_line,
    )
    panel_grid = in_grid(*panels, columns=columns, spacing=24)
    return add_text([*legend(entries, size.width_px - 70), panel_grid], text, size)


def _panel(bins: pl.DataFrame, title: str, width: float, height: float) -> alt.VConcatChart:
    return stacked(_lines(bins, title, width, height), _counts(bins, width), spacing=6)


def _lines(bins: pl.DataFrame, title: str, width: float, height: float) -> Layered:
    axis = alt.Axis(labels=False, title=None, ticks=False, grid=True, tickCount=5)
    x = alt.X("mean_confidence:Q", scale=axes.fixed_scale(0, 1), axis=axis)
    y = alt.Y("accuracy:Q", scale=axes.fixed_scale(0, 1), title="accuracy", axis=axes.percent_axis(domain=False))
    low = alt.Y("accuracy_low:Q", scale=axes.fixed_scale(0, 1))
    ideal = alt.Chart(pl.DataFrame({"mean_confidence": [0.0, 1.0], "accuracy": [0.0, 1.0]}))
    base = alt.Chart(bins.filter(pl.col("count") >= FEWEST)).encode(x=x, y=y, color=axes.COLOR_FIELD)
    tips = [alt.Tooltip("severity:Q"), alt.Tooltip("mean_confidence:Q", format=".1%", title="confidence"),
            alt.Tooltip("accuracy:Q", format=".1%"), alt.Tooltip("accuracy_low:Q", format=".1%", title="accuracy from"),
            alt.Tooltip("accuracy_high:Q", format=".1%", title="accuracy to"),
            alt.Tooltip("count:Q", title="predictions")]  # fmt: skip
    return layered(
        ideal.mark_line(strokeDash=[4, 3], strokeWidth=1, style="muted-line").encode(x=x, y=y),
        base.mark_rule(strokeWidth=1).encode(y=low, y2=alt.Y2("accuracy_high:Q")),
        base.mark_line(strokeWidth=1.8).encode(detail=alt.Detail("severity:N")),
        base.mark_point(filled=True, size=16, opacity=1).encode(tooltip=tips),
        width=width,
        height=height,
        title=axes.panel_title(title, width),
    )


def _counts(bins: pl.DataFrame, width: float) -> alt.Chart:
    line: alt.Chart = alt.Chart(bins, width=width, height=50).mark_line(interpolate="step", strokeWidth=1.4)
    return line.encode(
        alt.X("middle:Q", title="confidence", scale=axes.fixed_scale(0, 1), axis=axes.percent_axis(grid=False)),
        alt.Y("share:Q", title="share", axis=axes.percent_axis(2, domain=False)),
        axes.COLOR_FIELD,
        detail=alt.Detail("severity:N"),
    )


def overconfidence_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Under how many corruptions each model is over- and underconfident at the last severity; of many their number.

    Over- and underconfidence of different corruptions are counted apart, so that they cannot cancel.
    """
    names = corruption_labels(con)
    found = {
        evaluation.label: [
            cell for cell in overconfidence_by_corruption(con, selection, evaluation) if cell.corruption != CLEAN
        ]
        for evaluation in selection.evaluations
    }
    if len(found) > MAX_LISTED:
        return overconfidence_tally(found)
    return f"At the last severity {join_names(_counted(label, cells, names) for label, cells in found.items())}"


def _counted(label: str, cells: Sequence[CellConfidence], names: Mapping[str, str]) -> str:
    """One model: overconfident under 5 of 6 corruptions (most under fog: 30 points), underconfident under 1."""
    parts = []
    for verdict, term in TERMS.items():
        such = [cell for cell in cells if cell.title_verdict == verdict]
        if such:
            most = max(such, key=lambda cell: abs(cell.overconfidence.value))
            size = format_points_interval(size_of(most.overconfidence))
            parts.append(f"{term} under {len(such)} of {len(cells)} ({lower_label(names[most.corruption])}: {size})")
    return f"{label} is {' and '.join(parts) or 'neither over- nor underconfident beyond noise'}"


def overconfidence_tally(cells: Mapping[str, Sequence[CellConfidence]]) -> str:
    """How many of many models are overconfident under some corruption at the last severity, and how many under.

    Args:
        cells: cells at the last severity by model.
    """
    counts = {
        term: sum(any(cell.title_verdict == verdict for cell in own) for own in cells.values())
        for verdict, term in TERMS.items()
    }
    counted = " and ".join(f"{count} are {term} under some corruption" for term, count in counts.items())
    return f"Of {len(cells)} models at the last severity, {counted}"
