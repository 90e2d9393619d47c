"""Early warning: log-loss reduction of each score in predicting failure at the next severity."""

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style import frame as style
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE, Frame
from failmodes.analysis.charts.style.theme import DARK_GRAY, GRAY, MID_GRAY
from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.judging.findings.early_warning import PREDICTOR_NAMES
from failmodes.analysis.judging.findings.headlines import chart_title, is_judged
from failmodes.analysis.judging.findings.kind import read_findings
from failmodes.analysis.render.formatting import MAX_LISTED, format_count, join_names
from failmodes.analysis.statistics.early_warning import early_warning
from failmodes.analysis.statistics.model_accuracy import best_and_worst, shown_phrase
from failmodes.runtime.errors import WarehouseError

MAX_COLUMNS, ROW_PX = 4, 22
SMALLEST_SHARE = 0.01  # the axis reaches it at both ends, so that small effects look small
VERDICTS = {"supported": DARK_GRAY, "not supported": GRAY}
NOT_JUDGED = {"not judged": MID_GRAY}


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, frame: Frame = PAGE) -> Figure:
    """Relative log-loss reduction of each score against its reference, a row per score, a panel per model.

    Raises:
        WarehouseError: no score is available for any model; the message says why.
    """
    chosen = best_and_worst(con, selection)
    every = _rows(con, chosen)
    rows = every.drop_nulls("share")
    if rows.is_empty():
        raise WarehouseError(f"no early-warning score to show: {'; '.join(every['reason'].unique().sort())}")
    names = [name for name in PREDICTOR_NAMES.values() if name in rows["name"]]
    labels = rows["label"].unique(maintain_order=True).to_list()
    name_px = 18 + max(map(style.text_width, names))
    panels = frame.panels(len(labels), MAX_COLUMNS, left_px=name_px, right_px=8)
    domain = (min([-SMALLEST_SHARE, *rows["low"]]), max([SMALLEST_SHARE, *rows["high"]]))
    colors = VERDICTS if is_judged(con, selection) else NOT_JUDGED
    layers = _layers(frame, domain, names, colors, name_px, panels.width)
    return Figure(
        style.small_multiples(layers, rows, "label", labels, panels, panels.height(ROW_PX * len(names))),
        chart_title(
            con,
            selection,
            "early_warning",
            "has no score that is supported as an early warning",
            "Early warning of failures at the next severity",
        ),
        f"{_subtitle(selection, every)} {shown_phrase(chosen)}".rstrip(),
        selection.source_line,
        frame,
    )


def _rows(con: duckdb.DuckDBPyConnection, selection: Selection) -> pl.DataFrame:
    """One row per model and score: its reduction with interval (null if not available) and counts."""
    scores = read_findings(con, selection.ids, "early_warning") if is_judged(con, selection) else []
    supported, other = VERDICTS
    verdicts = {
        (score.evaluation_id, score.claim): supported if score.verdict == "supported" else other for score in scores
    }
    return pl.DataFrame(
        [
            {"label": evaluation.label, "name": PREDICTOR_NAMES[name], "share": gain.share and gain.share.value,
             "low": gain.share and gain.share.low, "high": gain.share and gain.share.high,
             "series": verdicts.get((evaluation.evaluation_id, name), "not judged"),
             "gain": gain.gain and gain.gain.value, "p": gain.adjusted_p, "images": gain.images,
             "steps": gain.rows, "failures": gain.events, "reason": gain.reason}
            for evaluation in selection.evaluations
            for name, gain in early_warning(con, selection, evaluation).items()
        ],
        schema_overrides={**dict.fromkeys(("share", "low", "high", "gain", "p"), pl.Float64), "reason": pl.String},
    )  # fmt: skip


def _subtitle(selection: Selection, rows: pl.DataFrame) -> str:
    """The caption: what is plotted, and which scores are not available for which models, and why."""
    lacking = rows.drop_nulls("reason").group_by("label", "reason", maintain_order=True).agg("name")
    alike = lacking.group_by("name", "reason", maintain_order=True).agg("label")
    without = "".join(
        f" Not available: {'all scores' if len(names) == len(PREDICTOR_NAMES) else join_names(names)} for "
        f"{join_names(labels) if len(labels) <= MAX_LISTED else format_count(len(labels), 'model')} ({why})."
        for names, why, labels in alike.rows()
    )
    noise = " Severities share their noise, which makes the next failure easier to predict."
    return (
        "Log-loss reduction of each score in predicting which images, correct so far, are misclassified at the next "
        "severity, relative to corruption and severity alone (drift beyond margin: also to margin), on held-out "
        f"images, with 95% intervals; pooled over {selection.averaged_phrase}; {selection.images}. "
        f"Attention drift needs the clean image.{noise if selection.shared['noise'] == 'shared' else ''}{without}"
    )


def _layers(
    frame: Frame, domain: tuple[float, float], names: list[str], colors: dict[str, str], name_px: float, width_px: float
) -> list[alt.Chart]:
    """Zero, intervals and points."""
    scale = style.fixed_scale(*domain)
    x_axis = alt.Axis(labelExpr=style.PERCENT, tickCount=max(2, int(width_px / 60)), grid=False)
    y_axis = style.name_axis(name_px, labelLimit=1.3 * name_px)
    words = ["log-loss", "reduction"]
    title = [" ".join(words)] if style.text_width(" ".join(words)) < width_px else words
    base = alt.Chart().encode(
        x=alt.X("share:Q", title=title, scale=scale, axis=x_axis),
        y=alt.Y("name:N", title=None, sort=names, axis=y_axis),
        color=style.series_color(colors, frame, symbolType="circle", symbolSize=60),
    )
    tips = [alt.Tooltip("name:N", title="score"), *style.interval_tips("share", ".2%", "log-loss reduction"),
            alt.Tooltip("gain:Q", format=".2~g", title="nats per step"),
            alt.Tooltip("p:Q", format=".2~g", title="corrected p value"), alt.Tooltip("images:Q", title="images"),
            alt.Tooltip("steps:Q", title="steps (image correct so far)"),
            alt.Tooltip("failures:Q", title="failures")]  # fmt: skip
    return [
        style.rule_at(0, "x"),
        base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", scale=scale), x2="high:Q"),
        base.mark_point(size=60, filled=True, opacity=1).encode(tooltip=tips),
    ]
