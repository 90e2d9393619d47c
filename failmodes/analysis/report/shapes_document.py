"""What `failmodes shapes` prints: how accuracy drops along severity, a row a curve."""

from typing import Any

import duckdb

from failmodes.analysis.render.blocks import Block, Cell, Document, Section, Table
from failmodes.analysis.render.formatting import format_percent
from failmodes.analysis.report.report_tables import SHAPE_COLUMNS, shape_cells
from failmodes.analysis.selection import corruption_labels, read_for_selection, select
from failmodes.analysis.statistics.curve_shape import stored_settings

COLUMNS = ("Model", "Corruption", *SHAPE_COLUMNS)


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
        cells = tuple((Cell(row["label"]), Cell(names[row["corruption"]]), *shape_cells(row)) for row in rows)
        blocks.append(Section(selection.images, (Table("Shapes", note, COLUMNS, cells, texts=COLUMNS[:3]),)))
    return Document("Shapes", tuple(blocks), {"shapes": data})
