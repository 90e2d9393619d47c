"""Accuracy difference of two models (candidate minus baseline) by severity, one panel per corruption."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style import frame as style
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE, Frame
from failmodes.analysis.charts.style.series import model_colors
from failmodes.analysis.charts.style.theme import GRAY, MODEL_COLORS
from failmodes.analysis.evaluations.selection import LABELS, Selection, is_id
from failmodes.analysis.evaluations.trained_models import TrainedModel, trained_models
from failmodes.analysis.judging.compare import Comparison, Difference, compare_models
from failmodes.analysis.judging.compare_text import ComparisonText, crossover_text
from failmodes.analysis.render.formatting import format_count, format_percent, format_points_interval
from failmodes.analysis.statistics.opened_models import OpenedModel
from failmodes.runtime.errors import StudyError
from failmodes.warehouse.schema import CLEAN

MAX_COLUMNS, HEIGHT_PX, MIN_RANGE = 5, 100, 0.02
POINTS_LABEL = "replace(format(100 * datum.value, '+.3~g'), '+0', '0')"
INCONCLUSIVE = "inconclusive"


def chart(
    con: duckdb.DuckDBPyConnection, selection: Selection, *, named: Sequence[str] = (), frame: Frame = PAGE
) -> Figure:
    """Differences of the selection's two models, candidate − baseline.

    Args:
        con: the warehouse.
        selection: the two models.
        named: their labels or evaluations, baseline first, as in `failmodes compare`; models that are not named keep
            the order of the selection.
        frame: where it is drawn.

    Raises:
        StudyError: the selection does not hold two models; the message says how to name two.
    """
    models = sorted(trained_models(selection.evaluations), key=lambda model: _place(model, named))
    if len(models) != 2:
        count = format_count(len(models), "model")
        raise StudyError(f"differences: expected two models, found {count}: name two with --model A --model B")
    a, b = (OpenedModel(con, Path(), model, replace(selection, evaluations=model.runs)) for model in models)
    comparison = compare_models(a, b, corruptions=selection.corruptions)
    return draw(comparison, selection.images, colors=model_colors(con, selection).colors, frame=frame)


def _place(model: TrainedModel, named: Sequence[str]) -> int:
    """Position of a model among names: labels with or without a training seed, or the start of evaluation IDs."""
    return next(
        (
            place
            for place, name in enumerate(named)
            if any(name in map(run.facts.get, LABELS) or is_id(name, run.evaluation_id) for run in model.runs)
        ),
        len(named),
    )


def draw(
    comparison: Comparison, images: str = "", *, colors: Mapping[str, str] | None = None, frame: Frame = PAGE
) -> Figure:
    """Draw the chart of a comparison.

    Args:
        comparison: the comparison.
        images: its images, such as "500 images of CIFAR-10"; by default their number.
        colors: color by model label; by default the first two of the theme.
        frame: where it is drawn.
    """
    ahead = _colors_ahead(comparison, colors or {})
    winners = dict(zip("ab", ahead, strict=True))
    order = [corruption.label for corruption in comparison.corruptions]
    rows = pl.DataFrame(
        [
            {"panel": corruption.label} | row
            for corruption in comparison.corruptions
            for row in _rows(comparison, corruption, winners)
        ],
        infer_schema_length=None,
    )
    first, last = (end(cell.severity or 0.0 for cell in comparison.cells) for end in (min, max))
    color = style.series_color(ahead | {INCONCLUSIVE: GRAY}, frame, "winner", **style.POINTS)
    panels = frame.panels(len(order), MAX_COLUMNS)
    layers = _layers(comparison, rows, color, (first, last))
    return Figure(
        style.small_multiples(layers, rows, "panel", order, panels, panels.height(HEIGHT_PX)),
        ComparisonText(comparison).headline,
        _subtitle(comparison, images or format_count(comparison.pair.pairing.image_count, "image"), (first, last)),
        " ".join(dict.fromkeys((comparison.a.source_line, comparison.b.source_line))),
        frame,
    )


def _colors_ahead(comparison: Comparison, colors: Mapping[str, str]) -> dict[str, str]:
    """The color of a cell in which each model has the higher accuracy, by its name in the legend."""
    labels = (comparison.a.label, comparison.b.label)
    of_models = [colors.get(label, GRAY) for label in labels]
    is_distinct = GRAY not in of_models and of_models[0] != of_models[1]
    chosen = of_models if is_distinct else MODEL_COLORS
    return {f"{label} higher": color for label, color in zip(labels, chosen, strict=False)}


def _layers(comparison: Comparison, rows: pl.DataFrame, color: alt.Color, ends: tuple[float, float]) -> list[alt.Chart]:
    """The margin, the line of no difference, cells with intervals, and crossovers."""
    margin = comparison.margin
    first, last = ends
    low, high = style.domain_of([*rows["low"], *rows["high"], -margin, margin, -MIN_RANGE, MIN_RANGE], 0.05)
    y = alt.Y(
        "difference:Q",
        title="difference, points",
        scale=style.fixed_scale(low, high),
        axis=style.y_axis(labelExpr=POINTS_LABEL),
    )
    base = alt.Chart().encode(x=style.severity_axis(last, first=first), y=y)
    cells = base.transform_filter("isValid(datum.low)")
    crossing = base.transform_filter("isValid(datum.crossover)")
    tips = [
        alt.Tooltip("severity:Q", title="severity"),
        alt.Tooltip("text:N", title="difference"),
        alt.Tooltip("a:Q", format=".1%", title=comparison.a.label),
        alt.Tooltip("b:Q", format=".1%", title=comparison.b.label),
        alt.Tooltip("winner:N", title="verdict"),
    ]
    return [
        style.once().mark_rect(style="band", opacity=0.5).encode(y=alt.datum(-margin), y2=alt.datum(margin)),
        style.rule_at(0, strokeDash=[1, 0]),
        cells.mark_line(style="muted-line", strokeWidth=1),
        cells.mark_rule(strokeWidth=1.6).encode(y="low:Q", y2="high:Q", color=color),
        cells.mark_point(filled=True, size=34, opacity=1).encode(color=color, tooltip=tips),
        crossing.mark_rule(style="ink-line", strokeWidth=3).encode(
            x=style.severity_axis(last, "from", first=first), x2="to:Q"
        ),
        crossing.mark_point(shape="diamond", filled=True, size=80, opacity=1, style="ink").encode(
            tooltip=alt.Tooltip("crossover:N", title="curves cross at severity")
        ),
    ]


def _rows(comparison: Comparison, corruption: Difference, winners: Mapping[str, str]) -> list[dict[str, Any]]:
    """Cells of a corruption, clean included, and its crossover."""
    rows: list[dict[str, Any]] = [
        {
            "severity": cell.severity,
            "difference": cell.estimate.value,
            "low": cell.estimate.low,
            "high": cell.estimate.high,
            "a": cell.a,
            "b": cell.b,
            "text": format_points_interval(cell.estimate, signed=True),
            "winner": winners.get(cell.winner if comparison.pair.has_verdict else "", INCONCLUSIVE),
        }
        for cell in sorted(comparison.cells, key=lambda cell: cell.severity or 0.0)
        if cell.corruption in (CLEAN, corruption.corruption)
    ]
    if corruption.crossover and comparison.pair.has_verdict:
        at = corruption.crossover
        rows.append(
            {"severity": at.at, "difference": 0.0, "from": at.low, "to": at.high, "crossover": crossover_text(at)}
        )
    return rows


def _subtitle(comparison: Comparison, images: str, ends: tuple[float, float]) -> str:
    first, last = ends
    start = f"severity {first:g}" if first else "clean (0)"
    text = ComparisonText(comparison)
    verdict = f"color: verdict over all {len(comparison.cells)} cells ({text.cell_test}, Holm correction); "
    crossing = "diamond: crossover; " if any(row.crossover for row in comparison.corruptions) else ""
    return (
        f"Accuracy of {comparison.b.label} minus accuracy of {comparison.a.label} in percentage points, from {start} "
        f"to severity {last:g}, on {images}. Bars: {format_percent(comparison.level, 0)} interval of each cell, "
        f"uncorrected; {verdict + crossing if comparison.pair.has_verdict else ''}band: margin of \u00b1{text.margin}."
    )
