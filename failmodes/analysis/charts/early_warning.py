"""Seen coming: how much each score tells of which image fails at the next severity, beyond what the severity tells."""

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style import axes
from failmodes.analysis.charts.style.combining import in_grid, layered
from failmodes.analysis.charts.style.labels import FONT_PX, LegendEntry, legend, text_width
from failmodes.analysis.charts.style.theme import (
    DARK_GRAY,
    GRAY,
    PAGE,
    ChartSize,
    ChartText,
    Layered,
    add_text,
    wrapped,
)
from failmodes.analysis.judging.findings.early_warning import PREDICTOR_NAMES
from failmodes.analysis.render.formatting import (
    MAX_LISTED,
    capitalize_first,
    format_count,
    format_percent,
    format_percent_interval,
    join_names,
)
from failmodes.analysis.selection import Selection
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.early_warning import SCORES, PredictorGain, early_warning, is_found, shares_found
from failmodes.analysis.statistics.shares import TITLE_ERROR
from failmodes.warehouse.errors import WarehouseError

MOST_NAMED = 2  # models in a title
ROW_PX, VALUE_PX, WIDE_PX = 24, 50, 150
SMALLEST_SHARE = 0.01  # the axis reaches it at either end of what is shown, so that next to nothing looks like it
PERCENT_TICKS = "format(100 * datum.value, '~g') + '%'"
VERDICTS = (LegendEntry("saves more than chance would", DARK_GRAY, shape="circle"),
            LegendEntry("not shown to", GRAY, shape="circle"))  # fmt: skip


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, size: ChartSize = PAGE) -> alt.VConcatChart:
    """Log-loss that each score saves, as a share of that of its reference, a row a score, a panel a model.

    Raises:
        WarehouseError: it cannot be said of any model; the message says why.
    """
    all_found = {e.label: early_warning(con, selection, e) for e in selection.evaluations}
    rows = pl.concat([_rows(label, one) for label, one in all_found.items()])
    known = rows.drop_nulls("share")
    if known.is_empty():
        raise WarehouseError(f"no gain of a score to show: {'; '.join(rows['reason'].unique().sort())}")
    labels = known["label"].unique(maintain_order=True).to_list()
    name_px = max(text_width(name, FONT_PX) for name in PREDICTOR_NAMES.values()) + 8
    columns, width = axes.model_columns(size, len(labels), VALUE_PX + 20, name_px)
    domain = (min(-SMALLEST_SHARE, *known["low"]), max(SMALLEST_SHARE, *known["high"]))
    panels = [
        _panel(rows.filter(label=label), label, width, domain, is_left=not place % columns)
        for place, label in enumerate(labels)
    ]
    text = ChartText(early_warning_sentence(con, selection), _subtitle(selection, rows), selection.source_line)
    panel_grid = in_grid(*panels, columns=columns, spacing=20)
    entries = VERDICTS if GRAY in known["color"] else ()  # where all are found, the title says it
    return add_text([*legend(entries, size.width_px - 16, -name_px), panel_grid], text, size)


def _rows(label: str, found: dict[str, PredictorGain]) -> pl.DataFrame:
    """One row a score: its share with interval, null where there is none, and what a reader may ask about it."""
    return pl.DataFrame(
        [
            {"label": label, "name": PREDICTOR_NAMES[name], "share": one.share and one.share.value,
             "low": one.share and one.share.low, "high": one.share and one.share.high,
             "text": format_percent(one.share.value) if one.share else "no figure",
             "color": DARK_GRAY if is_found(one, TITLE_ERROR) else GRAY,
             "gain": one.gain and one.gain.value, "p": one.adjusted_p,
             "images": one.images, "steps": one.rows, "failures": one.events, "reason": one.reason}
            for name, one in found.items()
        ],
        schema_overrides={**dict.fromkeys(("share", "low", "high", "gain", "p"), pl.Float64), "reason": pl.String},
    )  # fmt: skip


def _subtitle(selection: Selection, rows: pl.DataFrame) -> str:
    lacking = rows.drop_nulls("reason").group_by("label", "reason", maintain_order=True).agg("name")
    alike = lacking.group_by("name", "reason", maintain_order=True).agg("label")
    without = "".join(
        f" No figure of {_names(names)} in {_models(labels)}: {why}." for names, why, labels in alike.rows()
    )
    has_drift = rows.filter(name=PREDICTOR_NAMES["drift"])["share"].null_count() < rows["label"].n_unique()
    hindsight = " Attention drift needs the clean image, which is not at hand in use." if has_drift else ""
    shared = (
        " Noise is shared across severities, which makes the next failure easier to predict."
        if selection.shared["noise"] == "shared"
        else ""
    )
    below = " Below zero: fitting cost more than the score tells." if (rows["share"] < 0).any() else ""
    return (
        "Log-loss that a score saves in telling whether an image, right so far, is wrong at the next severity (a "
        "step): share of that of corruption and severity alone, for drift beyond margin of that with the margin. "
        f"Measured on images that the hazard model was not fitted to, with 95% intervals.{below} Pooled over "
        f"{selection.averaged_phrase}; {selection.images}.{hindsight}{shared}{without}"
    )


def _names(names: list[str]) -> str:
    return "any score" if len(names) == len(PREDICTOR_NAMES) else join_names(names)


def _models(labels: list[str]) -> str:
    return join_names(labels) if len(labels) <= MAX_LISTED else format_count(len(labels), "model")


def _panel(rows: pl.DataFrame, label: str, width: float, domain: tuple[float, float], *, is_left: bool) -> Layered:
    axis = alt.Axis(labelExpr=PERCENT_TICKS, tickCount=4 if width > WIDE_PX else 2, domain=False)
    x = alt.X("share:Q", title="log-loss saved", scale=axes.fixed_scale(*domain), axis=axis)
    y = alt.Y("name:N", title=None, sort=list(PREDICTOR_NAMES.values()), scale=alt.Scale(padding=0.5),
              axis=alt.Axis(labels=is_left, domain=False, ticks=False, labelPadding=8, labelLimit=200))  # fmt: skip
    tips = [alt.Tooltip("name:N", title="score"), alt.Tooltip("share:Q", format=".2%", title="log-loss saved"),
            alt.Tooltip("low:Q", format=".2%", title="from"), alt.Tooltip("high:Q", format=".2%", title="to"),
            alt.Tooltip("gain:Q", format=".2~g", title="nats a step"),
            alt.Tooltip("p:Q", format=".2~g", title="p, corrected"), alt.Tooltip("images:Q"),
            alt.Tooltip("steps:Q", title="steps of images right so far"), alt.Tooltip("failures:Q")]  # fmt: skip
    known = alt.Chart(rows.drop_nulls("share")).encode(y=y, color=axes.COLOR_FIELD)
    zero = alt.Chart(pl.DataFrame({"share": [0.0]})).mark_rule(style="muted-line", strokeDash=[4, 3])
    values = alt.Chart(rows).mark_text(align="left", baseline="middle", fontSize=FONT_PX, style="ink")
    first = rows.drop_nulls("share").row(0, named=True)
    space = width + VALUE_PX  # above the figures at the right too
    counts = f"{format_count(first['failures'], 'failure')} in {format_count(first['steps'], 'step')}"
    return layered(
        zero.encode(x=x),
        known.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", scale=axes.fixed_scale(*domain)), x2=alt.X2("high:Q")),
        known.mark_point(size=60, filled=True, opacity=1).encode(x=x, tooltip=tips),
        values.encode(x=alt.XValue(width + 8), y=y, text=alt.Text("text:N")),
        width=width,
        height=ROW_PX * rows.height,
        title=axes.panel_title(label, space, subtitle=wrapped(counts, space, FONT_PX)),
    )


def early_warning_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Which score tells most of the next failure beyond corruption and severity: of each model, or of many in number.

    It says so only where the gain is above zero after Holm's correction.
    """
    found = {e.label: early_warning(con, selection, e) for e in selection.evaluations}
    known = {label: shares_found(one) for label, one in found.items() if any(one[s].gain for s in SCORES)}
    helped = {label: shares for label, shares in known.items() if shares}
    if not known:
        return "Whether a score sees the next failure coming cannot be said of these images"
    if not helped:
        where = next(iter(known)) if len(known) == 1 else f"any of {len(known)} models"
        return f"No score is shown to tell, beyond corruption and severity, which image fails next in {where}"
    if len(known) > MOST_NAMED:
        return (
            f"Beyond corruption and severity, some score tells the next failure in {len(helped)} of {len(known)} models"
        )
    each = join_names(f"in {label} {_best(shares)}" for label, shares in helped.items())
    rest = "".join(f"; in {label} no score is shown to help" for label in known.keys() - helped.keys())
    return f"{capitalize_first(each)} of what corruption and severity leave open about the next failure{rest}"


def _best(shares: dict[str, Estimate]) -> str:
    score, share = next(iter(shares.items()))
    return f"{PREDICTOR_NAMES[score]} tells {format_percent_interval(share)}"
