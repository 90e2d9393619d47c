"""Clean pixels of single images: from the warehouse's thumbnails, else from the data set of a study."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol

import duckdb
import numpy as np
from numpy.typing import NDArray

from failmodes.analysis.images.stored_pictures import decode_stored
from failmodes.ingest.corruptions.apply import ImageIds
from failmodes.ingest.corruptions.pixels import Images

Pixels = NDArray[np.uint8]  # one image, (H, W, 3)
GIVE_THE_STUDY = "name the study file in place of the warehouse, where its images are at hand"


class StudyImages(Protocol):
    """The images of a study, whose file this room cannot read."""

    def clean(self, dataset_id: str, image_ids: ImageIds) -> Images | None:
        """Clean images (N, H, W, 3) uint8 of a data set; None where the study has another one."""
        ...

    def published(self, source_id: str, corruption: str, severity: float, image_ids: ImageIds) -> Images | None:
        """Images (N, H, W, 3) uint8 of a published set; None where the study names no such set."""
        ...


OpenStudy = Callable[[], StudyImages | None]  # None: no study is at hand


class LazyStudy:
    """A study that may be at hand, opened when something is first missing without it."""

    def __init__(self, open_study: OpenStudy | None) -> None:
        self._open = open_study

    @cached_property
    def images(self) -> StudyImages | None:
        """Its images; None where no study is at hand.

        Raises:
            StudyError: the file is no study.
        """
        return None if self._open is None else self._open()


def clean_images(
    con: duckdb.DuckDBPyConnection, dataset_id: str, image_ids: Sequence[int], study: LazyStudy
) -> dict[int, Pixels]:
    """Clean images by image_id; those that neither the warehouse nor a study has are left out.

    Only the images asked for are read.

    Raises:
        WarehouseError: a stored picture is none, or of another size than it says.
        DataError: the study's data set is missing or damaged.
    """
    found = _thumbnails(con, dataset_id, image_ids)
    missing = [image_id for image_id in image_ids if image_id not in found]
    opened = study.images if missing else None
    pixels = opened.clean(dataset_id, missing) if opened is not None else None
    return found if pixels is None else found | dict(zip(missing, pixels, strict=True))


def _thumbnails(con: duckdb.DuckDBPyConnection, dataset_id: str, image_ids: Sequence[int]) -> dict[int, Pixels]:
    stored = con.execute(
        "select image_id, png, height_px, width_px from thumbnails where dataset_id = $1 and image_id = any($2)",
        [dataset_id, list(image_ids)],
    ).fetchall()
    return {image_id: decode_stored(png, (height, width), image_id) for image_id, png, height, width in stored}
