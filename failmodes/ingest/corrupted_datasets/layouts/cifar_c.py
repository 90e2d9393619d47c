"""The layout of CIFAR-10-C (Zenodo 2535967): one array per corruption, mapped to be read.

`<corruption>.npy`, uint8 (k·n, H, W, 3), rows (s-1)·n … s·n are severity s of 1 to k; `labels.npy`, the n labels k
times or once. If labels repeat in several ways, the number of clean images decides. Published datasets have five
severities; names are open: CIFAR-10-C-bar has ten others (facebookresearch/augmentation-corruption,
`make_cifar10_c_bar.py`).
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corrupted_datasets.corrupted_dataset import (
    FETCH_AGAIN,
    CleanCount,
    CorruptedDataset,
    SetContents,
    SetRequest,
    in_catalog_order,
    named_entries,
    other_entries,
    set_layout,
)
from failmodes.ingest.corrupted_datasets.set_writer import Fingerprints, ProgressCallback, SetPart, SetWriter
from failmodes.ingest.corruptions.catalog import SEVERITIES, severity_text
from failmodes.ingest.data_files import map_npy, map_npy_if_whole, write_npy
from failmodes.ingest.datasets.dataset import MAX_IMAGES, class_indices
from failmodes.runtime.errors import DataError
from failmodes.runtime.hashing import fingerprint_of, identity_of
from failmodes.runtime.storage.files import fsync

LABELS_FILE = "labels.npy"
FIX = f": {FETCH_AGAIN}"
LARGEST_LABEL = np.iinfo(np.int16).max  # as the warehouse stores labels


@dataclass(frozen=True, kw_only=True)
class CifarCDataset(CorruptedDataset):
    """An opened dataset with its labels (n,), and for every corruption the file of its k·n images."""

    labels: NDArray[np.int64]
    files: dict[str, Path]
    hashed: ClassVar = "arrays"  # the key of the files' hashes in the fingerprint

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all labels and of every file of a corruption in the folder.

        It takes about as long as reading the dataset (2.9 GB: about 5 s at 0.6 GB/s on one core), so the cache folder
        stores each file's hash.
        """
        hashes = {
            name: self._fingerprint_of_files(name, [file], partial(self._hash, file))
            for name, file in sorted(self.files.items())
        }
        return identity_of({"labels": fingerprint_of([self.labels]), self.hashed: hashes})

    def labels_in(self, class_names: tuple[str, ...]) -> NDArray[np.int64]:
        """Its own labels: the layout has no class names."""
        if self.labels.max() >= len(class_names):
            raise DataError(
                f"{self.folder}: label {self.labels.max()} is out of range: the clean dataset has {len(class_names):,}"
                f" classes, 0 to {len(class_names) - 1}"
            )
        return self.labels

    def _read(self, name: str, severity: Decimal, positions: NDArray[np.integer]) -> NDArray[np.uint8]:
        return np.asarray(self._images(name)[(int(severity) - 1) * self.image_count + positions])

    def _images(self, name: str) -> NDArray[np.uint8]:
        """All images of a corruption, mapped."""
        return _map_images(self.files[name])

    def _hash(self, file: Path) -> str:
        return fingerprint_of([_map_images(file)])


class ArrayWriter(SetWriter):
    """Writes `<corruption>.npy`."""

    encodings = ("npy",)
    hashed = "pixels, uint8 (N, H, W, 3)"
    part_per_severity = False

    def other_files(self) -> dict[str, bytes]:
        """The file of labels."""
        buffer = io.BytesIO()
        np.save(buffer, self.labels())
        return {LABELS_FILE: buffer.getvalue()}

    def labels(self) -> NDArray[np.integer]:
        """(5N,) all labels once a severity."""
        dtype = np.uint8 if len(self.dataset.class_names) <= 256 else np.int64
        return np.tile(self.dataset.labels[self.image_ids].astype(dtype), len(SEVERITIES))

    def path(self, part: SetPart) -> Path:
        """The array."""
        return Path(f"{part.corruption}.npy")

    def is_whole(self, part: SetPart) -> bool:
        """Whether the array has the expected shape."""
        images = map_npy_if_whole(self.folder / self.path(part))
        return images is not None and images.shape == self.stored_shape(part)

    def write(self, part: SetPart, to: Path, advance: ProgressCallback) -> Fingerprints:
        """Write severity by severity."""
        count = len(self.image_ids)
        write_npy(to, self.stored_shape(part), self._rows(part, advance))
        fsync(to)
        images = map_npy(to)
        return {
            severity_text(severity): fingerprint_of([images[index * count : (index + 1) * count]])
            for index, severity in enumerate(part.severities)
        }

    def _rows(self, part: SetPart, advance: ProgressCallback) -> Iterator[NDArray[np.uint8]]:
        for severity in part.severities:
            for block in self.blocks(part.corruption, severity):
                yield self.stored(block)
                advance(len(block))

    def stored(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Images (n, H, W, 3) as the array holds them."""
        return images

    def stored_shape(self, part: SetPart) -> tuple[int, ...]:
        """The shape of the whole array."""
        return len(part.severities) * len(self.image_ids), *self.shape[1:]


def array_contents(folder: Path, clean_count: CleanCount) -> SetContents | None:
    """List a folder of arrays: only headers and labels are read.

    Raises:
        DataError: its labels are missing, damaged or ambiguous.
    """
    files = [path.name for path in sorted(folder.glob("*.npy")) if not path.is_dir()]
    if not files:
        return None
    file_of_name, unnamed = named_entries(folder, [name for name in files if name != LABELS_FILE], ".npy")
    rows: dict[str, int] = {}
    severities: dict[str, tuple[Decimal, ...]] = {}
    damaged: dict[str, str] = {}
    for name, file in file_of_name.items():
        try:
            rows[name] = len(_map_images(folder / file))
        except DataError as error:
            damaged[name] = str(error)
    image_count = images_per_severity(*_read_labels(folder), {*rows.values()}, clean_count) if rows else 0
    for name in in_catalog_order(rows):
        try:
            severities[name] = held_severities(folder / file_of_name[name], rows[name], image_count)
        except DataError as error:
            damaged[name] = str(error)
    return SetContents(severities, damaged, (*unnamed, *other_entries(folder, files)), image_count=image_count)


@set_layout(
    "cifar-c",
    contents=array_contents,
    expected=f"<corruption>.npy and {LABELS_FILE} (as CIFAR-10-C)",
    writer=ArrayWriter,
)
def open_cifar_c(request: SetRequest) -> CifarCDataset:
    """Open a dataset of arrays.

    Raises:
        DataError: an array is damaged or has another type or shape.
    """
    files = files_by_name(request, ".npy", besides=LABELS_FILE)
    shapes = [_map_images(file).shape for file in files.values()]
    labels, _ = _read_labels(request.folder)
    return CifarCDataset(
        request=request,
        image_count=request.contents.image_count,
        image_shape=common_size(request, {shape[1:] for shape in shapes}),
        labels=labels[: request.contents.image_count],
        files=files,
    )


def files_by_name(request: SetRequest, suffix: str, besides: str = "") -> dict[str, Path]:
    """The file of each corruption that can be read; `besides` is the name of another."""
    files = [path.name for path in request.folder.glob(f"*{suffix}") if path.name != besides]
    file_of_name, _ = named_entries(request.folder, files, suffix)
    return {name: request.folder / file_of_name[name] for name in request.contents.severities}


def common_size(request: SetRequest, sizes: set[tuple[int, ...]]) -> tuple[int, ...]:
    """The only size of images.

    Raises:
        DataError: there are several.
    """
    if len(sizes) > 1:
        raise DataError(f"{request.folder} mixes image sizes {sorted(sizes)}: expected one")
    return next(iter(sizes))


def held_severities(file: Path, row_count: int, label_count: int) -> tuple[Decimal, ...]:
    """The severities from 1 on of a file of `row_count` images, of which each has `label_count`.

    Raises:
        DataError: they are no whole severities, or more than five.
    """
    rounds, rest = divmod(row_count, label_count)
    if rest or not 1 <= rounds <= SEVERITIES[-1]:
        raise DataError(
            f"{file} holds {row_count:,} images: expected {label_count * SEVERITIES[-1]:,}, five severities of the"
            f" {label_count:,} images that have labels{FIX}"
        )
    return tuple(map(Decimal, SEVERITIES[:rounds]))


def _read_labels(folder: Path) -> tuple[NDArray[np.int64], str]:
    """All labels of the file, and its path for errors."""
    path = folder / LABELS_FILE
    labels = _map(path)
    if labels.size > MAX_IMAGES:
        raise DataError(f"{path} holds {labels.size:,} labels: at most {MAX_IMAGES:,} images can be stored")
    return checked_labels(labels, str(path)), str(path)


def checked_labels(stored: NDArray[Any], location: str) -> NDArray[np.int64]:
    """Labels (N,) of all severities, or of one.

    Raises:
        DataError: there are none, or they are no whole numbers or out of range.
    """
    labels = class_indices(stored, location)
    if not len(labels):
        raise DataError(f"{location} holds no labels: expected one per image")
    if labels.min() < 0 or labels.max() > LARGEST_LABEL:
        outlier = labels.min() if labels.min() < 0 else labels.max()
        raise DataError(f"{location}: label {outlier} is out of range: expected 0 to {LARGEST_LABEL}")
    return labels


def images_per_severity(labels: NDArray[np.int64], location: str, row_counts: set[int], clean_count: CleanCount) -> int:
    """Number of images at one severity, n, where labels stand once or once a severity.

    The number of clean images decides if it is one of the possible n. It is asked for only if labels do not decide:
    labels such as 0, 1, 2, 0, 1, 2 repeat in several ways, or by chance.

    Args:
        labels: all labels.
        location: of the labels, for errors.
        row_counts: numbers of rows of the arrays.
        clean_count: number of clean images.

    Raises:
        DataError: labels do not repeat severity by severity, or in several ways of which no n is that number.
    """
    readings = _readings(labels, row_counts)
    several = {size: held for size, held in readings.items() if held > 1 or size < len(labels)}
    if len(several) == 1 and not any(_may_repeat(labels[:size]) for size in several):
        return next(iter(several))
    clean = clean_count()
    most = max(row_counts)
    if clean in readings:
        return clean
    if clean and most > clean * SEVERITIES[-1] and most % clean == 0 and not any(size % clean for size in several):
        raise DataError(
            f"{location}: {most:,} images are {most // clean} severities of the {clean:,} clean images: at most"
            f" {SEVERITIES[-1]} can be read"
        )
    if len(several) == 1:
        return next(iter(several))
    raise DataError(f"{location}{_undecided(several, clean, len(labels), most)}")


def _undecided(several: dict[int, int], clean: int | None, label_count: int, row_count: int) -> str:
    """Why the number of images at one severity is unknown, in words."""
    if several:
        ways = " or ".join(f"{held} severities of {size:,}" for size, held in list(several.items())[:2])
        known = "its size is unknown" if clean is None else f"it has {clean:,}"
        return (
            f": labels repeat in several ways, so that the images may be {ways}; the clean dataset does not decide"
            f" ({known}): set `dataset` to the images that were corrupted"
        )
    if row_count % label_count:
        return (
            f" holds {label_count:,} labels for {row_count:,} images: expected one per image, a multiple of"
            f" {SEVERITIES[-1]} (severities), or those of one severity"
        )
    return ": labels differ between severities, expected the same labels five times"


def _readings(labels: NDArray[np.int64], row_counts: set[int]) -> dict[int, int]:
    """How many severities the fullest array would have, by the possible numbers of images at one severity.

    Without an array that fits, labels of five severities are one.
    """
    readings: dict[int, int] = {}
    for times in reversed(SEVERITIES):
        size, rest = divmod(len(labels), times)
        if rest or not _repeats(labels, size):
            continue
        held = max((rows // size for rows in row_counts if rows % size == 0 and rows // size in SEVERITIES), default=0)
        if held and (times == 1 or times >= held):
            readings[size] = held
    five, rest = divmod(len(labels), SEVERITIES[-1])
    return readings if readings or rest or not _repeats(labels, five) else {five: SEVERITIES[-1]}


def _may_repeat(labels: NDArray[np.int64]) -> bool:
    """Whether labels (n,) of one severity may repeat by themselves: each class once, or a part again and again."""
    return len(np.unique(labels)) == len(labels) or any(
        _repeats(labels, size) for size in range(1, len(labels) // 2 + 1)
    )


def _repeats(labels: NDArray[np.int64], size: int) -> bool:
    """Whether labels (n,) are their first `size` ones, again and again."""
    return size > 0 and len(labels) % size == 0 and bool((labels.reshape(-1, size) == labels[:size]).all())


def _map(path: Path) -> NDArray[Any]:
    """Map a `.npy` file without reading it; nothing in it is ever unpickled."""
    try:
        return map_npy(path, says="is truncated or not a .npy array", fix=FIX)
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing{FIX}") from error


def _map_images(path: Path) -> NDArray[np.uint8]:
    array = _map(path)
    if array.dtype != np.uint8:
        raise DataError(f"{path} holds {array.dtype}: expected uint8 values 0-255")
    if array.ndim != 4 or array.shape[3] != 3 or 0 in array.shape:
        raise DataError(f"{path} has shape {array.shape}: expected (images, height, width, 3)")
    return array
