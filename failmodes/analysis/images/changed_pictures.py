"""Pictures of single images, each in one cell: made again from their clean image, else as kept for an exemplar."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import duckdb

from failmodes.analysis.images.clean_images import LazyStudy, Pixels
from failmodes.analysis.images.regeneration import make_pictures
from failmodes.analysis.images.rows import cell_rows
from failmodes.analysis.images.stored_pictures import decode_stored
from failmodes.warehouse.errors import FailmodesError


class ChangedPictures(NamedTuple):
    """(H, W, 3) uint8 by image_id, of those that are to be had; and why others are missing, where an error says so."""

    pixels: dict[int, Pixels]
    missing_reason: str


def changed_pictures(
    con: duckdb.DuckDBPyConnection, evaluation_ids: Sequence[str], cells: Mapping[int, tuple[str, float]]
) -> ChangedPictures:
    """The pictures that the warehouse has, or can make.

    Args:
        con: the warehouse.
        evaluation_ids: that saw them, of the same pixels.
        cells: corruption and severity by image_id.
    """
    reason = ""
    try:
        made = make_pictures(con, cell_rows(con, evaluation_ids[0], cells), LazyStudy(None))
    except FailmodesError as error:  # a published set, code of a study, no OpenCV: only exemplars are at hand
        made, reason = [], str(error)
    found = {picture.row.image_id: picture.pixels for picture in made if picture is not None}
    found |= _exemplars(con, evaluation_ids, {i: cell for i, cell in cells.items() if i not in found})
    return ChangedPictures(found, reason if len(found) < len(cells) else "")


def _exemplars(
    con: duckdb.DuckDBPyConnection, evaluation_ids: Sequence[str], cells: Mapping[int, tuple[str, float]]
) -> dict[int, Pixels]:
    rows = con.execute(
        "select image_id, corruption, severity::double, any_value(png), any_value(height_px), any_value(width_px) "
        "from exemplars inner join evaluations using (evaluation_id) inner join datasets using (dataset_id) "
        "where evaluation_id = any($1) and image_id = any($2) group by image_id, corruption, severity",
        [list(evaluation_ids), list(cells)],
    ).fetchall()
    return {
        image_id: decode_stored(png, (height, width), image_id)
        for image_id, corruption, severity, png, height, width in rows
        if cells[image_id] == (corruption, severity)
    }
