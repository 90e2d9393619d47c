"""Rows sorted into cells on disk: one anonymous file, which goes with the process however that ends."""

import tempfile
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np

from warehouse.publish import make_folder, storage_errors


class CellKey(NamedTuple):
    """A cell of the file: published name of the corruption ('none' is clean), and the severity."""

    corruption: str
    severity: Decimal

    @property
    def words(self) -> str:
        """Such as "fog at severity 2"."""
        return f"{self.corruption} at severity {self.severity.normalize():f}"


class Scratch:
    """Rows by cell: row number in the file, image and float32 numbers a class; a context manager.

    Memory does not grow with the rows, but for 24 bytes a batch and cell.
    """

    def __init__(self, folder: Path, class_count: int) -> None:
        self.folder = make_folder(folder)
        self.dtype = np.dtype([("row", "<i8"), ("image_id", "<i8"), ("values", "<f4", (class_count,))])
        self._blocks: dict[CellKey, list[tuple[int, int]]] = defaultdict(list)
        self._end = 0
        with storage_errors(folder):
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by __exit__)

    def __enter__(self) -> "Scratch":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def cells(self) -> set[CellKey]:
        """Cells that have rows."""
        return set(self._blocks)

    def add(self, cell: CellKey, rows: np.ndarray, image_ids: np.ndarray, values: np.ndarray) -> None:
        """Append rows: numbers (N,) and images (N,) int64, values (N, C) float32."""
        block = np.empty(len(rows), self.dtype)
        block["row"], block["image_id"] = rows, image_ids
        block["values"] = values
        with storage_errors(self.folder):
            self._file.seek(self._end)
            self._file.write(block.tobytes())
        self._blocks[cell].append((self._end, len(block)))
        self._end += block.nbytes

    def read(self, cell: CellKey) -> np.ndarray:
        """All rows of a cell, by rising image (stable): structured, with fields row, image_id and values."""
        blocks = self._blocks[cell]
        found = np.empty(sum(count for _, count in blocks), self.dtype)
        start = 0
        for offset, count in blocks:
            self._file.seek(offset)
            found[start : start + count] = np.frombuffer(self._file.read(count * self.dtype.itemsize), self.dtype)
            start += count
        return found[np.argsort(found["image_id"], kind="stable")]
