"""The rows of one evaluation, cell by cell, as arrays: what metrics of cells are computed from again and resampled."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from failmodes.analysis.statistics.bootstrap import CorrectnessMatrix, read_correctness
from failmodes.warehouse.database.relations import REBUILD_HINT
from failmodes.warehouse.database.stored_metrics import at_images, at_rows, mask_areas
from failmodes.warehouse.errors import WarehouseError
from failmodes.warehouse.metrics.cell_rows import Cell, CellRows
from failmodes.warehouse.metrics.columns import NotOnRecord, column_of
from failmodes.warehouse.schema import ATTENTION, CLEAN, PREDICTION_FACTS, TARGETS

CellKey = tuple[str, float]  # corruption and severity
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RunRows:
    """One evaluation: whether each image is right in each cell, and other columns of its predictions.

    Attributes:
        correctness: of every cell; rows follow `image_id`.
        image_ids: (N,) of the clean cell; of all cells where these share images.
        ids_hashes: hash of the image_ids of each cell.
        columns: (N, C) by the names of `CellRows`, lists (N, C, K); those that were asked for are kept.
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

    def rows(self, cell: CellKey, kept: Rows | None = None) -> CellRows:
        """The images of one cell, all or those in the rows `kept`."""
        column = self.places[cell]

        def read(name: str) -> NDArray[Any]:
            self.read([name])
            values: NDArray[Any] = self.columns[name][:, column]
            return values if kept is None else values[kept]

        correct = self.correctness.correct[:, column]
        given = {"correct": correct if kept is None else correct[kept]}
        return CellRows(*cell, len(given["correct"]), read, given)

    def cell(self, cell: CellKey, kept: Rows | None = None, among: Collection[CellKey] | None = None) -> Cell:
        """One cell with those that it is compared with.

        Args:
            cell: which.
            kept: rows of its images; all if not given.
            among: cells that curves are made of; all if not given.
        """
        clean = (CLEAN, 0.0)
        reference = self.rows(clean) if clean in self.places else None
        if not self.shares_images or reference is None:
            return Cell(self.rows(cell, kept), reference=reference)
        below = [one for one in self.cells if one[0] == cell[0] and 0 < one[1] < cell[1]]
        on_curve = [one for one in below if among is None or one in among]
        curve = [self.rows(one, kept) for one in (clean, *sorted(on_curve, key=lambda one: one[1]))]
        if cell != clean:
            curve.append(self.rows(cell, kept))
        return Cell(curve[-1], curve[0], tuple(curve), reference)

    def read(self, names: Sequence[str]) -> None:
        """Make sure that columns are at hand, as `CellRows` names them.

        Raises:
            NotOnRecord: a column is not on record.
        """
        for name in names:
            if name not in self.columns:
                raise NotOnRecord(name)


@dataclass(frozen=True, eq=False)
class StoredRun(RunRows):
    """An evaluation of a warehouse, whose columns are read when they are asked for."""

    con: duckdb.DuckDBPyConnection = field(kw_only=True)
    _absent: set[str] = field(default_factory=set)

    def read(self, names: Sequence[str]) -> None:
        """Make sure that columns are at hand: one question for all of one kind that are missing.

        Raises:
            NotOnRecord: a column is null throughout; all others are at hand then.
        """
        missing = [name for name in dict.fromkeys(names) if name not in self.columns and name not in self._absent]
        found = _read_columns(self.con, self.correctness, [name for name in missing if "." not in name])
        for target in TARGETS:
            own = [name for name in missing if name.startswith(f"{target}.")]
            found |= _read_attention(self.con, self.correctness, self._ids(), target, own) if own else {}
        if "images.mask_area" in missing:
            found |= _read_areas(self.con, self.correctness, self._ids())
        self.columns.update(found)
        self._absent.update(name for name in missing if name not in found)
        for name in names:
            if name in self._absent:
                raise NotOnRecord(name)

    def _ids(self) -> NDArray[np.int64]:
        """(N, C) image_id of each cell."""
        if "image_id" not in self.columns:
            self.columns.update(_read_columns(self.con, self.correctness, ["image_id"]))
        found: NDArray[np.int64] = self.columns["image_id"]
        return found


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


_PLACES = (
    "with cells as (select corruption, severity, row_number() over (order by corruption, severity) - 1 as place "
    "from cell_predictions where evaluation_id = $1) "
)


def _read_columns(
    con: duckdb.DuckDBPyConnection, correctness: CorrectnessMatrix, names: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """Columns of predictions of all cells, (N, C) each, lists (N, C, K), in the order of the cells and of image_id."""
    known = {column.name for column in PREDICTION_FACTS.columns}
    wanted = [name for name in names if name in known]
    if not wanted:
        return {}
    listed = ", ".join(f"{name} is not null as {name}" if name == "logit_classes" else name for name in wanted)
    found = con.sql(
        f"{_PLACES} select place, image_id as own_id, {listed} from prediction_facts "
        "inner join cells using (corruption, severity) where evaluation_id = $1",
        params=[correctness.evaluation_id],
    ).to_arrow_table()
    if found.num_rows != correctness.correct.size:
        raise WarehouseError(
            f"evaluation {correctness.evaluation_id} has {found.num_rows:,} predictions, expected "
            f"{correctness.correct.size:,}: the warehouse was changed; {REBUILD_HINT}"
        )
    keys = np.asarray(found["place"], np.int64) << 32 | np.asarray(found["own_id"], np.int64)
    shape = len(correctness.cells), len(correctness.correct)
    order = None if (np.diff(keys) > 0).all() else np.argsort(keys, kind="stable")
    columns = {}
    for name in wanted:
        values = _column(found, name)
        if values is not None:
            ordered = values if order is None else values[order]
            columns[name] = np.swapaxes(ordered.reshape(*shape, *values.shape[1:]), 0, 1)
    return columns


def _column(rows: pa.Table, name: str) -> NDArray[Any] | None:
    try:
        return column_of(rows, name)
    except NotOnRecord:
        return None


def _read_attention(
    con: duckdb.DuckDBPyConnection,
    correctness: CorrectnessMatrix,
    image_ids: NDArray[np.int64],
    target: str,
    names: Sequence[str],
) -> dict[str, NDArray[Any]]:
    """Columns of the maps for one target, (N, C) each; of images without a map NaN, -1 or False."""
    known = {column.name for column in ATTENTION.columns}
    wanted = [own for name in names if (own := name.partition(".")[2]) in known]
    found = con.sql(
        f"{_PLACES} select {', '.join(['place', 'image_id', *wanted])} from attention "
        "inner join cells using (corruption, severity) where evaluation_id = $1 and target = $2",
        params=[correctness.evaluation_id, target],
    ).to_arrow_table()
    if not found.num_rows:
        return {}
    place: NDArray[np.int64] = np.asarray(found["place"], np.int64)
    row = np.empty(found.num_rows, np.int64)
    map_ids, is_known = np.asarray(found["image_id"], np.int64), np.ones(found.num_rows, np.bool_)
    for cell in np.unique(place).tolist():
        of_cell, ids = np.flatnonzero(place == cell), image_ids[:, cell]
        row[of_cell] = np.searchsorted(ids, map_ids[of_cell]).clip(max=len(ids) - 1)
        is_known[of_cell] = ids[row[of_cell]] == map_ids[of_cell]
    where = row[is_known], place[is_known]
    columns: dict[str, NDArray[Any]] = {}
    if f"{target}.has_map" in names:
        columns[f"{target}.has_map"] = np.zeros(image_ids.shape, np.bool_)
        columns[f"{target}.has_map"][where] = True
    for column in wanted:
        name, values = column, _column(found, column)
        if values is not None:
            columns[f"{target}.{name}"] = at_rows(name, values[is_known], where, image_ids.shape)
    return columns


def _read_areas(
    con: duckdb.DuckDBPyConnection, correctness: CorrectnessMatrix, image_ids: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """(N, C) share of the clean image that its mask covers."""
    areas = mask_areas(con, correctness.evaluation_id)
    if not len(areas["image_id"]):
        return {}
    return {"images.mask_area": at_images(image_ids, areas)}
