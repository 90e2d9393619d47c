"""Row by row: from batches of the file to checked logits in their cells.

Cell by cell: whether the file holds each image of each cell once, and the identity of what it holds.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from failmodes.evaluate.import_predictions.expected import (
    ExpectedCells,
    cells_of,
    raise_first,
    whole_numbers,
)
from failmodes.evaluate.import_predictions.logits import as_logits, values_of
from failmodes.evaluate.import_predictions.predictions_file import (
    LABEL,
    PredictionColumns,
    Scratch,
    batches,
    readable,
)
from failmodes.warehouse.errors import DataError
from failmodes.warehouse.hashing import fingerprint_of, identity_of
from failmodes.warehouse.shards.format import CLEAN_CELL, Cell

ProgressCallback = Callable[
    [str, int, int | None], None
]  # ("rows" or "cells", how many are done, of how many if that is known)

NAMED = 5  # cells or images that a message names before it only counts


@dataclass
class ImportCounts:
    """What was met on the way: rows read, rows left out, rows that are not finite, cells beyond the study."""

    rows: int = 0
    left_out: int = 0
    not_finite: int = 0
    foreign_cells: set[Cell] = field(default_factory=set)


def check_rows(
    path: Path,
    layout: PredictionColumns,
    expected: ExpectedCells,
    scratch: Scratch,
    tell: ProgressCallback,
    *,
    only_study: bool,
) -> ImportCounts:
    """Read the file once, check every row, and put it into its cell.

    Args:
        path: the file.
        layout: its columns.
        expected: what the study asks for.
        scratch: where rows go.
        tell: who is told how many rows were read.
        only_study: leave out images that the study does not name, instead of refusing them; rows of cells that it does
            not name are left out here in any case, and `foreign_cells` tells.

    Raises:
        DataError: a row is wrong; the message names it, by number from 1.
    """
    sorting = ImportCounts()
    class_count = len(expected.dataset.class_names)
    for batch in batches(path, layout.columns, layout.csv_types, class_count):
        if batch.num_rows:
            with readable(path):  # text need not be text before it is looked at
                _Batch(path, layout, expected, batch, sorting.rows).sort_into(scratch, sorting, only_study=only_study)
            sorting.rows += batch.num_rows
            tell("rows", sorting.rows, None)
    if not sorting.rows:
        raise DataError(f"{path} has no rows")
    return sorting


class _Batch:
    """Some rows of the file, from number `first` (from 0) on."""

    def __init__(
        self, path: Path, layout: PredictionColumns, expected: ExpectedCells, batch: pa.RecordBatch, first: int
    ) -> None:
        self.path, self.layout, self.expected, self.batch, self.first = path, layout, expected, batch, first

    def sort_into(self, scratch: Scratch, sorting: ImportCounts, *, only_study: bool) -> None:
        ids = whole_numbers(self.batch, "image_id", self._refuse)
        values = values_of(self.batch, self.layout, len(self.expected.dataset.class_names), self._refuse)
        cells = cells_of(self.batch, self._refuse)
        known = [(cell, places) for cell, places in cells if cell in self.expected.cells]
        sorting.foreign_cells |= {cell for cell, _ in cells} - {cell for cell, _ in known}
        kept = self._checked_images(ids, known, only_study=only_study)
        sorting.left_out += len(ids) - int(kept.sum())
        rows = np.flatnonzero(kept)
        logits = np.empty(values.shape, np.float32)
        logits[rows] = as_logits(values[rows], self.layout.kind, partial(self._refuse_among, rows))
        sorting.not_finite += int((~np.isfinite(logits[rows]).all(1)).sum())
        for cell, places in known:
            mine = places[kept[places]]
            if len(mine):
                scratch.add(cell, self.first + 1 + mine, ids[mine], logits[mine])

    def _checked_images(self, ids: np.ndarray, cells: list[tuple[Cell, np.ndarray]], *, only_study: bool) -> np.ndarray:
        """Which rows to keep, (N,) boolean: of the cells, those whose image is wanted; labels are compared."""
        expected, count = self.expected, len(ids)
        outside, unwanted, kept = (np.zeros(count, bool) for _ in range(3))
        labels, last = np.full(count, -1), np.zeros(count, np.int64)
        for cell, places in cells:
            images, mine = expected.images(cell), ids[places]
            inside = (mine >= 0) & (mine < len(images.labels))
            outside[places[~inside]], last[places] = True, len(images.labels) - 1
            places, mine = places[inside], mine[inside]
            kept[places] = images.wanted[mine]
            unwanted[places] = ~images.wanted[mine]
            labels[places] = images.labels[mine]
        raise_first(
            outside,
            lambda place: f"image_id {ids[place]} is no image of the data set: expected 0 to {last[place]:,}",
            self._refuse,
        )
        raise_first(unwanted & (not only_study), lambda place: self._unwanted(ids[place]), self._refuse)
        if self.layout.label:
            given = self._labels()
            raise_first(kept & (given != labels), lambda p: self._mislabelled(p, ids[p], labels[p]), self._refuse)
        return kept

    def _labels(self) -> np.ndarray:
        """Labels (N,) as class indices; names of classes are looked up, -1 is none."""
        column = self.batch.column(LABEL)
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            return whole_numbers(self.batch, LABEL, self._refuse)
        names = pa.array(self.expected.dataset.class_names)
        found: np.ndarray = pc.index_in(column.cast(pa.string()), names).fill_null(-1).to_numpy(zero_copy_only=False)
        return found

    def _unwanted(self, image_id: int) -> str:
        return (
            f"image_id {image_id} is not among the {len(self.expected.clean.ids):,} images of the study "
            f"({self.expected.subset.words}): set `images` in the study's dataset table, or leave such rows out with "
            "--only-study"
        )

    def _mislabelled(self, place: int, image_id: int, label: int) -> str:
        given, name = self.batch.column(LABEL)[place].as_py(), self.expected.dataset.class_names[label]
        return (
            f"label {given!r} of image {image_id} is not the data set's, {label} ({name}): is image_id the index in "
            "the full data set, and are classes in its order?"
        )

    def _refuse(self, place: int, said: str) -> DataError:
        return DataError(f"{self.path}, row {self.first + int(place) + 1:,}: {said}")

    def _refuse_among(self, places: np.ndarray, place: int, said: str) -> DataError:
        return self._refuse(places[place], said)


def check_cells(
    path: Path, expected: ExpectedCells, scratch: Scratch, sorting: ImportCounts, *, only_study: bool
) -> None:
    """Check that the file holds the cells of the study, and no others unless these are to be left out.

    Raises:
        DataError: a cell is missing or not named by the study.
    """
    if CLEAN_CELL not in scratch.cells:
        raise DataError(
            f"{path} has no clean predictions: add rows with corruption 'none' and severity 0, which every curve and "
            "change is measured from"
        )
    missing = [cell for cell in expected.cells if cell not in scratch.cells]
    if missing:
        raise DataError(
            f"{path} lacks {len(missing)} of the study's {len(expected.cells)} cells: "
            f"{_named(_words(c) for c in missing)}; predict them too, or leave them out of the study's corruptions table"
        )
    if sorting.foreign_cells and not only_study:
        foreign = sorted(sorting.foreign_cells, key=lambda cell: (cell.corruption, cell.severity))
        raise DataError(
            f"{path} holds {len(foreign)} cells that the study does not name: {_named(_words(c) for c in foreign)}; add "
            "them to the study's corruptions table, or leave them out with --only-study"
        )
    if sorting.not_finite == sorting.rows - sorting.left_out:
        raise DataError(f"{path} holds no row of finite numbers: not one prediction could be told from it")


def check_images(path: Path, expected: ExpectedCells, cell: Cell, rows: np.ndarray) -> None:
    """Check that a cell holds each of its images once.

    Args:
        path: the file, for messages.
        expected: what the study asks for.
        cell: the cell.
        rows: its rows, by rising image.

    Raises:
        DataError: one stands twice or is missing.
    """
    ids = rows["image_id"]
    twice = np.flatnonzero(ids[1:] == ids[:-1])
    if len(twice):
        first, second = rows["row"][twice[0]], rows["row"][twice[0] + 1]
        raise DataError(
            f"{path}: image {ids[twice[0]]} stands twice in {_words(cell)}, in rows {first:,} and {second:,}: keep one"
        )
    lacking = np.setdiff1d(expected.images(cell).ids, ids, assume_unique=True)
    if len(lacking):
        raise DataError(
            f"{path}: {_words(cell)} lacks {len(lacking):,} of {len(expected.images(cell).ids):,} images: "
            f"{_named(str(i) for i in lacking[: NAMED + 1])}; predict them too, or set fewer `images` in the study"
        )


def fingerprint(path: Path, expected: ExpectedCells, scratch: Scratch) -> str:
    """Hash of all predictions, whatever the order of the file's rows or its format; checks every cell on the way.

    Raises:
        DataError: an image stands twice in a cell or is missing.
    """
    hashes = {}
    for cell in expected.cells:
        rows = scratch.read(cell)
        check_images(path, expected, cell, rows)
        values = rows["values"] + np.float32(0)  # one zero
        values[np.isnan(values)] = np.nan  # one NaN
        hashes[f"{cell.corruption}/{cell.severity}"] = fingerprint_of([rows["image_id"], values])
    return identity_of(hashes)


def _words(cell: Cell) -> str:
    """Such as "fog at severity 2"."""
    return f"{cell.corruption} at severity {cell.severity.normalize():f}"


def _named(names: Iterable[str]) -> str:
    names = list(names)
    more = " …" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
