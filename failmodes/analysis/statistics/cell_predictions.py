"""On which images each cell of an evaluation is right, as the table cell_predictions holds it."""

from typing import NamedTuple

import duckdb
import numpy as np
from numpy.typing import NDArray

from failmodes.analysis.once import read_once
from failmodes.warehouse.database.relations import REBUILD_HINT
from failmodes.warehouse.errors import WarehouseError
from failmodes.warehouse.metrics.cell_texts import decode_pattern

CELLS_AT_ONCE = 500  # whose images are in memory as letters, before they are packed


class PackedCell(NamedTuple):
    """A cell of cell_predictions; `packed_correct` has a bit an image by image_id, 1 where the answer is right."""

    corruption: str
    severity: float
    row_count: int
    image_count: int
    image_ids_md5: str
    packed_correct: NDArray[np.uint8]


def cell_predictions(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> list[PackedCell]:
    """The cells of an evaluation by corruption and severity.

    Raises:
        WarehouseError: a cell does not hold a letter for each of its rows.
    """
    return _stored_cells(con).get(evaluation_id, [])


@read_once
def _stored_cells(con: duckdb.DuckDBPyConnection) -> dict[str, list[PackedCell]]:
    """Those of every evaluation, for DuckDB reads as much of one."""
    rows = con.execute(
        "select evaluation_id, corruption, severity::double, row_count, image_count, image_ids_md5, correct_images "
        "from cell_predictions order by evaluation_id, corruption, severity"
    )
    found: dict[str, list[PackedCell]] = {}
    while some := rows.fetchmany(CELLS_AT_ONCE):
        for evaluation_id, corruption, severity, row_count, images, ids_md5, pattern in some:
            if len(pattern) != row_count or not pattern.isascii():
                raise WarehouseError(f"cell_predictions of evaluation {evaluation_id} is damaged: {REBUILD_HINT}")
            packed = np.packbits(decode_pattern(pattern))
            cell = PackedCell(corruption, severity, row_count, images, ids_md5, packed)
            found.setdefault(evaluation_id, []).append(cell)
    return found
