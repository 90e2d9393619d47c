"""The layout of CIFAR-10-C (Zenodo 2535967): read memory-mapped, written severity by severity.

`<corruption>.npy`, uint8 (k·n, H, W, 3), rows (s-1)·n … s·n are severity s of 1 to k; `labels.npy`, the n labels k
times or once. Published datasets have five severities; names are open: CIFAR-10-C-bar has ten others
(facebookresearch/augmentation-corruption, `make_cifar10_c_bar.py`).
"""

import io
import os
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corrupted_datasets.corrupted_dataset import (
    FETCH_AGAIN,
    CorruptedDataset,
    SetContents,
    SetRequest,
    in_catalog_order,
    named_entries,
    other_entries,
    set_layout,
)
from failmodes.ingest.corrupted_datasets.manifest import recorded_ids, recorded_origin
from failmodes.ingest.corrupted_datasets.set_writer import Fingerprints, ProgressCallback, SetPart, SetWriter
from failmodes.ingest.corruptions.catalog import SEVERITIES, severity_text
from failmodes.ingest.data_files import check_memory, map_npy, map_npy_if_whole
from failmodes.ingest.datasets.dataset import BYTES_PER_LABEL, MAX_IMAGES
from failmodes.warehouse.errors import DataError
from failmodes.warehouse.hashing import fingerprint_of, identity_of
from failmodes.warehouse.storage.files import fsync, storage_errors

CIFAR_C, LABELS_FILE = "cifar-c", "labels.npy"
LARGEST_LABEL = np.iinfo(np.int16).max  # as the warehouse stores labels


@dataclass(frozen=True, kw_only=True)
class CifarCDataset(CorruptedDataset):
    """An opened dataset with its labels (n,), and for every corruption a memory map (k·n, H, W, 3) uint8."""

    labels: NDArray[np.int64]
    arrays: dict[str, NDArray[np.uint8]]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all labels and of every pixel of every corruption in the folder.

        It takes about as long as reading the dataset (2.9 GB: about 5 s at 0.6 GB/s on one core), so the cache folder
        stores each file's hash.
        """
        hashes = {name: self._hash(array) for name, array in sorted(self.arrays.items())}
        return identity_of({"labels": fingerprint_of([self.labels]), "arrays": hashes})

    def labels_in(self, class_names: tuple[str, ...]) -> NDArray[np.int64]:
        """Its own labels: the layout has no class names."""
        return self.labels

    def _read(self, name: str, severity: Decimal, positions: NDArray[np.integer]) -> NDArray[np.uint8]:
        return np.asarray(self.arrays[name][(int(severity) - 1) * self.image_count + positions])

    def _hash(self, array: NDArray[np.uint8]) -> str:
        source = Path(str(getattr(array, "filename", "")))
        if not source.is_file():
            return fingerprint_of([array])
        status = source.stat()
        stamp = [source.name, status.st_size, status.st_mtime_ns, str(source.resolve())]
        return self._cached_fingerprint(stamp, source.name, lambda: fingerprint_of([array]))


class ArrayWriter(SetWriter):
    """Writes `<corruption>.npy`; an interrupted array keeps its finished severities."""

    encodings = ("npy",)
    hashed = "pixels, uint8 (N, H, W, 3)"
    part_per_severity = False

    def other_files(self) -> dict[str, bytes]:
        """The file of labels: all labels once a severity."""
        dtype = np.uint8 if len(self.dataset.class_names) <= 256 else np.int64
        buffer = io.BytesIO()
        np.save(buffer, np.tile(self.dataset.labels[self.image_ids].astype(dtype), len(SEVERITIES)))
        return {LABELS_FILE: buffer.getvalue()}

    def path(self, part: SetPart) -> Path:
        """The array."""
        return Path(f"{part.corruption}.npy")

    def is_whole(self, part: SetPart) -> bool:
        """Whether the array has the expected shape."""
        images = map_npy_if_whole(self.target(part))
        return images is not None and images.shape == self.stored_shape(part)

    def write(self, part: SetPart, advance: ProgressCallback) -> Fingerprints:
        """Write severity by severity; each is noted once it is on the disk."""
        partial, count = self.partial(part), len(self.image_ids)
        with storage_errors(partial):
            images = map_npy_if_whole(partial)
            done: Fingerprints = {} if images is None else self.read_note(part)
            if images is None:
                images = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=self.stored_shape(part))
            advance(len(done) * count)
            with partial.open("r+b") as file:  # as a file: on a full disk a map would kill the process
                for index, severity in enumerate(part.severities):
                    if severity_text(severity) in done:
                        continue
                    level = images[index * count : (index + 1) * count]
                    file.seek(os.fstat(file.fileno()).st_size - images.nbytes + index * level.nbytes)
                    for block in self.blocks(part.corruption, severity):
                        file.write(self.stored(block).tobytes())
                        advance(len(block))
                    file.flush()
                    os.fsync(file.fileno())
                    done[severity_text(severity)] = fingerprint_of([level])
                    self.write_note(part, done)
        with storage_errors(self.target(part)):
            self.publish(part)
            fsync(self.folder)
        return done

    def stored(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Images (n, H, W, 3) as the array holds them."""
        return images

    def publish(self, part: SetPart) -> None:
        """Move the finished array to its place."""
        os.replace(self.partial(part), self.target(part))

    def stored_shape(self, part: SetPart) -> tuple[int, ...]:
        """The shape of the whole array."""
        return len(part.severities) * len(self.image_ids), *self.shape[1:]


def array_contents(folder: Path) -> SetContents | None:
    """List a folder of arrays: only headers and labels are read.

    Raises:
        DataError: its labels are missing or damaged.
    """
    files = [path.name for path in sorted(folder.glob("*.npy")) if not path.is_dir()]
    if not files:
        return None
    found, unnamed = named_entries(folder, [name for name in files if name != LABELS_FILE], ".npy")
    known = [LABELS_FILE, *found.values()]
    others = [*unnamed, *(entry for entry in other_entries(folder, known) if entry not in files)]
    if not found:
        return SetContents({}, {}, tuple(others))
    arrays, damaged = _readable(folder, found)
    labels = _read_labels(folder / LABELS_FILE, {len(array) for array in arrays.values()})
    severities: dict[str, tuple[Decimal, ...]] = {}
    for name in in_catalog_order(arrays):
        rounds, rest = divmod(len(arrays[name]), len(labels))
        if rest or not 1 <= rounds <= SEVERITIES[-1]:
            expected = len(labels) * SEVERITIES[-1]
            damaged[name] = (
                f"{folder / found[name]} holds {len(arrays[name]):,} images: expected {expected:,}, five severities of"
                f" the {len(labels):,} images that {LABELS_FILE} has labels of"
            )
        else:
            severities[name] = tuple(Decimal(severity) for severity in SEVERITIES[:rounds])
    return SetContents(severities, damaged, tuple(others))


@set_layout(
    CIFAR_C,
    contents=array_contents,
    expected=f"<corruption>.npy and {LABELS_FILE} (as CIFAR-10-C)",
    writer=ArrayWriter,
)
def open_cifar_c(request: SetRequest) -> CifarCDataset:
    """Open a dataset of arrays, memory-mapped.

    Raises:
        DataError: an array is damaged or has another type or shape.
    """
    folder = request.folder
    found, _ = named_entries(folder, [path.name for path in folder.glob("*.npy") if path.name != LABELS_FILE], ".npy")
    arrays = {name: _map_images(folder / found[name]) for name in request.held}
    labels = _read_labels(folder / LABELS_FILE, {len(array) for array in arrays.values()})
    shapes = {array.shape[1:] for array in arrays.values()}
    if len(shapes) > 1:
        raise DataError(f"{folder} mixes image sizes {sorted(shapes)}: expected one")
    return CifarCDataset(
        folder=folder,
        severities=request.held,
        image_count=len(labels),
        image_shape=shapes.pop(),
        origin=recorded_origin(folder),
        cache=request.cache,
        clean_ids=recorded_ids(folder, CIFAR_C, len(labels)),
        labels=labels,
        arrays=arrays,
    )


def _readable(folder: Path, found: dict[str, str]) -> tuple[dict[str, NDArray[np.uint8]], dict[str, str]]:
    """The arrays that can be mapped, by corruption, and the reasons why others cannot."""
    arrays: dict[str, NDArray[np.uint8]] = {}
    damaged: dict[str, str] = {}
    for name, file in found.items():
        try:
            arrays[name] = _map_images(folder / file)
        except DataError as error:
            damaged[name] = str(error)
    return arrays, damaged


def _map(path: Path) -> NDArray[Any]:
    """Map a `.npy` file without reading it; nothing in it is ever unpickled."""
    try:
        return map_npy(path, says="is truncated or not a .npy array", fix=f": {FETCH_AGAIN}")
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing: {FETCH_AGAIN}") from error


def _read_labels(path: Path, row_counts: set[int]) -> NDArray[np.int64]:
    """The labels (n,) of the images at one severity, which the file has once or once a severity."""
    labels = _map(path)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{path} holds {labels.dtype} of shape {labels.shape}: expected one whole number per image")
    if len(labels) > MAX_IMAGES:
        raise DataError(f"{path} holds {len(labels):,} labels: at most {MAX_IMAGES:,} images can be stored")
    check_memory(BYTES_PER_LABEL * len(labels), f"{path}, of {len(labels):,} labels,")
    first = labels_of_severity(np.asarray(labels, dtype=np.int64), row_counts, str(path))
    if first.min() < 0 or first.max() > LARGEST_LABEL:
        outlier = first.min() if first.min() < 0 else first.max()
        raise DataError(f"{path}: label {outlier} is out of range: expected 0 to {LARGEST_LABEL}")
    return np.array(first)


def labels_of_severity(labels: NDArray[np.int64], row_counts: set[int], location: str) -> NDArray[np.int64]:
    """The labels (n,) of one severity.

    Args:
        labels: of five severities, of fewer if the arrays have as many rows, or of one.
        row_counts: numbers of rows of the arrays.
        location: of the labels, for errors.

    Raises:
        DataError: they do not repeat severity by severity.
    """
    count = len(labels)
    for rounds in range(SEVERITIES[-1], 1, -1):
        if count and count % rounds == 0 and (rounds == SEVERITIES[-1] or row_counts == {count}):
            repeated = labels.reshape(rounds, -1)
            if np.array_equal(repeated, np.broadcast_to(repeated[0], repeated.shape)):
                return labels[: count // rounds]
    if count and any(rows == count * rounds for rows in row_counts for rounds in SEVERITIES[1:]):
        return labels  # once, for all severities
    if not count or count % SEVERITIES[-1]:
        raise DataError(f"{location} holds {count:,} labels: expected a multiple of {SEVERITIES[-1]} (severities)")
    raise DataError(f"{location}: labels differ between severities, expected the same labels five times")


def _map_images(path: Path) -> NDArray[np.uint8]:
    array = _map(path)
    if array.dtype != np.uint8:
        raise DataError(f"{path} holds {array.dtype}: expected uint8 values 0-255")
    if array.ndim != 4 or array.shape[3] != 3 or 0 in array.shape:
        raise DataError(f"{path} has shape {array.shape}: expected (images, height, width, 3)")
    return array
