"""Failure prediction by severity: how well each score tells failures from right answers, and the risk it leaves."""

from collections.abc import Sequence
from typing import NamedTuple

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style import axes
from failmodes.analysis.charts.style.combining import in_grid, layered, stacked
from failmodes.analysis.charts.style.labels import LegendEntry, legend
from failmodes.analysis.charts.style.theme import (
    DARK_GRAY,
    MID_GRAY,
    PAGE,
    ChartSize,
    ChartText,
    Layered,
    add_text,
)
from failmodes.analysis.render.formatting import format_count, join_names
from failmodes.analysis.selection import Selection, read_for_selection
from failmodes.analysis.statistics.failure_prediction import (
    CHANCE,
    FEWEST,
    CellAuroc,
    averaged,
    enough,
    mean_auroc,
    predict_failures,
)
from failmodes.analysis.statistics.shares import TITLE_ERROR

MOST_NAMED = 2  # models in a title


class ScoreLook(NamedTuple):
    """How a score is drawn; kinds of scores (softmax, logits, attention) share a gray and a dash."""

    color: str
    dash: tuple[int, ...]
    symbol: str


SOFTMAX, LOGITS, ATTENTION = (DARK_GRAY, (1, 0)), (MID_GRAY, (5, 2)), (DARK_GRAY, (2, 2))
SCORE_NAMES = {
    "confidence": "confidence", "margin": "margin", "entropy": "entropy", "energy": "energy", "logit_gap": "logit gap",
    "attention_spread": "attention spread", "attention_drift": "attention drift",
}  # fmt: skip
LOOKS = {
    "confidence": ScoreLook(*SOFTMAX, "circle"),
    "margin": ScoreLook(*SOFTMAX, "square"),
    "entropy": ScoreLook(*SOFTMAX, "triangle-up"),
    "energy": ScoreLook(*LOGITS, "diamond"),
    "logit_gap": ScoreLook(*LOGITS, "cross"),
    "attention_spread": ScoreLook(*ATTENTION, "triangle-down"),
    "attention_drift": ScoreLook(*ATTENTION, "triangle-right"),
}
HEIGHT_PX = 150


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, size: ChartSize = PAGE) -> alt.VConcatChart:
    """AUROC and AUGRC against severity, averaged over corruptions, a line a score, a pair of panels a model."""
    known = pl.when(enough())
    means = averaged(
        read_for_selection(con, "failure_prediction", selection), selection, ["score"],
        auroc=known.then("auroc"), augrc=pl.col("augrc"),
    )  # fmt: skip
    rows = means.join(_bands(con, selection), on=["label", "severity", "score"], how="left").with_columns(
        name=pl.col("score").replace_strict(SCORE_NAMES, return_dtype=pl.String),
        color=pl.col("score").replace_strict({s: look.color for s, look in LOOKS.items()}, return_dtype=pl.String),
    )
    labels = list(selection.labels.values())
    columns, width = axes.model_columns(size, len(labels), 60)
    least = float(min(CHANCE, rows.select(pl.min_horizontal(pl.col("low", "auroc").min())).item() or CHANCE))
    domains = (int(least * 10) / 10, float(rows.select(pl.col("augrc").max()).item() or 0.1) * 1.05)
    panels = [_panels(rows.filter(label=label), label, width, size.height(HEIGHT_PX, 80), domains) for label in labels]
    shown = [score for score in SCORE_NAMES if rows.filter(pl.col("augrc").is_not_null(), score=score).height]
    entries = [
        LegendEntry(SCORE_NAMES[score], look.color, look.dash, look.symbol)
        for score, look in LOOKS.items()
        if score in shown
    ]
    hindsight = (
        " Attention drift needs the clean image, which is not at hand in use." if "attention_drift" in shown else ""
    )
    text = ChartText(
        discrimination_sentence(con, selection),
        f"Above: AUROC of each score for failures, 1 tells all, 0.5 (dashed) is chance; band: 95% interval over "
        "images of the mean AUROC of confidence (clean: Newcombe). Below: AUGRC, the risk of a failure that is not "
        f"held back, lower is better. Averaged over {selection.averaged_phrase}, AUROC only over cells with at least "
        f"{FEWEST} failures and correct predictions; {selection.images}.{hindsight}",
        selection.source_line,
    )
    return add_text([*legend(entries, size.width_px - 70), in_grid(*panels, columns=columns, spacing=24)], text, size)


def _bands(con: duckdb.DuckDBPyConnection, selection: Selection) -> pl.DataFrame:
    """Ends of the interval of the mean AUROC of confidence, a row a model and severity."""
    rows = [
        (evaluation.label, severity, "confidence", mean.low, mean.high)
        for evaluation in selection.evaluations
        for severity, mean in mean_auroc(con, selection, evaluation).items()
    ]
    names = {"label": pl.String, "severity": pl.Float64, "score": pl.String, "low": pl.Float64, "high": pl.Float64}
    return pl.DataFrame(rows, names, orient="row")


def _panels(
    rows: pl.DataFrame, title: str, width: float, height: float, domains: tuple[float, float]
) -> alt.VConcatChart:
    upper = _auroc(rows, title, width, height, domains[0])
    return stacked(upper, _augrc(rows, width, 0.6 * height, domains[1]), spacing=10)


def _auroc(rows: pl.DataFrame, title: str, width: float, height: float, least: float) -> Layered:
    last = axes.last_severity(rows)
    x = axes.severity_axis(last, title=False)
    y = alt.Y("auroc:Q", title="AUROC", scale=axes.fixed_scale(least, 1), axis=alt.Axis(tickCount=5, domain=False))
    known = rows.drop_nulls("auroc")
    band = alt.Chart(known.filter(score="confidence")).mark_area(opacity=0.2).encode(
        x=x, y=alt.Y("low:Q", scale=axes.fixed_scale(least, 1)), y2=alt.Y2("high:Q"), color=axes.COLOR_FIELD
    )  # fmt: skip
    chance = alt.Chart(pl.DataFrame({"severity": [0.0, last], "auroc": [CHANCE, CHANCE]}))
    return layered(
        band,
        chance.mark_line(strokeDash=[4, 3], strokeWidth=1, style="muted-line").encode(x=x, y=y),
        *_lines(known, x, y, "auroc"),
        width=width,
        height=height,
        title=axes.panel_title(title, width),
    )


def _augrc(rows: pl.DataFrame, width: float, height: float, most: float) -> Layered:
    x = axes.severity_axis(axes.last_severity(rows))
    y = alt.Y("augrc:Q", title="AUGRC", scale=axes.fixed_scale(0, most), axis=alt.Axis(tickCount=4, domain=False))
    return layered(*_lines(rows.drop_nulls("augrc"), x, y, "augrc"), width=width, height=height)


def _lines(rows: pl.DataFrame, x: alt.X, y: alt.Y, measure: str) -> list[alt.Chart]:
    tips = [alt.Tooltip("name:N", title="score"), alt.Tooltip("severity:Q"),
            alt.Tooltip(f"{measure}:Q", format=".3f", title=measure.upper())]  # fmt: skip
    base = alt.Chart(rows).encode(x=x, y=y, color=axes.COLOR_FIELD)
    dashes = alt.Scale(domain=list(LOOKS), range=[look.dash for look in LOOKS.values()])
    symbols = alt.Scale(domain=list(LOOKS), range=[look.symbol for look in LOOKS.values()])
    dash = alt.StrokeDash("score:N", legend=None, scale=dashes)
    symbol = alt.Shape("score:N", legend=None, scale=symbols)
    size = 2 * axes.point_size(rows)
    return [
        base.mark_line(strokeWidth=1.3).encode(detail=alt.Detail("score:N"), strokeDash=dash),
        base.mark_point(size=size, filled=True, opacity=1).encode(shape=symbol, tooltip=tips),
    ]


def discrimination_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """In how many cells confidence tells failures from right answers, and in how many it is worse than chance."""
    found = {e.label: predict_failures(con, selection, e) for e in selection.evaluations}
    known = {label: one for label, one in found.items() if one}
    if not known:
        return "Too few failures, or right answers, to tell one from the other"
    start = "Confidence tells failures from right answers"
    if len(known) > MOST_NAMED:
        cells = [cell for one in known.values() for cell in one.cells]
        return f"{start} in {_counted(cells)} of {len(known)} models"
    return f"{start} in {join_names(f'{_counted(one.cells)} of {label}' for label, one in known.items())}"


def _counted(cells: Sequence[CellAuroc]) -> str:
    """85 of 90 cells (worse than chance in 2)."""
    below = sum(cell.p_value <= TITLE_ERROR for cell in cells)
    above = sum(cell.p_above <= TITLE_ERROR for cell in cells)
    worse = f" (worse than chance in {below})" if below else ""
    return f"{above:,} of {format_count(len(cells), 'cell')}{worse}"
