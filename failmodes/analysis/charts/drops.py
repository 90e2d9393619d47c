"""Heat map of the accuracy that each corruption costs at each severity, with the number in every cell."""

from collections.abc import Mapping

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style.axes import model_columns
from failmodes.analysis.charts.style.combining import in_grid
from failmodes.analysis.charts.style.heat_map import LEAST_ROW_PX, ROW_PX, heat_map, label_width, row_order, with_names
from failmodes.analysis.charts.style.theme import PAGE, ChartSize, ChartText, add_text
from failmodes.analysis.judging.findings.largest_drop import NON_FINITE, drop_tally, nearest
from failmodes.analysis.render.formatting import format_points, format_points_interval, join_names, lower_label
from failmodes.analysis.selection import (
    EvaluationInfo,
    Selection,
    averaged_severities,
    corruption_labels,
    read_for_selection,
)
from failmodes.analysis.statistics.model_accuracy import DropRanking, drop_rankings
from failmodes.analysis.trained_models import noun_of_runs

TOOLTIPS = (
    alt.Tooltip("name:N", title="corruption"), alt.Tooltip("severity:Q"), alt.Tooltip("accuracy:Q", format=".1%"),
    alt.Tooltip("clean_accuracy:Q", format=".1%", title="clean"),
    alt.Tooltip("drop_points:Q", format=".1f", title="drop, points"),
)  # fmt: skip


def chart(con: duckdb.DuckDBPyConnection, selection: Selection, *, size: ChartSize = PAGE) -> alt.VConcatChart:
    """Corruption (by group, then mean drop, extras last) against severity, a panel a model."""
    cells = with_names(read_for_selection(con, "accuracy_by_severity", selection).filter(pl.col("severity") > 0))
    cells = cells.with_columns(drop_points=100 * pl.col("accuracy_drop"))
    order = row_order(cells.filter(pl.col("severity").is_in(averaged_severities(cells["severity"].unique()))),
                      "accuracy_drop")  # fmt: skip
    top = max(0.01, float(cells.select(pl.col("accuracy_drop").max()).item()))
    label_px = label_width(order)
    columns, width = model_columns(size, len(selection.evaluations), 20, label_px)
    panels = [
        heat_map(cells.filter(label=label), "accuracy_drop", order, label, top, width, TOOLTIPS,
                 row_px=size.height(ROW_PX, LEAST_ROW_PX), is_left=not index % columns)
        for index, label in enumerate(selection.labels.values())
    ]  # fmt: skip
    text = ChartText(
        largest_mean_drop_sentence(con, selection),
        f"Clean accuracy minus accuracy at each severity, in percentage points, on {selection.images}; rows by group "
        f"(noise, blur, weather, digital), then by mean drop{', extras last' if selection.extras else ''}.",
        selection.source_line,
    )
    return add_text([in_grid(*panels, columns=columns, spacing=16)], text, size)


def largest_mean_drop_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Which corruption costs most on average over its severities, for each model or in how many of them.

    Only models that lose accuracy beyond sampling noise count.
    """
    rankings, names = drop_rankings(con, selection), corruption_labels(con)
    losing = {e: r for e, r in rankings.items() if r.by_average and r.by_average[0].on_average.above_zero}
    firsts = [ranking.by_average[0].corruption for ranking in losing.values()]
    if len(rankings) > 2:
        clear = [ranking.by_average[0].corruption for ranking in losing.values() if ranking.is_clear_on_average]
        return drop_tally(
            "Costliest corruption on average over severities,",
            clear,
            f"{len(rankings)} {noun_of_runs(rankings)}s",
            len(rankings),
            names,
        )
    spared = [f"no corruption costs {e.label} accuracy beyond sampling noise" for e in rankings if e not in losing]
    if not losing:
        return f"On average over severities, {' and '.join(spared)}"
    phrases = [_average_phrase(e, r, names) for e, r in losing.items()]
    if len(set(firsts)) == 1:
        first = f"On average over severities, {lower_label(names[firsts[0]])} costs most: {join_names(phrases)}"
        return "; ".join([first, *spared])
    each = (f"{lower_label(names[first])}, {phrase}" for first, phrase in zip(firsts, phrases, strict=True))
    return f"Costliest on average over severities: {'; '.join(each)}"


def _average_phrase(evaluation: EvaluationInfo, ranking: DropRanking, names: Mapping[str, str]) -> str:
    """What the first costs; without an interval where it is not told apart, as that of a chosen largest is too high."""
    average = ranking.by_average[0].on_average
    if ranking.is_clear_on_average or not ranking.average_leads:
        return f"{format_points_interval(average)} for {evaluation.label}"
    text = f"{format_points(average.value)} for {evaluation.label}"
    if ranking.withheld:
        return f"{text} (of others {NON_FINITE})"
    second, _ = nearest(ranking.by_average, ranking.average_leads)
    return f"{text} (not told apart from {lower_label(names[second.corruption])})"
