"""The dataset class, balanced subsets, and the rows that a dataset contributes to the results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray
from pyarrow import csv

from failmodes.ingest.data_files import check_memory, check_names
from failmodes.ingest.datasets.imagenet_classes import by_wordnet_id
from failmodes.ingest.datasets.metadata import check_metadata, metadata_types
from failmodes.ingest.datasets.pixel_index import MEASURED, PixelIndex, pixel_index
from failmodes.runtime.errors import DataError, StudyError, counted
from failmodes.runtime.hashing import fingerprint_of, identity_text
from failmodes.runtime.storage.files import StorePath
from failmodes.warehouse import schema
from failmodes.warehouse.metrics.class_order import occurrences
from failmodes.warehouse.metrics.duplicates import duplicates_note
from failmodes.warehouse.output_files import atomic_output
from failmodes.warehouse.shards.format import write_dimension

pc: Any = pyarrow.compute  # its functions are made as it is imported: no checker knows them

MAX_CLASSES = 2**15 - 1  # results store class indices in 16 bits
MAX_IMAGES = 2**31 - 1  # and image_ids in 32
BYTES_PER_LABEL = 32  # int64, and copies of it while labels are checked and counted


class ImageArray(Protocol):
    """Images (N, H, W, 3) uint8 that may be larger than memory: sliced, or indexed with an array of whole numbers."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, 3)."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Always uint8."""
        ...

    def __len__(self) -> int:
        """N."""
        ...

    def __getitem__(self, rows: Any, /) -> NDArray[np.uint8]:
        """The images of a slice or of an array of whole numbers."""
        ...


BLOCK_IMAGES = 4096  # in memory at a time, so that a mapped array is never loaded completely
KEPT_GRAY = "gray, also when corrupted"  # in the note of a dataset whose `gray` is true


@dataclass(frozen=True)
class Dataset:
    """Clean images with labels, in their full order.

    Attributes:
        name: kind of dataset, cifar10 for example.
        label: its name on charts, which names what is special about this copy.
        split: train or test.
        images: (N, H, W, 3) uint8, memory-mapped where possible.
        labels: (N,) int64, class indices.
        class_names: one name per class.
        note: what readers of results must know, or None.
        files: each image's path within its folder, where images are files.
        masks: (N, H, W) bool, the object's pixels, if known.
        empty_masks: how many of the user's masks are empty; None for masks that are part of the dataset.
        gray: whether its images are gray and stay gray when corrupted.
        left_out: how many images of its source are not read, why, and how to change it, where that is a possible
            mistake; else None.
        is_whole: whether its source has no splits, as a folder without train/ and test/.
        metadata: (N,) values by name, such as the camera or the site of each image; see `typed_metadata`.
        version: which of several published versions it is, such as v6; empty if there is one, or it is unknown.
        source_sizes: (N,) rows of width_px, height_px (before resizing, pixels) and file_bytes; null where unknown.
    """

    name: str
    label: str
    split: str
    images: ImageArray
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    note: str | None = None
    files: tuple[str, ...] | None = None
    masks: NDArray[np.bool_] | None = None
    empty_masks: int | None = None
    gray: bool = False
    left_out: str | None = None
    is_whole: bool = False
    metadata: Mapping[str, pa.Array] = field(default_factory=dict)
    source_sizes: pa.Table | None = None
    version: str = ""

    def __post_init__(self) -> None:
        check_shapes(self.label, self.images, self.labels)
        check_names((self.label, *self.class_names), "the dataset")
        if len(self.class_names) > MAX_CLASSES:
            raise DataError(
                f"{self.label} has {len(self.class_names):,} classes: at most {MAX_CLASSES:,} can be stored"
            )
        check_labels(self.labels, len(self.class_names), self.label)
        check_metadata(self.metadata, len(self.labels), self.label)

    @property
    def dataset_id(self) -> str:
        """Hash of images and labels in their full order; the first call reads every pixel once."""
        return self._index.dataset_id

    @property
    def pixel_hashes(self) -> NDArray[np.uint64]:
        """Hash of each image's pixels, (N,), equal for exact duplicates; computed together with `dataset_id`."""
        return self._index.pixel_hashes

    @property
    def duplicates_note(self) -> str:
        """Text on exact duplicates among the images; empty if there are none."""
        return duplicates_note(len(self.pixel_hashes), len(np.unique(self.pixel_hashes)))

    @property
    def measured(self) -> pa.Table:
        """Measured properties of each image, (N,) columns of `images`; computed together with `dataset_id`."""
        return self._index.measured

    @cached_property
    def _index(self) -> PixelIndex:
        return pixel_index(self.images, self.labels)

    @cached_property
    def masks_id(self) -> str | None:
        """Hash of the user's masks; None for masks that are part of the dataset, which follow from its images."""
        return None if self.empty_masks is None or self.masks is None else fingerprint_of([self.masks])

    def describe(self) -> str:
        """One line: images, their number and size, classes, masks, note, dataset_id and duplicates."""
        count, height, width, _ = self.images.shape
        classes = len(self.class_names)
        held = len(np.unique(self.labels))
        without = "" if held == classes else f" ({classes - held:,} of them without images)"
        note = f" [{self.note}]" if self.note else ""
        masks = "" if self.empty_masks is None else f", object masks ({self.empty_masks or 'none'} of them empty)"
        duplicates = self.duplicates_note
        of_split = "" if self.is_whole else f", {self.split}"
        return (
            f"{self.label}{of_split}: {counted(count, 'image')} of {width}×{height} px, "
            f"{counted(classes, 'class', 'classes')}"
            f"{without}{masks}{note}, dataset_id {self.dataset_id}{duplicates and f'; {duplicates}'}"
        )


def class_indices(labels: NDArray[Any], location: str) -> NDArray[np.int64]:
    """Labels (N,) or (N, 1) of a file as (N,) int64.

    Raises:
        DataError: they are no whole numbers, or several per image.
        LimitError: they do not fit into memory.
    """
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise DataError(
            f"{location} has {labels.shape[1]} labels per image: only datasets with one label can be evaluated"
        )
    if labels.ndim not in (1, 2) or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{location} holds {labels.dtype} {labels.shape}: expected whole numbers, one per image")
    check_memory(BYTES_PER_LABEL * labels.size, f"{location}, of {labels.size:,} labels,")
    return labels.reshape(-1).astype(np.int64)


def check_shapes(label: str, images: ImageArray, labels: NDArray[Any]) -> None:
    """Check shapes and types of images and labels before any data are read.

    Raises:
        DataError: they are not (N, H, W, 3) uint8 and (N,), or more images than can be stored.
        LimitError: the labels do not fit into memory.
    """
    shape = images.shape
    if len(shape) != 4 or shape[3] != 3 or 0 in shape[1:] or images.dtype != np.uint8:
        raise DataError(f"{label}: images must be uint8 (N, H, W, 3), not {images.dtype} {shape}")
    if labels.shape != (shape[0],) or not shape[0]:
        raise DataError(f"{label}: {shape[0]} images but labels of shape {labels.shape}")
    if shape[0] > MAX_IMAGES:
        raise DataError(f"{label} has {shape[0]:,} images: at most {MAX_IMAGES:,} can be stored")
    check_memory(BYTES_PER_LABEL * shape[0], f"{label}, of {shape[0]:,} images,")


def check_labels(labels: NDArray[np.integer], class_count: int, location: str) -> None:
    """Check that labels are class indices.

    Raises:
        DataError: a label is outside 0 … class_count-1.
    """
    wrong = np.flatnonzero((labels < 0) | (labels >= class_count))
    if len(wrong):
        raise DataError(
            f"{location}: label {labels[wrong[0]]} of image {wrong[0]} is out of range: expected 0 to {class_count - 1}"
            f" ({len(wrong):,} such labels)"
        )


def balanced_subset(labels: NDArray[np.int64], count: int | None) -> tuple[NDArray[np.int64], str]:
    """Choose images, balanced over classes.

    Images are taken in rounds: the first of every class, the second of every class, and so on. Nothing is random.

    Args:
        labels: (N,) class indices.
        count: how many images; all if None.

    Returns:
        The chosen image_ids, (count,) int64, ascending; and a description of the choice.

    Raises:
        StudyError: `count` is less than 1 or more than there are images.
    """
    total = len(labels)
    if count is None or count == total:
        return np.arange(total, dtype=np.int64), f"all {total:,} images"
    if not 1 <= count <= total:
        raise StudyError(f"{count:,} images are requested, and the dataset has {total:,}: request 1 to {total:,}")
    chosen = np.sort(np.argsort(occurrences(labels), kind="stable")[:count]).astype(np.int64)
    counts = np.bincount(labels[chosen], minlength=int(labels.max()) + 1)[np.unique(labels)]
    balance = "balanced over classes" if np.ptp(counts) <= 1 else f"{counts.min():,} to {counts.max():,} per class"
    return chosen, f"first {count:,} of {total:,}, {balance}"


def record_dataset(output: StorePath, dataset: Dataset) -> None:
    """Write the dataset's rows of `datasets`, `classes` and `images` to the results of a folder."""
    dataset_id = dataset.dataset_id
    count, height, width = dataset.images.shape[:3]
    row = {
        "dataset_id": dataset_id,
        "dataset_name": dataset.name,
        "dataset_label": dataset.label,
        "split": schema.WHOLE if dataset.is_whole else dataset.split,
        "image_count": count,
        "class_count": len(dataset.class_names),
        "height_px": height,
        "width_px": width,
        "note": dataset.note,
    }
    write_dimension(output, schema.CLASSES, dataset_id, class_rows(dataset_id, dataset.class_names))
    known = {
        "file": dataset.files,
        "mask_area": None if dataset.masks is None else dataset.masks.mean(axis=(1, 2)).astype(np.float32),
        "pixel_hash": [identity_text(number) for number in dataset.pixel_hashes.tolist()],
        **{name: dataset.measured[name] for name in MEASURED},
        **({} if dataset.source_sizes is None else source_columns(dataset.source_sizes)),
    }
    write_dimension(output, schema.IMAGES, dataset_id, image_rows(dataset_id, dataset.labels, known, dataset.metadata))
    write_dimension(output, schema.DATASETS, dataset_id, [row])


def write_image_list(dataset: Dataset, image_ids: NDArray[np.int64], path: Path, *, force: bool = False) -> None:
    """Write image_id, label, class_name and file (empty if images are not files) of some images to a CSV file.

    Raises:
        StudyError: see `check_output`.
        StorageError: it cannot be written.
    """
    labels = dataset.labels[image_ids]
    files = dataset.files
    columns = {
        "image_id": image_ids,
        "label": labels,
        "class_name": [dataset.class_names[label] for label in labels],
        "file": ["" if files is None else files[image_id] for image_id in image_ids],
    }
    with atomic_output(path, (".csv",), force=force) as temporary:
        csv.write_csv(pa.table(columns), temporary)


def class_rows(dataset_id: str, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of `classes`; a WordNet id of ImageNet-1k has ImageNet's name."""
    known = by_wordnet_id()
    return [
        {
            "dataset_id": dataset_id,
            "class_index": index,
            "class_name": known[name].name if name in known else name,
            "wordnet_id": name if name in known else None,
        }
        for index, name in enumerate(class_names)
    ]


def image_rows(
    dataset_id: str, labels: NDArray[np.int64], known: Mapping[str, Any], metadata: Mapping[str, pa.Array]
) -> pa.Table:
    """Rows of `images`.

    Args:
        dataset_id: their dataset.
        labels: (N,) class indices.
        known: (N,) values of further columns by name; missing columns, and None, are null.
        metadata: (N,) values by name.
    """
    count = len(labels)
    given = {
        "dataset_id": pa.repeat(pa.scalar(dataset_id), count),
        "image_id": np.arange(count, dtype=np.int32),
        "label": labels.astype(np.int16),
        **{name: values for name, values in known.items() if values is not None},
        **metadata,
    }
    columns = schema.images_with(metadata_types(metadata)).arrow()
    arrays = [
        _as_arrow(given[column.name], column.type) if column.name in given else pa.nulls(count, column.type)
        for column in columns
    ]
    return pa.table(arrays, schema=columns)


def _as_arrow(values: Any, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    return values.cast(kind) if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, kind)


def source_columns(sizes: pa.Table) -> dict[str, pa.ChunkedArray]:
    """Columns of `images` about source images, by name.

    Args:
        sizes: (N,) width_px and height_px, before resizing, and file_bytes; null where unknown.
    """
    return {
        "image_width_px": sizes["width_px"],
        "image_height_px": sizes["height_px"],
        "image_aspect": pc.divide(sizes["width_px"].cast(pa.float32()), sizes["height_px"].cast(pa.float32())),
        "file_bytes": sizes["file_bytes"],
    }
