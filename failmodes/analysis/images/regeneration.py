"""Reproduce evaluated images from their clean images, and check whether they are the same."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import duckdb
import numpy as np

from failmodes.analysis.images.rows import PictureRow
from failmodes.analysis.images.stored_images import GIVE_THE_STUDY, AttentionMap, OpenStudy, Pixels, Point, clean_images
from failmodes.analysis.render.formatting import join_names
from failmodes.ingest.corruptions.catalog import CORRUPTIONS, registered
from failmodes.ingest.distortion import rmse
from failmodes.ingest.sources import GeneratedSource, dependency_hashes, stored_versions
from failmodes.runtime.errors import StudyError, WarehouseError
from failmodes.runtime.packages import require
from failmodes.warehouse.schema import CLEAN, OF_TABLE

# The RMSE of the same image is the same to the last digit of float32 on any machine: squares are whole numbers
ROUNDING = 2  # in steps of float32
_Cell = tuple[str, str, str, float]  # dataset, source, corruption and severity of images that are reproduced together


class Picture(NamedTuple):
    """One reproduced image.

    Attributes:
        row: its row, with the prediction.
        pixels: (H, W, 3) uint8, the model's input before preprocessing.
        clean: (H, W, 3) uint8 before corruption; None if a published dataset has no paired clean images.
        differs: whether it differs from the evaluated image; None if nothing is stored to compare with.
        attention: its attention map, if stored and read.
        center: the centroid of its attention, likewise.
    """

    row: PictureRow
    pixels: Pixels
    clean: Pixels | None
    differs: bool | None
    attention: AttentionMap | None = None
    center: Point | None = None

    @property
    def has_empty_map(self) -> bool:
        """Whether its attention map is stored and 0 everywhere, so that nothing is drawn."""
        return self.attention is not None and not self.attention.any()

    @property
    def layers(self) -> tuple[Pixels, AttentionMap | None, Point | None]:
        """Its drawn layers: pixels, attention and centroid."""
        return self.pixels, self.attention, self.center


def make_pictures(
    con: duckdb.DuckDBPyConnection, rows: Sequence[PictureRow], open_study: OpenStudy
) -> list[Picture | None]:
    """Reproduce the images of rows, and compare the RMSE of each from clean with the stored one.

    Args:
        con: the warehouse.
        rows: the rows.
        open_study: opens the study, for images, published datasets and custom corruptions that the warehouse lacks.

    Returns:
        One image per row; None if its clean image is not available.

    Raises:
        MissingExtraError: a row is of a corrupted image, and OpenCV is not installed.
        StudyError: only a study has the code of a corruption or a published dataset.
        DataError, WarehouseError: images are damaged or missing.
    """
    if any(row.corruption != CLEAN for row in rows):
        require("images", "showing corrupted images", ["cv2"])
    sources = _sources(con, {row.source_id for row in rows})
    needed = {
        (row.dataset_id, row.image_id)
        for row in rows
        if _is_paired(row) or sources[row.source_id]["source_kind"] == "generated"
    }
    clean: dict[str, dict[int, Pixels]] = {
        dataset: clean_images(
            con, dataset, sorted(image_id for of_dataset, image_id in needed if of_dataset == dataset), open_study
        )
        for dataset in {row.dataset_id for row in rows}
    }
    made: dict[tuple[_Cell, int], Pixels] = {}
    for cell in dict.fromkeys(map(_cell_of, rows)):
        ids = list(dict.fromkeys(row.image_id for row in rows if _cell_of(row) == cell))
        pictures = _made(cell, ids, clean[cell[0]], sources[cell[1]], open_study)
        made |= {(cell, image_id): pixels for image_id, pixels in pictures.items()}
    return [_picture(row, made.get((_cell_of(row), row.image_id)), clean[row.dataset_id]) for row in rows]


def describe_differences(con: duckdb.DuckDBPyConnection, pictures: Sequence[Picture]) -> str:
    """One line on images that differ from those evaluated, with changed versions; "" if none differs."""
    differing = [picture.row for picture in pictures if picture.differs]
    if not differing:
        return ""
    sources = _sources(con, {row.source_id for row in differing})
    changes = [
        change
        for source_id, source in sources.items()
        for change in _version_changes(source, {row.corruption for row in differing if row.source_id == source_id})
    ]
    reason = "no version changed, so the images or the warehouse did"
    if changes:
        reason = f"made with {join_names(dict.fromkeys(changes))}"
    verb = "differs" if len(differing) == 1 else "differ"
    return f"{len(differing)} of {len(pictures)} images {verb} from those evaluated: {reason}"


def _cell_of(row: PictureRow) -> _Cell:
    return row.dataset_id, row.source_id, row.corruption, float(row.severity)


def _sources(con: duckdb.DuckDBPyConnection, source_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Rows of `sources` by ID.

    Raises:
        WarehouseError: a row is missing.
    """
    rows = con.sql("from sources where source_id = any($1)", params=[list(source_ids)]).pl().rows(named=True)
    sources = {row["source_id"]: row for row in rows}
    if missing := sorted(set(source_ids) - sources.keys()):
        raise WarehouseError(f"the warehouse has no source {missing[0]} of corrupted images: evaluate and load again")
    return sources


def _made(
    cell: _Cell, image_ids: list[int], clean: dict[int, Pixels], source: dict[str, Any], open_study: OpenStudy
) -> dict[int, Pixels]:
    """Pixels of a cell's images by image_id, without those whose clean image is missing."""
    _, source_id, corruption, severity = cell
    known = {image_id: clean[image_id] for image_id in image_ids if image_id in clean}
    if corruption == CLEAN:
        return known
    if source["source_kind"] == OF_TABLE:
        raise StudyError("the predictions were imported as a table: the pixels of its corrupted images are unknown")
    if source["source_kind"] != "generated":
        opened = open_study()
        pixels = opened.published(source_id, corruption, severity, image_ids) if opened is not None else None
        if pixels is None:
            raise StudyError(
                f"these images are in a published corrupted dataset, which the warehouse lacks: {GIVE_THE_STUDY}"
            )
        return dict(zip(image_ids, pixels, strict=True))
    _check_known(corruption, open_study)
    if not known:
        return {}
    images = np.stack(list(known.values()))
    corrupted = GeneratedSource.from_row(source).corrupted(images, corruption, severity, list(known))
    return dict(zip(known, corrupted, strict=True))


def _check_known(corruption: str, open_study: OpenStudy) -> None:
    """Refuse an unknown corruption: only a study registers custom ones, a warehouse never imports code."""
    if corruption in CORRUPTIONS or corruption in registered():
        return
    if open_study() is None or corruption not in registered():  # reading a study registers its corruptions
        raise StudyError(
            f"corruption {corruption!r} is code of a study, which the warehouse lacks: name the study file instead of "
            "the warehouse"
        )


def _picture(row: PictureRow, pixels: Pixels | None, clean: dict[int, Pixels]) -> Picture | None:
    if pixels is None:
        return None
    before = clean.get(row.image_id) if _is_paired(row) else None
    differs = None
    if row.rmse is not None and before is not None and row.corruption != CLEAN:
        stored = np.float32(row.rmse)
        distance = rmse(before[None], pixels[None])[0]
        differs = not abs(distance - stored) <= ROUNDING * np.spacing(max(stored, distance))
    return Picture(row, pixels, before, differs)


def _is_paired(row: PictureRow) -> bool:
    """Whether the image is clean, or comes from the clean image with the same ID."""
    return row.corruption == CLEAN or row.rmse is not None


def _version_changes(source: dict[str, Any], corruptions: set[str]) -> list[str]:
    """Versions that determine these pixels and differ today: opencv 4.11, now 4.12."""
    if source["source_kind"] != "generated":
        return []
    stored = stored_versions(source)
    hashes = dependency_hashes(sorted(corruptions))
    today = GeneratedSource(dependencies=hashes).versions
    # hashes of the code of other corruptions do not matter here
    names = [name for name in today | stored if " " not in name or name in hashes]
    return [
        f"another {name}" if " " in name else f"{name} {stored.get(name, 'unknown')}, now {today.get(name, 'none')}"
        for name in names
        if stored.get(name) != today.get(name)
    ]
