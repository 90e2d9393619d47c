"""What `failmodes shapes` prints: how accuracy drops along severity, a row a curve."""

from collections.abc import Iterable
from typing import Any

import duckdb

from failmodes.analysis.judging.findings.shape import shape_label
from failmodes.analysis.render.blocks import EMPTY, Block, Cell, Document, Section, Table
from failmodes.analysis.render.formatting import format_percent, format_severity
from failmodes.analysis.report.report_tables import figure
from failmodes.analysis.report.smallest_shown import shown_from_clean
from failmodes.analysis.selection import corruption_labels, read_for_selection, select
from failmodes.analysis.statistics.shape_tables import stored_settings

COLUMNS = ("Model", "Corruption", "Shape", "Stability", "Total drop", "Curvature", "Largest step")


def shapes_document(con: duckdb.DuckDBPyConnection) -> Document:
    """The shapes of every evaluation, the largest drop of each model first; its data are rows of the table `shapes`.

    Args:
        con: the warehouse, with current shapes.
    """
    names, settings = corruption_labels(con), stored_settings(con)
    note = (
        f"Drops and steps in points. Flat below {settings.flat_below:g}; curvature threshold "
        f"{settings.curvature_threshold:g}; {settings.resamples:,} resamples with seed {settings.seed}; intervals "
        f"{format_percent(settings.interval_level, 0)}."
    )
    blocks: list[Block] = []
    data: list[dict[str, Any]] = []
    for selection in select(con):
        found = read_for_selection(con, "shapes", selection).sort("label", "total_drop", descending=[False, True])
        rows = found.rows(named=True)
        data += rows
        table = Table(
            "Shapes", f"{note}{shown_from_clean(con, selection)}", COLUMNS, tuple(_rows(rows, names)), texts=COLUMNS[:3]
        )
        blocks.append(Section(selection.images, (table,)))
    return Document("Shapes", tuple(blocks), {"shapes": data})


def _rows(rows: Iterable[dict[str, Any]], names: dict[str, str]) -> Iterable[tuple[Cell, ...]]:
    for row in rows:
        start, end = format_severity(row["largest_step_from"]), format_severity(row["largest_step_to"])
        yield (
            Cell(row["label"]),
            Cell(names[row["corruption"]]),
            Cell(shape_label(row)),
            Cell(EMPTY if row["stability"] is None else format_percent(row["stability"], 0)),
            figure(row, "total_drop"),
            figure(row, "curvature", 2, scale=1, signed=True),
            Cell(figure(row, "largest_step").text, f"({start} to {end})"),
        )
