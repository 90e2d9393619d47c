"""Row by row: from a batch of the file to checked numbers in their cells; the first wrong row is named."""

from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evaluate.imported.columns import LABEL, Layout
from evaluate.imported.expected import Expected, Images
from evaluate.imported.reading import batches
from evaluate.imported.scratch import CellKey, Scratch
from evaluate.imported.values import as_logits, values_of
from ingest.corruptions.catalogue import unknown_corruption
from ingest.corruptions.definitions import known_name
from ingest.corruptions.recipes import SEVERITIES
from warehouse.errors import DataError
from warehouse.schema import CLEAN

CLEAN_NAMES = (CLEAN, "clean")


@dataclass
class Sorting:
    """What was met on the way: rows read, rows left out, rows that are not finite, cells beyond the study."""

    rows: int = 0
    left_out: int = 0
    not_finite: int = 0
    foreign_cells: set[CellKey] = field(default_factory=set)


def sort_rows(path: Path, layout: Layout, expected: Expected, scratch: Scratch, *, only_study: bool) -> Sorting:
    """Read the file once, check every row, and put it into its cell.

    Args:
        path: the file.
        layout: its columns.
        expected: what the study asks for.
        scratch: where rows go.
        only_study: leave out images and cells that the study does not name, instead of refusing the images (cells
            are only counted here).

    Raises:
        DataError: a row is wrong; the message names the first one, by number from 1.
    """
    sorting = Sorting()
    class_count = len(expected.dataset.class_names)
    for batch in batches(path, layout.columns, layout.csv_types, class_count):
        if batch.num_rows:
            _Batch(path, layout, expected, batch, sorting.rows).sort_into(scratch, sorting, only_study=only_study)
            sorting.rows += batch.num_rows
    if not sorting.rows:
        raise DataError(f"{path} has no rows")
    return sorting


class _Batch:
    """Some rows of the file, from number `first` (from 0) on."""

    def __init__(self, path: Path, layout: Layout, expected: Expected, batch: pa.RecordBatch, first: int) -> None:
        self.path, self.layout, self.expected, self.batch, self.first = path, layout, expected, batch, first

    def sort_into(self, scratch: Scratch, sorting: Sorting, *, only_study: bool) -> None:
        ids = self._numbers("image_id", pa.int64(), "a whole number")
        values = values_of(self.batch, self.layout, len(self.expected.dataset.class_names), self._refuse)
        labels = self._labels() if self.layout.label else None
        for cell, places in self._cells():
            if cell not in self.expected.cells:
                sorting.foreign_cells.add(cell)
                sorting.left_out += len(places)
                continue
            kept = self._check_images(ids, places, self.expected.images(cell), only_study=only_study)
            sorting.left_out += len(places) - len(kept)
            if labels is not None:
                self._check_labels(labels, ids, kept, self.expected.images(cell))
            numbers = as_logits(values[kept], self.layout.kind, partial(self._refuse_among, kept))
            sorting.not_finite += int((~np.isfinite(numbers).all(1)).sum())
            scratch.add(cell, self.first + 1 + kept, ids[kept], numbers)

    def _refuse(self, place: int, said: str) -> DataError:
        return DataError(f"{self.path}, row {self.first + int(place) + 1:,}: {said}")

    def _refuse_among(self, places: np.ndarray, place: int, said: str) -> DataError:
        return self._refuse(places[place], said)

    def _numbers(self, name: str, kind: pa.DataType, wanted: str) -> np.ndarray:
        column = self.batch.column(name)
        if column.null_count:
            raise self._refuse(int(np.argmax(column.is_null().to_numpy(zero_copy_only=False))), f"no {name}")
        try:
            return column.cast(kind).to_numpy(zero_copy_only=False)
        except pa.ArrowException as error:
            raise DataError(f"{self.path}: {name} is a {column.type} column: expected {wanted} in each row") from error

    def _cells(self) -> list[tuple[CellKey, np.ndarray]]:
        """Cells of this batch, each with the places of its rows."""
        names, codes = self._corruptions()
        severities = self._numbers("severity", pa.float64(), "a number")
        wrong = ~((severities >= 0) & (severities <= SEVERITIES[-1]))
        if wrong.any():
            place = int(wrong.argmax())
            raise self._refuse(place, f"severity {severities[place]:g} is out of range: expected 0 (clean) to 5")
        thousandths = np.rint(severities * 1000).astype(np.int64)
        clean = np.array([name == CLEAN for name in names])[codes]
        mixed = clean != (thousandths == 0)
        if mixed.any():
            place = int(mixed.argmax())
            given = f"corruption {names[codes[place]]!r} at severity {severities[place]:g}"
            raise self._refuse(
                place, f"{given}: clean images go by corruption '{CLEAN}' and severity 0, both or neither"
            )
        combined = codes * 10_000 + thousandths
        order = np.argsort(combined, kind="stable")
        found, starts = np.unique(combined[order], return_index=True)
        return [
            (CellKey(names[code // 10_000], Decimal(int(code % 10_000)).scaleb(-3)), places)
            for code, places in zip(found, np.split(order, starts[1:]), strict=True)
        ]

    def _corruptions(self) -> tuple[list[str], np.ndarray]:
        """Published names, and the place among them of each row's (N,); aliases of one corruption share it."""
        column = self.batch.column("corruption")
        try:
            given = column.cast(pa.string()).dictionary_encode()
        except pa.ArrowException as error:
            raise DataError(f"{self.path}: corruption is a {column.type} column: expected names") from error
        if given.null_count:
            raise self._refuse(int(np.argmax(given.is_null().to_numpy(zero_copy_only=False))), "no corruption")
        indices = given.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        names = []
        for number, name in enumerate(given.dictionary.to_pylist()):
            known = CLEAN if name in CLEAN_NAMES else known_name(name)
            if known is None:
                raise self._refuse(int((indices == number).argmax()), unknown_corruption(name))
            names.append(known)
        unlike = sorted(set(names))
        return unlike, np.array([unlike.index(name) for name in names], dtype=np.int64)[indices]

    def _check_images(self, ids: np.ndarray, places: np.ndarray, images: Images, *, only_study: bool) -> np.ndarray:
        """Places of the rows to keep."""
        outside = (ids[places] < 0) | (ids[places] >= len(images.labels))
        if outside.any():
            place = places[int(outside.argmax())]
            raise self._refuse(
                place, f"image_id {ids[place]} is no image of the data set: expected 0 to {len(images.labels) - 1:,}"
            )
        wanted = images.wanted[ids[places]]
        if not wanted.all() and not only_study:
            place = places[int((~wanted).argmax())]
            raise self._refuse(
                place,
                f"image_id {ids[place]} is not among the {len(images.ids):,} images of the study "
                f"({self.expected.subset.words}): set `images` in the study's dataset table, or leave such rows out "
                "with --only-study",
            )
        return places[wanted]

    def _labels(self) -> np.ndarray:
        """Labels as class indices; names of classes are looked up."""
        column = self.batch.column(LABEL)
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            names = list(self.expected.dataset.class_names)
            return pc.index_in(column.cast(pa.string()), pa.array(names)).fill_null(-1).to_numpy(zero_copy_only=False)
        return self._numbers(LABEL, pa.int64(), "a class index or a class name")

    def _check_labels(self, labels: np.ndarray, ids: np.ndarray, places: np.ndarray, images: Images) -> None:
        wrong = labels[places] != images.labels[ids[places]]
        if wrong.any():
            place = places[int(wrong.argmax())]
            right = int(images.labels[ids[place]])
            raise self._refuse(
                place,
                f"label {self.batch.column(LABEL)[int(place)].as_py()!r} of image {ids[place]} is not the data set's, "
                f"{right} ({self.expected.dataset.class_names[right]}): is image_id the index in the full data set, "
                "and are classes in its order?",
            )
