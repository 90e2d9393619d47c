"""Right or wrong, image by image, of one evaluation, and the same under resampled images."""

from typing import NamedTuple

import duckdb
import numpy as np
from numpy.typing import NDArray

from failmodes.analysis.statistics.bootstrap import resampled_accuracy, resampled_alone
from failmodes.warehouse.database.connection import fetch_first
from failmodes.warehouse.errors import WarehouseError
from failmodes.warehouse.schema import CLEAN


class CurveColumns(NamedTuple):
    """One corruption's curve: severities from clean, and the columns of its cells."""

    severities: NDArray[np.float64]
    columns: list[int]

    @property
    def averaged(self) -> list[int]:
        """Columns that an average over severities takes: whole severities, as published; all where there is none."""
        whole = [column for s, column in zip(self.severities, self.columns, strict=True) if s and not s % 1]
        return whole or self.columns[1:]


class CorrectnessMatrix(NamedTuple):
    """Of one evaluation: its cells as (corruption, severity), and whether each image is right in each, (N, C).

    Rows follow `image_id`. Where corrupted images do not pair with clean ones, rows of different cells are different
    images.
    """

    evaluation_id: str
    paired: bool
    cells: list[tuple[str, float]]
    correct: NDArray[np.bool_]

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """Accuracy of every cell, (C,) 0-1."""
        return self.correct.mean(axis=0)

    def resampled(self, resamples: int, seed: int) -> NDArray[np.float64]:
        """Accuracy of every cell under resampled images, (B, C).

        Paired evaluations share one draw over all cells, and with every other evaluation of as many images. Without
        pairing each cell is drawn on its own: intervals of differences are then wider, never too narrow.
        """
        if self.paired:
            return resampled_accuracy(self.correct, resamples, seed)
        counts = np.full(len(self.cells), len(self.correct))
        return resampled_alone(self.accuracy, counts, resamples, seed)

    def curves(self) -> dict[str, CurveColumns]:
        """Curve by corruption, the clean cell at the foot of each."""
        column = {cell: index for index, cell in enumerate(self.cells)}
        grids: dict[str, list[float]] = {}
        for corruption, severity in self.cells:
            if corruption != CLEAN:
                grids.setdefault(corruption, [0.0]).append(severity)
        return {
            corruption: CurveColumns(np.array(grid), [column[corruption if s else CLEAN, s] for s in grid])
            for corruption, grid in grids.items()
        }


def read_correctness(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> CorrectnessMatrix:
    """Read the correctness of every image in every cell of an evaluation.

    Raises:
        WarehouseError: the evaluation is unknown, a cell is not whole, or the clean cell is missing.
    """
    found = fetch_first(con, "select image_count, paired from evaluations where evaluation_id = ?", [evaluation_id])
    if not found:
        raise WarehouseError(f"no evaluation {evaluation_id} in this warehouse")
    images, paired = found
    cells = con.execute(
        "select corruption, severity::double, count(*), count(distinct image_id) from predictions "
        "where evaluation_id = ? group by corruption, severity order by corruption, severity",
        [evaluation_id],
    ).fetchall()
    _require_whole(con, evaluation_id, cells, images, paired=paired)
    values = con.execute(
        "select correct from outcomes where evaluation_id = ? order by corruption, severity, image_id", [evaluation_id]
    ).fetchnumpy()["correct"]
    correct = np.asarray(values, dtype=bool).reshape(len(cells), images).T
    return CorrectnessMatrix(
        evaluation_id, paired, [(corruption, severity) for corruption, severity, *_ in cells], correct
    )


def _require_whole(
    con: duckdb.DuckDBPyConnection,
    evaluation_id: str,
    cells: list[tuple[str, float, int, int]],
    images: int,
    *,
    paired: bool,
) -> None:
    for corruption, severity, rows, distinct in cells:
        if not rows == distinct == images:
            raise WarehouseError(
                f"evaluation {evaluation_id}, {corruption} at severity {severity:g} has {rows} rows of {distinct} "
                f"images, expected {images}: run `failmodes status`, then `failmodes load --rebuild`"
            )
    if CLEAN not in {corruption for corruption, *_ in cells}:
        raise WarehouseError(f"evaluation {evaluation_id} has no clean cell: run `failmodes evaluate` to the end")
    if not paired:
        return
    seen = fetch_first(con, "select count(distinct image_id) from predictions where evaluation_id = ?", [evaluation_id])
    if seen != (images,):
        raise WarehouseError(f"the cells of evaluation {evaluation_id} are not of the same images: load it again")
