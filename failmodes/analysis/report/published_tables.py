"""The report's table of where models stand among published ones, by mean corrupted accuracy."""

import duckdb

from failmodes.analysis.charts.style.published import other_images_phrase
from failmodes.analysis.render.blocks import EMPTY, Cell, Table
from failmodes.analysis.render.formatting import (
    format_count,
    format_interval,
    format_number,
    format_severity,
    join_names,
    lower_label,
)
from failmodes.analysis.report.smallest_shown import shown_of_published
from failmodes.analysis.selection import Selection, corruption_labels
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.published import PublishedComparison, PublishedMean, Standing, compare_with_published


def published_tables(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Table]:
    """A table for each published set of the selection's data set; none where the warehouse holds none."""
    names = corruption_labels(con)
    return [_table(con, one, selection, names) for one in compare_with_published(con, selection)]


def _table(
    con: duckdb.DuckDBPyConnection, comparison: PublishedComparison, selection: Selection, names: dict[str, str]
) -> Table:
    """Published models and those of the selection (marked) in one order."""
    count = len(comparison.published)
    rows = [(-one.corrupted, _published_row(one)) for one in comparison.published]
    rows += [(-one.corrupted.value, _own_row(one)) for one in comparison.standings]
    over = join_names(lower_label(names[corruption]) for corruption in comparison.corruptions)
    severities = join_names(map(format_severity, comparison.severities))
    caution = other_images_phrase(selection)
    seeds = " and over training seeds" if any(one.model.has_several_seeds for one in comparison.standings) else ""
    return Table(
        f"Among {format_count(count, 'published model')} ({comparison.published_set})",
        f"Accuracy clean and averaged over {over} at severities {severities}, in per cent; \u2192 marks yours, on "
        f"{selection.images}, with the interval over these images{seeds}. Rank: its place among the published "
        "models, and beneath it the places of the ends of its interval. Published figures are "
        f"{caution}, and carry no interval: what differs may be the images, not the model."
        f"{shown_of_published(con, comparison.standings)}",
        ("Model", "Architecture", "Clean", "Mean corrupted", f"Rank of {count + 1}"),
        tuple(row for _, row in sorted(rows, key=lambda row: row[0])),
    )


def _published_row(one: PublishedMean) -> tuple[Cell, ...]:
    clean = EMPTY if one.clean is None else format_number(100 * one.clean)
    figures = (clean, format_number(100 * one.corrupted), "")
    return tuple(map(Cell, (one.model, one.architecture or EMPTY, *figures)))


def _own_row(one: Standing) -> tuple[Cell, ...]:
    return (
        Cell(f"\u2192 {one.model.label_with_seeds}"),
        Cell(one.model.runs[0].facts["architecture"]),
        _with_interval(one.clean),
        _with_interval(one.corrupted),
        Cell(str(one.rank), f"[{one.best}, {one.worst}]"),
    )


def _with_interval(estimate: Estimate) -> Cell:
    return Cell(format_number(100 * estimate.value), format_interval(estimate.low, estimate.high))
