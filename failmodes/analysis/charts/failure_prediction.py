"""Failure prediction by severity: AUROC of confidence and other scores."""

from typing import Any

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style import frame as style
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE, Frame
from failmodes.analysis.charts.style.theme import DARK_GRAY, MID_GRAY
from failmodes.analysis.evaluations.selection import Selection, read_for_selection
from failmodes.analysis.judging.findings.headlines import MAX_IN_TITLE
from failmodes.analysis.render.formatting import format_number_interval, format_severity, join_names
from failmodes.analysis.statistics.failure_prediction import (
    CHANCE,
    averaged,
    enough,
    mean_auroc,
)
from failmodes.analysis.statistics.model_accuracy import best_and_worst, shown_phrase
from failmodes.runtime.errors import WarehouseError
from failmodes.warehouse.metrics.failure_prediction import FEWEST

SOFTMAX, LOGITS, ATTENTION = (DARK_GRAY, [1, 0]), (MID_GRAY, [5, 2]), (DARK_GRAY, [2, 2])
LOOKS = {
    "confidence": (*SOFTMAX, "circle"), "margin": (*SOFTMAX, "square"), "entropy": (*SOFTMAX, "triangle-up"),
    "energy": (*LOGITS, "diamond"), "logit gap": (*LOGITS, "cross"),
    "attention spread": (*ATTENTION, "triangle-down"), "attention drift": (*ATTENTION, "triangle-right"),
}  # color, dash and symbol by score; scores of one kind share gray and dash  # fmt: skip
MAX_COLUMNS, HEIGHT_PX = 5, 190


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, frame: Frame = PAGE) -> Figure:
    """AUROC of each score by severity, averaged over corruptions: a line per score, a panel per model.

    Raises:
        WarehouseError: no cell has enough failures and correct predictions.
    """
    chosen = best_and_worst(con, selection)
    rows = _rows(con, chosen)
    if rows.is_empty():
        counts = f"{FEWEST} incorrect and {FEWEST} correct predictions"
        raise WarehouseError(f"no failure prediction to show: no cell has {counts}")
    panels = frame.panels(len(chosen.evaluations), MAX_COLUMNS, right_px=8)
    plot = style.small_multiples(
        _layers(rows, frame), rows, "label", list(chosen.labels.values()), panels, panels.height(HEIGHT_PX)
    )
    hindsight = " Attention drift needs the clean image." if "attention drift" in rows["series"] else ""
    return Figure(
        plot,
        _title(rows),
        f"AUROC of each score for misclassification detection, mean over {selection.averaged_phrase} with at least "
        f"{FEWEST} incorrect and {FEWEST} correct predictions; {selection.images}. Band: 95% interval of confidence "
        f"over images; dashed: chance (0.5).{hindsight} {shown_phrase(chosen)}".rstrip(),
        selection.source_line,
        frame,
    )


def _rows(con: duckdb.DuckDBPyConnection, selection: Selection) -> pl.DataFrame:
    """Mean AUROC by label, severity and score (`series`), of confidence with its `low` and `high`."""
    cells = read_for_selection(con, "failure_prediction", selection).filter(enough())
    means = averaged(cells, selection, ["score"], auroc=pl.col("auroc")).drop_nulls("auroc")
    bands = [
        {"label": evaluation.label, "severity": severity, "score": "confidence", "low": mean.low, "high": mean.high}
        for evaluation in selection.evaluations
        for severity, mean in mean_auroc(con, selection, evaluation).items()
    ]
    names = {"label": pl.String, "severity": pl.Float64, "score": pl.String, "low": pl.Float64, "high": pl.Float64}
    rows = means.join(pl.DataFrame(bands, names), on=["label", "severity", "score"], how="left")
    return rows.with_columns(series=pl.col("score").str.replace("_", " "))


def _layers(rows: pl.DataFrame, frame: Frame) -> list[alt.Chart]:
    """Chance, the interval of confidence, and a line with points for each score."""
    looks = {score: look for score, look in LOOKS.items() if score in rows["series"]}
    colors, dashes, symbols = (dict(zip(looks, part, strict=True)) for part in zip(*looks.values(), strict=True))
    legend = style.top_legend(list(looks), frame, symbolType=alt.Undefined, symbolSize=60, symbolStrokeWidth=0)

    def by_score(values: dict[str, Any]) -> dict[str, Any]:
        return {"title": None, "scale": alt.Scale(domain=list(values), range=list(values.values()))}

    floor = int(10 * min([CHANCE, *rows["auroc"], *rows["low"].drop_nulls()])) / 10
    scale = style.fixed_scale(floor, 1)
    tips = [alt.Tooltip("series:N", title="score"), alt.Tooltip("severity:Q", title="severity"),
            *style.interval_tips("auroc", ".3f", "AUROC")]  # fmt: skip
    base = alt.Chart().encode(
        x=style.severity_axis(max(rows["severity"])),
        y=alt.Y("auroc:Q", title="AUROC", scale=scale, axis=style.y_axis()),
        color=alt.Color("series:N", legend=legend, **by_score(colors)),
    )
    band = base.transform_filter("isValid(datum.low)").mark_area(opacity=0.2)
    return [
        band.encode(y=alt.Y("low:Q", scale=scale), y2="high:Q"),
        style.rule_at(CHANCE),
        base.mark_line(strokeWidth=1.3).encode(strokeDash=alt.StrokeDash("series:N", legend=None, **by_score(dashes))),
        base.mark_point(size=30, filled=True, opacity=1).encode(
            shape=alt.Shape("series:N", legend=legend, **by_score(symbols)), tooltip=tips
        ),
    ]


def _title(rows: pl.DataFrame) -> str:
    """The mean AUROC of confidence at the last severity of each of up to two models, else of the lowest and highest."""
    bands = rows.drop_nulls("low").filter(pl.col("severity") == pl.col("severity").max())
    means = {
        row[0]: format_number_interval(row[1:], 2)
        for row in bands.sort("auroc").select("label", "auroc", "low", "high").rows()
    }
    if not means:
        return "Failure prediction: too few failures or correct predictions"
    shown = list(means) if len(means) <= MAX_IN_TITLE else [list(means)[0], list(means)[-1]]
    among = "" if len(shown) == len(means) else f", lowest and highest of {len(means)} models"
    listed = join_names(f"{means[label]} for {label}" for label in shown)
    severity = bands["severity"][0]
    where = f"at severity {format_severity(severity)}" if severity else "on clean images"
    return f"AUROC of confidence for failures {where}{among}: {listed}"
