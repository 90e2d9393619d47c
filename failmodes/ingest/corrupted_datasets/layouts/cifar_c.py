"""The layout of CIFAR-10-C (Zenodo 2535967): read memory-mapped, written severity by severity.

`<corruption>.npy`, uint8 (5n, H, W, 3), rows (s-1)·n … s·n are severity s; `labels.npy`, the n labels five times.
"""

import io
import os
from collections.abc import Sequence
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
    held_severity,
    set_layout,
)
from failmodes.ingest.corrupted_datasets.manifest import recorded_ids, recorded_origin
from failmodes.ingest.corrupted_datasets.set_writer import Fingerprints, ProgressCallback, SetPart, SetWriter
from failmodes.ingest.corruptions.catalog import SEVERITIES, Severity, find_corruption_name, severity_text
from failmodes.ingest.data_files import check_memory, map_npy, map_npy_if_whole
from failmodes.ingest.datasets.dataset import BYTES_PER_LABEL, MAX_IMAGES
from failmodes.warehouse.errors import DataError
from failmodes.warehouse.hashing import fingerprint_of, identity_of
from failmodes.warehouse.storage.files import fsync, storage_errors

CIFAR_C, LABELS_FILE = "cifar-c", "labels.npy"
LARGEST_LABEL = np.iinfo(np.int16).max  # as the warehouse stores labels


@dataclass(frozen=True, kw_only=True)
class CifarCDataset(CorruptedDataset):
    """An opened dataset with its labels (n,), and for every corruption a memory map (5n, H, W, 3) uint8."""

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
        return images is not None and images.shape == self._shape(part)

    def write(self, part: SetPart, advance: ProgressCallback) -> Fingerprints:
        """Write severity by severity; each is noted once it is on the disk."""
        partial, count = self.partial(part), len(self.image_ids)
        with storage_errors(partial):
            images = map_npy_if_whole(partial)
            done: Fingerprints = {} if images is None else self.read_note(part)
            if images is None:
                images = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=self._shape(part))
            advance(len(done) * count)
            with partial.open("r+b") as file:  # as a file: on a full disk a map would kill the process
                for index, severity in enumerate(part.severities):
                    if severity_text(severity) in done:
                        continue
                    level = images[index * count : (index + 1) * count]
                    file.seek(os.fstat(file.fileno()).st_size - images.nbytes + index * level.nbytes)
                    for block in self.blocks(part.corruption, severity):
                        file.write(block.tobytes())
                        advance(len(block))
                    file.flush()
                    os.fsync(file.fileno())
                    done[severity_text(severity)] = fingerprint_of([level])
                    self.write_note(part, done)
        with storage_errors(self.target(part)):
            os.replace(partial, self.target(part))
            fsync(self.folder)
        return done

    def _shape(self, part: SetPart) -> tuple[int, ...]:
        return len(part.severities) * len(self.image_ids), *self.shape[1:]


@set_layout(
    CIFAR_C,
    holds=lambda folder: any(folder.glob("*.npy")),
    expected=f"<corruption>.npy and {LABELS_FILE} (as CIFAR-10-C)",
    writer=ArrayWriter,
)
def open_cifar_c(
    folder: Path, needed: Sequence[str], severities: Sequence[Severity], cache: Path | None
) -> CifarCDataset:
    """Open a dataset of arrays and check each array.

    Raises:
        DataError: it lacks a needed corruption, or an array is damaged or has another type or shape.
        StudyError: a needed severity is not one of 1 to 5.
    """
    found = {name: path for path in sorted(folder.glob("*.npy")) if (name := find_corruption_name(path.stem))}
    missing = [name for name in needed if name not in found]
    if missing or not found:
        raise DataError(f"{folder} has no {missing[0] if missing else '<corruption>'}.npy: {FETCH_AGAIN}")
    held = tuple(Decimal(severity) for severity in SEVERITIES)
    for name in needed or found:
        for severity in severities:
            held_severity(folder, name, held, severity)
    labels = _read_labels(folder / LABELS_FILE)
    arrays = {name: _map_images(path, len(labels) * len(SEVERITIES)) for name, path in found.items()}
    shapes = {array.shape[1:] for array in arrays.values()}
    if len(shapes) > 1:
        raise DataError(f"{folder} mixes image sizes {sorted(shapes)}: expected one")
    return CifarCDataset(
        folder=folder,
        severities=dict.fromkeys(arrays, held),
        image_count=len(labels),
        image_shape=shapes.pop(),
        origin=recorded_origin(folder),
        cache=cache,
        clean_ids=recorded_ids(folder, CIFAR_C, len(labels)),
        labels=labels,
        arrays=arrays,
    )


def _map(path: Path) -> NDArray[Any]:
    """Map a `.npy` file without reading it; nothing in it is ever unpickled."""
    try:
        return map_npy(path, says="is truncated or not a .npy array", fix=f": {FETCH_AGAIN}")
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing: {FETCH_AGAIN}") from error


def _read_labels(path: Path) -> NDArray[np.int64]:
    labels = _map(path)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{path} holds {labels.dtype} of shape {labels.shape}: expected one whole number per image")
    if not len(labels) or len(labels) % len(SEVERITIES):
        raise DataError(f"{path} holds {len(labels):,} labels: expected a multiple of {len(SEVERITIES)} (severities)")
    if len(labels) > MAX_IMAGES:
        raise DataError(f"{path} holds {len(labels):,} labels: at most {MAX_IMAGES:,} images can be stored")
    check_memory(BYTES_PER_LABEL * len(labels), f"{path}, of {len(labels):,} labels,")
    rounds = np.asarray(labels, dtype=np.int64).reshape(len(SEVERITIES), -1)
    if (rounds != rounds[0]).any():
        raise DataError(f"{path}: labels differ between severities, expected the same labels five times")
    if rounds[0].min() < 0 or rounds[0].max() > LARGEST_LABEL:
        outlier = rounds[0].min() if rounds[0].min() < 0 else rounds[0].max()
        raise DataError(f"{path}: label {outlier} is out of range: expected 0 to {LARGEST_LABEL}")
    return np.array(rounds[0])


def _map_images(path: Path, rows: int) -> NDArray[np.uint8]:
    array = _map(path)
    if array.dtype != np.uint8:
        raise DataError(f"{path} holds {array.dtype}: expected uint8 values 0-255")
    if array.ndim != 4 or array.shape[3] != 3 or 0 in array.shape:
        raise DataError(f"{path} has shape {array.shape}: expected ({rows}, height, width, 3)")
    if len(array) != rows:
        raise DataError(f"{path} holds {len(array):,} images: expected {rows:,}, as many as {LABELS_FILE} has labels")
    return array
