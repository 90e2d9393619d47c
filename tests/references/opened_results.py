"""A warehouse of synthetic results, made and opened in one step."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest
from built_once import built_once
from synthetic_results import Synthetic, write_synthetic
from warehouse_files import derivation

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection, select_one
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


def loaded(
    folder: Path,
    change: Callable[[Synthetic], object] = lambda _: None,
    *,
    resamples: int = 0,
    write: Callable[..., Synthetic] = write_synthetic,
    **options: object,
) -> Synthetic:
    """Write a record with some options, change it, load it into `w.duckdb`, derive results with so many resamples."""
    made = write(folder, **options)
    change(made)
    derived = derivation(resamples=resamples) if resamples else None
    load([made.output], made.output / "w.duckdb", derivation=derived)
    return made


@contextmanager
def opened(folder: Path, *arguments: Callable[[Synthetic], object], **options: Any) -> Iterator[Opened]:
    """What `loaded` has made, open."""
    made = loaded(folder, *arguments, **options)
    with open_warehouse(made.output / "w.duckdb") as con:
        yield Opened(made, con)


@contextmanager
def opened_once(
    factory: pytest.TempPathFactory, name: str, *arguments: Callable[[Synthetic], object], **options: Any
) -> Iterator[Opened]:
    """What `loaded` has made, once for all workers, open."""
    folder, made = built_once(factory, name, lambda folder: loaded(folder, *arguments, **options))
    with open_warehouse(folder / "w.duckdb") as con:
        yield Opened(made._replace(output=folder), con)
