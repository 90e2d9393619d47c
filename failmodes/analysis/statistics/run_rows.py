"""The rows of one evaluation, cell by cell, as arrays: what measures of cells are computed from again and resampled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from failmodes.analysis.statistics.bootstrap import CorrectnessMatrix, read_correctness
from failmodes.warehouse.database.relations import REBUILD_HINT
from failmodes.warehouse.errors import WarehouseError

CellKey = tuple[str, float]  # corruption and severity
COLUMNS = ("label", "predicted", "confidence", "margin", "entropy_nats", "loss_nats", "label_probability", "sum_p2",
           "log_sum_exp", "finite")  # fmt: skip
NO_CLASS = -1  # predicted, where it is no class of the data set


class CellRows(dict[str, NDArray[Any]]):
    """Columns of the images of one cell by name, (N,) each: `correct` (bool) and those of COLUMNS that were read."""


@dataclass(frozen=True, eq=False)
class RunRows:
    """One evaluation: whether each image is right in each cell, and other columns of its predictions.

    Attributes:
        correctness: of every cell; rows follow `image_id`.
        image_ids: (N,) of the clean cell; of all cells where these share images.
        ids_hashes: hash of the image_ids of each cell.
        columns: (N, C) by name, NaN where null; those that were asked for are kept.
    """

    correctness: CorrectnessMatrix
    image_ids: NDArray[np.int64]
    ids_hashes: Mapping[CellKey, str]
    columns: dict[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def cells(self) -> list[CellKey]:
        """Its cells, by corruption and severity."""
        return self.correctness.cells

    @property
    def image_count(self) -> int:
        """Images of a cell."""
        return len(self.correctness.correct)

    @property
    def shares_images(self) -> bool:
        """Whether all cells are of the same images."""
        return self.correctness.paired

    @cached_property
    def places(self) -> dict[CellKey, int]:
        """The column of each cell."""
        return {cell: column for column, cell in enumerate(self.cells)}

    def cell(self, cell: CellKey, names: Sequence[str], kept: NDArray[np.int64] | None = None) -> CellRows:
        """Some columns of one cell, of all images or of those in the rows `kept`."""
        self.read(names)
        column = self.places[cell]
        found = CellRows(correct=self.correctness.correct[:, column])
        found.update((name, self.columns[name][:, column]) for name in names)
        return found if kept is None else CellRows((name, values[kept]) for name, values in found.items())

    def read(self, names: Sequence[str]) -> None:
        """Make sure that columns are at hand."""
        missing = [name for name in names if name not in self.columns]
        if missing:
            raise KeyError(f"columns that are not at hand: {', '.join(missing)}")


@dataclass(frozen=True, eq=False)
class StoredRun(RunRows):
    """An evaluation of a warehouse, whose columns are read when they are asked for."""

    con: duckdb.DuckDBPyConnection = field(kw_only=True)

    def read(self, names: Sequence[str]) -> None:
        """Make sure that columns are at hand: one question for all that are missing."""
        missing = [name for name in names if name not in self.columns]
        if missing:
            self.columns.update(_read_columns(self.con, self.correctness, missing))


def read_run(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> StoredRun:
    """The rows of an evaluation.

    Raises:
        WarehouseError: it is unknown, a cell is incomplete, or the clean cell is missing.
    """
    correctness = read_correctness(con, evaluation_id)
    hashes = {
        (corruption, severity): ids_hash
        for corruption, severity, ids_hash in con.execute(
            "select corruption, severity::double, image_ids_md5 from cell_predictions where evaluation_id = ?",
            [evaluation_id],
        ).fetchall()
    }
    ids = con.execute(
        "select image_id from prediction_facts where evaluation_id = ? and corruption = 'none' order by image_id",
        [evaluation_id],
    ).fetchnumpy()["image_id"]
    return StoredRun(correctness, np.asarray(ids, np.int64), hashes, con=con)


def _read_columns(
    con: duckdb.DuckDBPyConnection, correctness: CorrectnessMatrix, names: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """Columns of all cells, (N, C) each, in the order of the cells and of image_id."""
    assert set(names) <= set(COLUMNS), names
    found = con.execute(
        "with cells as (select corruption, severity, row_number() over (order by corruption, severity) - 1 as place "
        "from cell_predictions where evaluation_id = $1) "
        f"select place, image_id, {', '.join(names)} from prediction_facts "
        "inner join cells using (corruption, severity) where evaluation_id = $1",
        [correctness.evaluation_id],
    ).fetchnumpy()
    if len(found["place"]) != correctness.correct.size:
        raise WarehouseError(
            f"evaluation {correctness.evaluation_id} has {len(found['place']):,} predictions, expected "
            f"{correctness.correct.size:,}: the warehouse was changed; {REBUILD_HINT}"
        )
    keys = np.asarray(found["place"], np.int64) << 32 | np.asarray(found["image_id"], np.int64)
    shape = len(correctness.cells), len(correctness.correct)
    order = None if (np.diff(keys) > 0).all() else np.argsort(keys, kind="stable")
    columns = {}
    for name in names:
        values = _filled(found[name], name)
        columns[name] = (values if order is None else values[order]).reshape(shape).T
    return columns


def _filled(values: Any, name: str) -> NDArray[Any]:
    """Values with something in place of nulls: NaN, or NO_CLASS of classes."""
    if name in ("label", "predicted"):
        return np.asarray(np.ma.filled(values, NO_CLASS), np.int16)
    if name == "finite":
        return np.asarray(values, np.bool_)
    return np.asarray(np.ma.filled(values, np.nan), np.float32)
