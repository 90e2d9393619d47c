"""The report's table of where models stand among published ones, by mean corrupted accuracy."""

import duckdb

from failmodes.analysis.charts.published_layers import other_images_phrase
from failmodes.analysis.render.blocks import EMPTY, Cell, Table
from failmodes.analysis.render.formatting import (
    format_count,
    format_interval,
    format_number,
    format_severity,
    join_names,
    lower_label,
)
from failmodes.analysis.selection import Selection, corruption_labels
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.published import PublishedComparison, compare_with_published


def published_tables(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Table]:
    """A table for each published set of the selection's data set; none where the warehouse holds none."""
    names = corruption_labels(con)
    return [_table(one, selection, names) for one in compare_with_published(con, selection)]


def _table(comparison: PublishedComparison, selection: Selection, names: dict[str, str]) -> Table:
    """Published models and those of the selection (marked) in one order."""
    count = len(comparison.published)
    rows = [
        (one.corrupted, (Cell(one.model), Cell(one.architecture or EMPTY),
         Cell(EMPTY if one.clean is None else format_number(100 * one.clean)),
         Cell(format_number(100 * one.corrupted)), Cell("")))
        for one in comparison.published
    ]  # fmt: skip
    rows += [
        (one.corrupted.value, (Cell(f"\u2192 {one.model.label_with_seeds}"),
         Cell(one.model.runs[0].facts["architecture"]), _with_interval(one.clean), _with_interval(one.corrupted),
         Cell(str(one.rank), f"[{one.best}, {one.worst}]")))
        for one in comparison.standings
    ]  # fmt: skip
    over = join_names(lower_label(names[corruption]) for corruption in comparison.corruptions)
    seeds = " and over training seeds" if any(one.model.has_several_seeds for one in comparison.standings) else ""
    return Table(
        f"Among {format_count(count, 'published model')} ({comparison.published_set})",
        f"Accuracy in percent, clean and averaged over {over} at severities "
        f"{join_names(map(format_severity, comparison.severities))}. \u2192 marks your models, on {selection.images}, "
        f"with the interval over these images{seeds}. Rank: among the published models, with the ranks of the ends "
        f"of its interval. Published figures are {other_images_phrase(selection)}, and carry no interval: the images "
        "may differ, not the model.",
        ("Model", "Architecture", "Clean", "Mean corrupted", f"Rank of {count + 1}"),
        tuple(cells for _, cells in sorted(rows, key=lambda row: -row[0])),
    )


def _with_interval(estimate: Estimate) -> Cell:
    return Cell(format_number(100 * estimate.value), format_interval(estimate.low, estimate.high))
