"""Checks that a load runs: they find what checks of every row find, also where cells of the same images share them."""

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from synthetic_results import write_synthetic

from failmodes.warehouse import schema
from failmodes.warehouse.database.checks import run_checks
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.shards.format import CLEAN_CELL, Cell, ShardKey, read_verified, shard_path, write_shard

CELLS = [CLEAN_CELL, *(Cell("fog", Decimal(severity)) for severity in ("1.000", "3.000"))]


@pytest.mark.parametrize(
    "changed",
    [pytest.param(CELLS[:1], id="clean", marks=pytest.mark.slow),
     pytest.param(CELLS[1:2], id="one", marks=pytest.mark.slow), pytest.param(CELLS, id="all")],
)  # fmt: skip
@pytest.mark.parametrize(
    ("column", "value", "check"), [("label", 3, "labels_agree_with_images"), ("image_id", 999, "images_resolve")]
)
def test_rows_that_break_a_check_of_images_are_counted(
    tmp_path: Path, column: str, value: int, check: str, changed: list[Cell]
) -> None:
    made = write_synthetic(tmp_path / "out", images=9, models=("A",), corruptions=("fog",), severities=(1, 3))
    for shard in (ShardKey(made.evaluations["A"], cell) for cell in changed):
        rows = read_verified(shard_path(made.output, schema.PREDICTION_FACTS, shard)).rows
        rows = pa.Table.from_pylist([*rows.to_pylist()[:-1], rows.to_pylist()[-1] | {column: value}], rows.schema)
        write_shard(made.output, schema.PREDICTION_FACTS, shard, rows)
    load([made.output], tmp_path / "w.duckdb")
    with open_warehouse(tmp_path / "w.duckdb") as con:
        stored = con.execute("select name, breaking_rows from computed where breaking_rows is not null").fetchall()
        found = {result.name: result.row_count for result in run_checks(con)}
    assert all(found[name] == count for name, count in stored)
    assert dict(stored)[check]
