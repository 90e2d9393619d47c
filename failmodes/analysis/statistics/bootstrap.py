"""Which images an evaluation predicts correctly, estimates with their intervals, and how they are resampled.

Resampling stands for another sample of test images alone, never for another training seed.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import duckdb
import numpy as np
from numpy.typing import NDArray

from failmodes.analysis.once import read_once
from failmodes.analysis.statistics.duplicates import image_groups
from failmodes.warehouse.database.connection import REBUILD_HINT, fetch_first
from failmodes.warehouse.errors import WarehouseError
from failmodes.warehouse.metrics.cell_rows import decode_pattern
from failmodes.warehouse.metrics.duplicates import Groups, independent_share
from failmodes.warehouse.schema import CLEAN

Float64Array = NDArray[np.float64]
Word = Literal["supported", "contradicted", "inconclusive", "not_measurable"]  # of a verdict


class Estimate(NamedTuple):
    """A value with the ends of its interval, in the unit of the value."""

    value: float
    low: float
    high: float

    @property
    def above_zero(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low > 0

    @property
    def below_zero(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.high < 0

    def is_above(self, limit: float) -> Word:
        """Whether it is shown that the value lies above a limit, or that it lies below."""
        return "supported" if self.low > limit else "contradicted" if self.high < limit else "inconclusive"


@dataclass(frozen=True)
class Resampling:
    """How images are resampled, and the level of every interval that follows from it.

    Attributes:
        resamples: how many.
        seed: seed of the resampling.
        interval_level: level of all intervals.
    """

    resamples: int = 1000
    seed: int = 0
    interval_level: float = 0.95


class CorrectnessMatrix(NamedTuple):
    """Of one evaluation: its cells as (corruption, severity), and whether each image is right in each, (N, C).

    Rows follow `image_id`, of whose values in each cell there is a hash. Where corrupted images do not pair with clean
    ones, rows of different cells are different images. `groups` are of the clean images, (N,): those of the same pixels
    are one group, and None says that all are distinct.
    """

    evaluation_id: str
    paired: bool
    cells: list[tuple[str, float]]
    correct: NDArray[np.bool_]
    ids_hashes: tuple[str, ...] = ()
    groups: Groups | None = None

    @property
    def independent_share(self) -> float:
        """Kish's effective number of images as a share of them; 1 without duplicates."""
        return independent_share(self.groups)

    @property
    def effective_count(self) -> float:
        """Kish's effective number of images; their number without duplicates."""
        return len(self.correct) * self.independent_share

    @property
    def accuracy(self) -> Float64Array:
        """Accuracy of every cell, (C,) 0-1."""
        shares: Float64Array = self.correct.mean(axis=0)
        return shares

    def curves(self) -> dict[str, dict[float, int]]:
        """The column of each severity of a corruption, from clean, by corruption."""
        clean = self.cells.index((CLEAN, 0.0))
        found: dict[str, dict[float, int]] = {}
        for column, (corruption, severity) in enumerate(self.cells):
            if corruption != CLEAN:
                found.setdefault(corruption, {0.0: clean})[severity] = column
        return found


def stored_resampling(con: duckdb.DuckDBPyConnection) -> Resampling:
    """How the stored shapes were resampled, so that all intervals of a report agree; the defaults without shapes."""
    row = fetch_first(con, "select resamples, bootstrap_seed, interval_level from shapes limit 1")
    return Resampling(*(row or ()))


@read_once
def read_correctness(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> CorrectnessMatrix:
    """Read the correctness of every image in every cell of an evaluation.

    Raises:
        WarehouseError: the evaluation is unknown, a cell is incomplete, or the clean cell is missing.
    """
    found = fetch_first(con, "select image_count, paired from evaluations where evaluation_id = ?", [evaluation_id])
    if not found:
        raise WarehouseError(f"no evaluation {evaluation_id} in this warehouse")
    expected, paired = found
    rows = con.execute(
        "select corruption, severity::double, row_count, image_count, image_ids_md5, correct_images "
        "from cell_predictions where evaluation_id = ? order by corruption, severity",
        [evaluation_id],
    ).fetchall()
    for corruption, severity, row_count, images, _, pattern in rows:
        if len(pattern) != row_count or not pattern.isascii():
            raise WarehouseError(f"cell_predictions of evaluation {evaluation_id} is damaged: {REBUILD_HINT}")
        if not row_count == images == expected:
            raise WarehouseError(
                f"evaluation {evaluation_id}, {corruption} at severity {severity:g} has {row_count} rows of {images} "
                f"images, expected {expected}: run `failmodes status`, then `failmodes load --rebuild`"
            )
    cells = [row[:2] for row in rows]
    if (CLEAN, 0.0) not in cells:
        raise WarehouseError(f"evaluation {evaluation_id} has no clean cell: run `failmodes evaluate` to the end")
    if paired and len({row[4] for row in rows}) > 1:
        raise WarehouseError(f"the cells of evaluation {evaluation_id} are not of the same images: load it again")
    by_image = np.stack([decode_pattern(row[5]) for row in rows]).T  # of a cell the images lie together
    groups = image_groups(con, evaluation_id)
    if groups is not None and len(groups) != len(by_image):
        raise WarehouseError(f"evaluation {evaluation_id} has {len(groups):,} clean predictions: {REBUILD_HINT}")
    return CorrectnessMatrix(evaluation_id, paired, cells, by_image, tuple(row[4] for row in rows), groups)


def bootstrap_estimate(values: Float64Array, level: float = 0.95) -> Estimate:
    """The first of `values` (1 + B,) with the percentile interval of the rest, its resamples, where finite."""
    resampled = values[1:]
    ends = np.quantile(resampled[np.isfinite(resampled)], [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(values[0]), *ends.tolist())
