"""A warehouse of synthetic results, made and opened in one step."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import duckdb
from synthetic_results import Synthetic, write_synthetic
from warehouse_files import ensure_shapes

from failmodes.analysis.selection import EvaluationInfo, Selection, select_one
from failmodes.analysis.statistics.curve_shape import ShapeSettings
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load


class Opened(NamedTuple):
    """What was written, and the connection to its warehouse."""

    made: Synthetic
    con: duckdb.DuckDBPyConnection

    @property
    def selection(self) -> Selection:
        """All evaluations, which share their images."""
        return select_one(self.con)

    @property
    def first(self) -> tuple[duckdb.DuckDBPyConnection, Selection, EvaluationInfo]:
        """What statistics of one evaluation take: the connection, the selection, its first evaluation."""
        return self.con, self.selection, self.selection.evaluations[0]


@contextmanager
def opened(
    folder: Path,
    change: Callable[[Synthetic], object] = lambda _: None,
    *,
    resamples: int = 0,
    write: Callable[..., Synthetic] = write_synthetic,
    **options: object,
) -> Iterator[Opened]:
    """Write a record with some options, change it, load it, store shapes of so many resamples, and open it."""
    made = write(folder, **options)
    change(made)
    load([made.output], made.output / "w.duckdb")
    if resamples:
        ensure_shapes(made.output / "w.duckdb", ShapeSettings(resamples=resamples))
    with open_warehouse(made.output / "w.duckdb") as con:
        yield Opened(made, con)
