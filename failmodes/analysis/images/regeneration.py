"""Reproduce evaluated images from their clean images, and check whether they are the same."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import duckdb
import numpy as np

from failmodes.analysis.images.attention import AttentionMap, Point
from failmodes.analysis.images.clean_images import GIVE_THE_STUDY, OpenStudy, Pixels, clean_images
from failmodes.analysis.images.rows import PictureRow
from failmodes.analysis.render.formatting import join_names
from failmodes.ingest.corruptions.catalog import CORRUPTIONS, registered
from failmodes.ingest.corruptions.pixels import Images
from failmodes.ingest.distortion import rmse
from failmodes.ingest.sources import GeneratedSource, dependency_hashes, stored_versions
from failmodes.warehouse.errors import StudyError, WarehouseError
from failmodes.warehouse.extras import require
from failmodes.warehouse.schema import CLEAN

# The RMSE of the same image is the same to the last digit of float32 on any machine: squares are whole numbers
ROUNDING = 2  # in steps of float32


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


class _Cell(NamedTuple):
    """Images that are reproduced together."""

    dataset_id: str
    source_id: str
    corruption: str
    severity: float


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
    cells: dict[_Cell, dict[int, None]] = {}
    for row in rows:
        cells.setdefault(_cell_of(row), {})[row.image_id] = None  # in order, each once
    clean = {
        dataset_id: clean_images(
            con, dataset_id, list({r.image_id: 0 for r in rows if r.dataset_id == dataset_id}), open_study
        )
        for dataset_id in {row.dataset_id for row in rows if _needs_clean(row, sources)}
    }
    made: dict[tuple[_Cell, int], Pixels] = {}
    for cell, ids in cells.items():
        known = clean.get(cell.dataset_id, {})
        pictures = _made(cell, list(ids), known, sources[cell.source_id], open_study)
        made |= {(cell, image_id): pixels for image_id, pixels in pictures.items()}
    return [_picture(row, made.get((_cell_of(row), row.image_id)), clean) for row in rows]


def describe_differences(con: duckdb.DuckDBPyConnection, pictures: Sequence[Picture]) -> str:
    """One line on images that differ from those evaluated, with changed versions; "" if none differs."""
    differing = [picture.row for picture in pictures if picture.differs]
    if not differing:
        return ""
    sources = _sources(con, {row.source_id for row in differing})
    changes: dict[str, None] = {}
    for source_id, source in sources.items():
        names = {row.corruption for row in differing if row.source_id == source_id}
        changes |= dict.fromkeys(_version_changes(source, names))
    why = "made with " + join_names(changes) if changes else "no version changed, so the images or the warehouse did"
    verb = "differs" if len(differing) == 1 else "differ"
    return f"{len(differing)} of {len(pictures)} images {verb} from those evaluated: {why}"


def _cell_of(row: PictureRow) -> _Cell:
    return _Cell(row.dataset_id, row.source_id, row.corruption, float(row.severity))


def _needs_clean(row: PictureRow, sources: dict[str, dict[str, Any]]) -> bool:
    """Whether reproducing or comparing an image needs its clean image."""
    return row.corruption == CLEAN or row.rmse is not None or sources[row.source_id]["source_kind"] == "generated"


def _sources(con: duckdb.DuckDBPyConnection, source_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Rows of `sources` by ID.

    Raises:
        WarehouseError: a row is missing.
    """
    found = con.sql("from sources where source_id = any($1)", params=[list(source_ids)]).pl().rows(named=True)
    rows = {row["source_id"]: row for row in found}
    if missing := sorted(set(source_ids) - rows.keys()):
        raise WarehouseError(f"the warehouse has no source {missing[0]} of corrupted images: evaluate and load again")
    return rows


def _made(
    cell: _Cell, image_ids: list[int], clean: dict[int, Pixels], source: dict[str, Any], open_study: OpenStudy
) -> dict[int, Pixels]:
    """Pixels of a cell's images by image_id, without those whose clean image is missing."""
    if cell.corruption == CLEAN:
        return {image_id: clean[image_id] for image_id in image_ids if image_id in clean}
    if source["source_kind"] != "generated":
        return dict(zip(image_ids, _published(cell, image_ids, open_study), strict=True))
    _check_known(cell.corruption, open_study)
    known = [image_id for image_id in image_ids if image_id in clean]
    if not known:
        return {}
    images = np.stack([clean[image_id] for image_id in known])
    corrupted = GeneratedSource.from_row(source).corrupted(images, cell.corruption, cell.severity, known)
    return dict(zip(known, corrupted, strict=True))


def _published(cell: _Cell, image_ids: list[int], open_study: OpenStudy) -> Images:
    opened = open_study()
    pixels = None
    if opened is not None:
        pixels = opened.published(cell.source_id, cell.corruption, cell.severity, image_ids)
    if pixels is None:
        raise StudyError(
            f"these images are in a published corrupted dataset, which the warehouse lacks: {GIVE_THE_STUDY}"
        )
    return pixels


def _check_known(corruption: str, open_study: OpenStudy) -> None:
    """Refuse an unknown corruption: only a study registers custom ones, a warehouse never imports code."""
    if corruption in CORRUPTIONS or corruption in registered():
        return
    if open_study() is None or corruption not in registered():  # reading a study registers its corruptions
        raise StudyError(
            f"corruption {corruption!r} is code of a study, which the warehouse lacks: name the study file instead of "
            "the warehouse"
        )


def _picture(row: PictureRow, pixels: Pixels | None, clean: dict[str, dict[int, Pixels]]) -> Picture | None:
    if pixels is None:
        return None
    before = clean.get(row.dataset_id, {}).get(row.image_id) if _pairs(row) else None
    differs = None
    if row.rmse is not None and before is not None and row.corruption != CLEAN:
        stored = np.float32(row.rmse)
        distance = rmse(before[None], pixels[None])[0]
        differs = not abs(distance - stored) <= ROUNDING * np.spacing(max(stored, distance))
    return Picture(row, pixels, before, differs)


def _pairs(row: PictureRow) -> bool:
    """Whether the corrupted image comes from the clean image with the same ID."""
    return row.corruption == CLEAN or row.rmse is not None


def _version_changes(source: dict[str, Any], corruptions: set[str]) -> list[str]:
    """Versions that determine these pixels and differ today: opencv 4.11, now 4.12."""
    if source["source_kind"] != "generated":
        return []
    stored, hashes = stored_versions(source), dependency_hashes(sorted(corruptions))
    today = GeneratedSource(dependencies=hashes).versions
    # hashes of the code of other corruptions do not matter here
    names = [name for name in today | stored if " " not in name or name in hashes]
    return [
        f"another {name}" if " " in name else f"{name} {stored.get(name, 'unknown')}, now {today.get(name, 'none')}"
        for name in names
        if stored.get(name) != today.get(name)
    ]
