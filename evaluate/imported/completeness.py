"""Cell by cell: whether the file holds each image of each cell once, and the identity of what it holds."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from evaluate.imported.checking import Sorting
from evaluate.imported.expected import CLEAN_KEY, Expected
from evaluate.imported.scratch import CellKey, Scratch
from warehouse.errors import DataError
from warehouse.identity import fingerprint_of, identity_of

NAMED = 5  # cells or images that a message names before it only counts


def check_cells(path: Path, expected: Expected, scratch: Scratch, sorting: Sorting, *, only_study: bool) -> None:
    """Check that the file holds the cells of the study, and no others unless these are to be left out.

    Raises:
        DataError: a cell is missing or not named by the study.
    """
    if CLEAN_KEY not in scratch.cells:
        raise DataError(
            f"{path} has no clean predictions: add rows with corruption 'none' and severity 0, which every curve and "
            "change is measured from"
        )
    missing = [cell for cell in expected.cells if cell not in scratch.cells]
    if missing:
        raise DataError(
            f"{path} lacks {len(missing)} of the study's {len(expected.cells)} cells: "
            f"{_named(c.words for c in missing)}; predict them too, or leave them out of the study's corruptions table"
        )
    if sorting.foreign_cells and not only_study:
        foreign = sorted(sorting.foreign_cells)
        raise DataError(
            f"{path} holds {len(foreign)} cells that the study does not name: {_named(c.words for c in foreign)}; add "
            "them to the study's corruptions table, or leave them out with --only-study"
        )
    if sorting.not_finite == sorting.rows - sorting.left_out:
        raise DataError(f"{path} holds no row of finite numbers: not one prediction could be told from it")


def check_images(path: Path, expected: Expected, cell: CellKey, rows: np.ndarray) -> None:
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
            f"{path}: image {ids[twice[0]]} stands twice in {cell.words}, in rows {first:,} and {second:,}: keep one"
        )
    lacking = np.setdiff1d(expected.images(cell).ids, ids, assume_unique=True)
    if len(lacking):
        raise DataError(
            f"{path}: {cell.words} lacks {len(lacking):,} of {len(expected.images(cell).ids):,} images: "
            f"{_named(str(i) for i in lacking[: NAMED + 1])}; predict them too, or set fewer `images` in the study"
        )


def fingerprint(path: Path, expected: Expected, scratch: Scratch) -> str:
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


def _named(names: Iterable[str]) -> str:
    names = list(names)
    more = " …" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
