"""Checks that a load runs: they find what checks of every row find."""

from pathlib import Path

import pyarrow as pa
import pytest
from rewritten_shards import cell_of
from synthetic_results import write_synthetic

from failmodes.warehouse import schema
from failmodes.warehouse.database.checks import run_checks
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.shards.format import read_verified, shard_path, write_shard


@pytest.mark.parametrize(
    ("column", "value", "check"), [("label", 3, "labels_agree_with_images"), ("image_id", 999, "images_resolve")]
)
def test_rows_that_break_a_check_of_images_are_counted(tmp_path: Path, column: str, value: int, check: str) -> None:
    made = write_synthetic(tmp_path / "out", images=9, models=("A",), corruptions=("fog",), severities=(1, 3))
    shard = cell_of(made, "A", "fog", 1)
    rows = read_verified(shard_path(made.output, schema.PREDICTION_FACTS, shard)).rows
    rows = pa.Table.from_pylist([*rows.to_pylist()[:-1], rows.to_pylist()[-1] | {column: value}], rows.schema)
    write_shard(made.output, schema.PREDICTION_FACTS, shard, rows)
    load([made.output], tmp_path / "w.duckdb")
    with open_warehouse(tmp_path / "w.duckdb") as con:
        stored = con.execute("select name, breaking_rows from computed where breaking_rows is not null").fetchall()
        found = {result.name: result.row_count for result in run_checks(con)}
    assert all(found[name] == count for name, count in stored)
    assert dict(stored)[check]
