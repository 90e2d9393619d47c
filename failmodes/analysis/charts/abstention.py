"""Abstention by severity: the images that a stored threshold accepts, and the error among them."""

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style import frame as style
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE, Frame
from failmodes.analysis.charts.style.series import corruption_dash, group_color, with_groups
from failmodes.analysis.evaluations.selection import Selection, read_for_selection
from failmodes.analysis.judging.abstention import HALF, rule_phrase, stored_thresholds, target_phrase
from failmodes.analysis.judging.findings.headlines import chart_title
from failmodes.analysis.render.formatting import join_names
from failmodes.analysis.statistics.model_accuracy import best_and_worst, shown_phrase
from failmodes.runtime.errors import WarehouseError

COLUMNS, HEIGHT_PX = 2, 200
MEASURES = {"accepted_share": "accepted", "error_accepted": "error of accepted"}  # a panel of each model


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, frame: Frame = PAGE) -> Figure:
    """Shares accepted and errors among accepted: a line per corruption, two panels per model.

    Raises:
        WarehouseError: no model has a threshold; the message says why.
    """
    chosen = best_and_worst(con, selection)
    thresholds = stored_thresholds(con, chosen)
    given = [row for row in thresholds if row["threshold"] is not None]
    if not given:
        reasons = join_names(dict.fromkeys(str(row["reason"]) for row in thresholds))
        raise WarehouseError(f"no threshold to show: {reasons or 'no score is stored'}")
    rows = pl.concat(
        with_groups(con, selection, read_for_selection(con, "selective_by_severity", chosen))
        .with_columns(
            value=pl.col(column), low=pl.col(f"{column}_low"), high=pl.col(f"{column}_high"),
            column=pl.lit(column), panel=pl.col("label") + f": {name}",
            limit=pl.when(pl.lit(column == "error_accepted"), target="error").then("target_value"),
        )
        .drop_nulls("value")
        for column, name in MEASURES.items()
    )  # fmt: skip
    end = pl.col("severity") == pl.col("severity").max().over("panel")
    worst = pl.when(pl.col("column") == "error_accepted").then("value").otherwise(-pl.col("value"))
    rows = rows.with_columns(text=pl.when(end & (worst == worst.max().over("panel", "severity"))).then("name"))
    order = [f"{row['label']}: {name}" for row in given for name in MEASURES.values()]
    panels = frame.panels(len(order), COLUMNS, right_px=8)
    rules = "; ".join(f"{row['label']}: {rule_phrase(row)}, for {target_phrase(row)}" for row in given)
    return Figure(
        style.small_multiples(_layers(rows, frame), rows, "panel", order, panels, panels.height(HEIGHT_PX)),
        chart_title(
            con,
            selection,
            "errors_accepted",
            "is not shown to exceed its bound on clean images",
            "Accepted images and the error among them",
        ),
        f"Share of images accepted ({rules}) and share of these that are incorrect, on images that the threshold "
        f"was not chosen on ({HALF}); {selection.images}. Color: corruption group; named: the worst; gray rule: "
        "target error. "
        f"{shown_phrase(chosen)}".rstrip(),
        selection.source_line,
        frame,
    )


def _layers(rows: pl.DataFrame, frame: Frame) -> list[alt.Chart]:
    """The target, and a line with points for each corruption, and the name of the worst."""
    focus = style.focus_on("corruption", frame)
    base = alt.Chart().encode(
        x=style.severity_axis(max(rows["severity"])),
        y=alt.Y("value:Q", title="share of images", scale=style.fixed_scale(0, 1), axis=style.percent_axis()),
        color=group_color(rows, frame), detail="corruption:N", opacity=style.faded(focus),
    )  # fmt: skip
    tips = [alt.Tooltip("name:N", title="corruption"), alt.Tooltip("severity:Q", title="severity"),
            *style.interval_tips("value", ".1%", "share"),
            alt.Tooltip("accepted_count:Q", title="accepted images"),
            alt.Tooltip("image_count:Q", title="images")]  # fmt: skip
    target = alt.Chart().transform_filter("isValid(datum.limit)").transform_aggregate(limit="mean(limit)")
    return [
        target.mark_rule(style="muted-line", strokeDash=[4, 3]).encode(y="limit:Q"),
        base.mark_line(strokeWidth=1.6).encode(strokeDash=corruption_dash()),
        base.mark_point(size=style.point_size(rows), filled=True).encode(tooltip=tips).add_params(focus),
        *(
            base.transform_filter(f"datum.text && datum.column == '{column}'")
            .mark_text(align="right", dy=dy)
            .encode(text="text:N")
            for column, dy in (("accepted_share", 9), ("error_accepted", -9))
        ),
    ]
