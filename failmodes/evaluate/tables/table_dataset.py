"""The dataset of imported tables: images known by name, shared by all tables of an output folder.

A later table may add images and classes: they follow the stored ones, whose numbers stay, so that stored predictions
need no change.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from failmodes.ingest.datasets.dataset import MAX_CLASSES, MAX_IMAGES, class_rows, image_rows
from failmodes.ingest.datasets.metadata import metadata_types
from failmodes.ingest.datasets.pixel_index import MEASURED
from failmodes.runtime.errors import DataError
from failmodes.runtime.hashing import fingerprint_of, identity_of
from failmodes.runtime.storage.files import StorePath, delete, exists
from failmodes.warehouse.schema import (
    CLASSES,
    DATASETS,
    EVALUATIONS,
    IMAGES,
    OF_DATASETS,
    OF_TABLE,
    THUMBNAILS,
    WHOLE,
    arrow_type,
    common_type,
)
from failmodes.warehouse.shards.format import dimension_path, list_results_files, write_dimension
from failmodes.warehouse.shards.inventory import read_rows

pc: Any = pyarrow.compute  # its functions are made as it is imported: no checker knows them

OF_PIXELS = ("pixel_hash", *MEASURED, "image_width_px", "image_height_px", "image_aspect", "file_bytes")
NOTE = "images of an imported table, known by name"


@dataclass(frozen=True, eq=False)
class TableDataset:
    """Images known by name, with labels.

    Attributes:
        label: its name on charts.
        images: name of each image, by image_id.
        labels: (N,) int64 class of each image.
        class_names: one name per class.
        metadata: (N,) values by name; see `typed_metadata`.
        of_pixels: (N,) columns of `images` that follow from pixels and files, by name, null where these are unknown;
            empty without any.
        size_px: height and width of all images; None if they differ or are unknown.
        thumbnails: rows of `thumbnails` of these images, whatever their `dataset_id`; None without any.
    """

    label: str
    images: tuple[str, ...]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    metadata: Mapping[str, pa.Array] = field(default_factory=dict)
    of_pixels: Mapping[str, pa.Array] = field(default_factory=dict)
    size_px: tuple[int, int] | None = None
    thumbnails: pa.Table | None = None

    @property
    def dataset_id(self) -> str:
        """Hash of names, labels and classes, in order."""
        return identity_of([OF_TABLE, list(self.class_names), list(self.images), fingerprint_of([self.labels])])

    def describe(self) -> str:
        """One line: images, classes, dataset_id."""
        return (
            f"{self.label}: {len(self.images):,} images by name, {len(self.class_names):,} classes, "
            f"dataset_id {self.dataset_id}"
        )


def stored_dataset(output: StorePath) -> TableDataset | None:
    """The dataset of the tables that a folder holds, the largest after an interrupted import; None without tables.

    Raises:
        DamagedShardError: its files are damaged.
    """
    tables = _stored_rows(output)
    if not tables:
        return None
    row = max(tables, key=lambda row: (row["image_count"], row["class_count"]))
    dataset_id = row["dataset_id"]
    images = read_rows(dimension_path(output, IMAGES, dataset_id), IMAGES).sort_by("image_id")
    classes = read_rows(dimension_path(output, CLASSES, dataset_id), CLASSES).sort_by("class_index")
    metadata = {name: images[name].combine_chunks() for name in images.column_names[len(IMAGES.columns) :]}
    names = [
        wordnet_id or name
        for name, wordnet_id in zip(classes["class_name"].to_pylist(), classes["wordnet_id"].to_pylist(), strict=True)
    ]
    labels = images["label"].to_numpy().astype(np.int64)
    has_pixels = images["pixel_hash"].null_count < len(images)
    thumbnails = dimension_path(output, THUMBNAILS, dataset_id)
    return TableDataset(
        row["dataset_label"],
        tuple(images["file"].to_pylist()),
        labels,
        tuple(names),
        metadata,
        {name: images[name].combine_chunks() for name in OF_PIXELS} if has_pixels else {},
        None if row["height_px"] is None else (row["height_px"], row["width_px"]),
        read_rows(thumbnails, THUMBNAILS) if exists(thumbnails) else None,
    )


def _stored_rows(output: StorePath) -> list[dict[str, Any]]:
    """Rows of `datasets` of tables."""
    rows = [row for path in list_results_files(output, DATASETS) for row in read_rows(path, DATASETS).to_pylist()]
    return [row for row in rows if row["dataset_name"] == OF_TABLE]


def extended(former: TableDataset, dataset: TableDataset) -> TableDataset:
    """A dataset with the images, classes and metadata of another behind its own.

    Raises:
        DataError: an image has another label.
    """
    classes = (*former.class_names, *(name for name in dataset.class_names if name not in set(former.class_names)))
    numbers = {name: index for index, name in enumerate(classes)}
    labels = np.array([numbers[name] for name in dataset.class_names], np.int64)[dataset.labels]
    places = {name: place for place, name in enumerate(former.images)}
    known = np.array([places.get(name, -1) for name in dataset.images], np.int64)
    both = np.flatnonzero(known >= 0)
    wrong = both[former.labels[known[both]] != labels[both]]
    if len(wrong):
        image = int(wrong[0])
        raise DataError(
            f"image {dataset.images[image]!r} has label {classes[labels[image]]!r}, but "
            f"{classes[former.labels[known[image]]]!r} in the tables that this folder holds ({len(wrong):,} such "
            "images): import into another folder if these are other images"
        )
    new = np.flatnonzero(known < 0)
    image_ids = known.copy()
    image_ids[new] = len(former.images) + np.arange(len(new))
    count = len(former.images) + len(new)
    metadata = {
        name: _joined(former.metadata.get(name), dataset.metadata.get(name), count, None, image_ids)
        for name in dict.fromkeys([*former.metadata, *dataset.metadata])
    }
    of_pixels = {
        name: _joined(dataset.of_pixels.get(name), former.of_pixels.get(name), count, image_ids, None)
        for name in dict.fromkeys([*former.of_pixels, *dataset.of_pixels])
    }
    sizes = {former.size_px, dataset.size_px} if len(new) or dataset.of_pixels else {former.size_px}
    is_new_whole = bool(dataset.of_pixels) and len(dataset.images) == count
    return TableDataset(
        former.label,
        (*former.images, *(dataset.images[place] for place in new)),
        np.concatenate([former.labels, labels[new]]),
        classes,
        metadata,
        of_pixels,
        dataset.size_px if is_new_whole else sizes.pop() if len(sizes) == 1 else None,
        _joined_thumbnails(former.thumbnails, dataset.thumbnails, image_ids),
    )


def _joined_thumbnails(former: pa.Table | None, own: pa.Table | None, image_ids: NDArray[np.int64]) -> pa.Table | None:
    """Thumbnails of stored images, and those of a table at their image_ids, in place of earlier ones."""
    if own is None:
        return former
    renumbered = pa.array(image_ids[own["image_id"].to_numpy()], pa.int32())
    moved = own.set_column(own.schema.get_field_index("image_id"), own.schema.field("image_id"), renumbered)
    if former is None:
        return moved
    kept = former.filter(~np.isin(former["image_id"].to_numpy(), renumbered.to_numpy()))
    return pa.concat_tables([kept, moved])


def _joined(
    preferred: pa.Array | None,
    other: pa.Array | None,
    count: int,
    places: NDArray[np.int64] | None,
    other_places: NDArray[np.int64] | None,
) -> pa.Array:
    """A column of `count` images: the preferred values, and the others where these are null.

    Args:
        preferred: values of some images; None without any.
        other: likewise.
        count: number of images.
        places: the image of each preferred value; None for the first images in order.
        other_places: likewise.
    """
    kinds = {array.type for array in (preferred, other) if array is not None}
    if len(kinds) > 1:
        kinds = {arrow_type(common_type(metadata_types({str(kind): pa.nulls(0, kind) for kind in kinds}).values()))}
    (kind,) = kinds
    first, second = (
        _spread(array, kind, count, where) for array, where in ((preferred, places), (other, other_places))
    )
    return pc.coalesce(first, second)


def _spread(array: pa.Array | None, kind: pa.DataType, count: int, places: NDArray[np.int64] | None) -> pa.Array:
    """Values at their places among `count`, null elsewhere."""
    if array is None:
        return pa.nulls(count, kind)
    sources = np.full(count, -1, np.int64)
    sources[slice(len(array)) if places is None else places] = np.arange(len(array))
    return array.cast(kind).take(pa.array(sources, mask=sources < 0))


def record_table_dataset(output: StorePath, dataset: TableDataset) -> None:
    """Store a dataset in place of the one that it extends, if any, whose evaluations become evaluations of it."""
    if len(dataset.images) > MAX_IMAGES or len(dataset.class_names) > MAX_CLASSES:
        raise DataError(
            f"{dataset.label} has {len(dataset.images):,} images and {len(dataset.class_names):,} classes: at most "
            f"{MAX_IMAGES:,} and {MAX_CLASSES:,} can be stored"
        )
    dataset_id = dataset.dataset_id
    count = len(dataset.images)
    write_dimension(output, CLASSES, dataset_id, class_rows(dataset_id, dataset.class_names))
    known = {"file": dataset.images, **dataset.of_pixels}
    write_dimension(output, IMAGES, dataset_id, image_rows(dataset_id, dataset.labels, known, dataset.metadata))
    row = {
        "dataset_id": dataset_id,
        "dataset_name": OF_TABLE,
        "dataset_label": dataset.label,
        "split": WHOLE,
        "image_count": count,
        "class_count": len(dataset.class_names),
        "height_px": None if dataset.size_px is None else dataset.size_px[0],
        "width_px": None if dataset.size_px is None else dataset.size_px[1],
        "note": NOTE,
    }
    if dataset.thumbnails is not None:
        ids = pa.repeat(pa.scalar(dataset_id), len(dataset.thumbnails))
        thumbnails = dataset.thumbnails.drop_columns("dataset_id").append_column("dataset_id", ids)
        write_dimension(output, THUMBNAILS, dataset_id, thumbnails)
    write_dimension(output, DATASETS, dataset_id, [row])
    for stored_row in _stored_rows(output):
        if stored_row["dataset_id"] != dataset_id:  # the former one, or one that an interrupted import left
            _supersede(output, stored_row["dataset_id"], dataset_id)


def _supersede(output: StorePath, former_id: str, dataset_id: str) -> None:
    """Point evaluations to an extended dataset, then remove the former one."""
    for path in list_results_files(output, EVALUATIONS):
        rows = read_rows(path, EVALUATIONS).to_pylist()
        if any(row["dataset_id"] == former_id for row in rows):
            moved = [row | {"dataset_id": dataset_id} for row in rows]
            write_dimension(output, EVALUATIONS, Path(path.name).stem, moved)
    for table in reversed(OF_DATASETS):
        delete(dimension_path(output, table, former_id))
