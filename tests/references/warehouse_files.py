"""Small records and warehouses, and how a test reads them."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from synthetic_results import Synthetic, write_synthetic

from failmodes.analysis.judging.derivation import due, store
from failmodes.analysis.statistics.curve_shape import ShapeSettings
from failmodes.analysis.statistics.shape_tables import update_shapes
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.tables import insert_rows
from failmodes.warehouse.database.updates import Derivation, changed_database
from failmodes.warehouse.database_schema import STEPS


def ensure_shapes(path: Path, settings: ShapeSettings | None = None) -> bool:
    """Store shapes, of these settings if any are given, and nothing else that is derived; whether any were due."""
    with changed_database(path) as con:
        return update_shapes(con, settings)


def derivation(**settings: object) -> Derivation:
    """All that a load derives, with these settings of the shapes, in the pass of the load."""
    return Derivation(due, lambda con, metrics: store(con, metrics, settings))


def write_a_step(path: Path) -> None:
    """Store a row of `steps` that no load made."""
    row = {c.name: 0.0 for c in STEPS.columns} | {
        "evaluation_id": "e", "corruption": "fog", "severity_from": 0, "severity_to": 1,
    }  # fmt: skip
    with changed_database(path, keeps_all=True) as con:
        insert_rows(con, STEPS, pa.Table.from_pylist([row], schema=STEPS.arrow()))


def write_small_results(folder: Path, model: str) -> Synthetic:
    """A record of 11 cells (2 corruptions) of 40 images."""
    return write_synthetic(folder, images=40, models=(model,), corruptions=("fog", "contrast"))


def change_file(path: Path, *statements: str) -> Path:
    """Change a warehouse by DuckDB alone, as another program does."""
    with duckdb.connect(str(path)) as con:
        for sql in statements:
            con.execute(sql)
    return path


def stored_rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query that DuckDB alone answers."""
    with duckdb.connect(str(path), read_only=True) as con:
        return con.execute(sql).fetchall()


def value(path: Path, sql: str) -> object:
    with open_warehouse(path) as con:
        return con.sql(sql).pl().item()


@contextmanager
def python_in_background(program: str) -> Iterator[subprocess.Popen[str]]:
    """A Python of its own that runs `program` from the root of the project; killed at the end."""
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=root, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


SECRET = "a secret that no query may read"
SMALL_RECORD = {"images": 40, "models": ("Alpha",), "corruptions": ("fog", "contrast")}
FILES = 11 * 2 + 5 + 3 + 1 + 2  # cells, shared dimensions, corruptions, evaluation, exemplars


def failing(*_: object, **__: object) -> None:
    """A file system's method that is refused."""
    raise PermissionError("403")
