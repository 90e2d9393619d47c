"""Images that change between two models, each from clean to the last severity, regenerated from the clean image."""

from collections.abc import Mapping
from typing import NamedTuple

import duckdb

from failmodes.analysis.images.clean_images import LazyStudy
from failmodes.analysis.images.regeneration import RegeneratedPicture, make_pictures
from failmodes.analysis.images.rows import rows_to_cells
from failmodes.warehouse.errors import FailmodesError


class ChangedPictures(NamedTuple):
    """The pictures of each image that could be regenerated, by image_id; and why there are none, if so."""

    strips: dict[int, list[RegeneratedPicture]]
    missing_reason: str


def changed_pictures(
    con: duckdb.DuckDBPyConnection, evaluation_id: str, cells: Mapping[int, tuple[str, float]]
) -> ChangedPictures:
    """The pictures of images along severity, with what one model predicts.

    Args:
        con: the warehouse.
        evaluation_id: of that model.
        cells: corruption and severity by image_id: those to that corruption's last severity are shown.
    """
    try:
        made = make_pictures(con, rows_to_cells(con, evaluation_id, cells), LazyStudy(None))
    except FailmodesError as error:  # a published set, code of a study, no OpenCV
        return ChangedPictures({}, str(error))
    strips: dict[int, list[RegeneratedPicture]] = {}
    for picture in made:
        if picture is not None:
            strips.setdefault(picture.row.image_id, []).append(picture)
    return ChangedPictures(strips, "")
