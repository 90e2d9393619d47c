"""Attention on the object: what is drawn, and what the title says of it."""

import re
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from synthetic_results import write_synthetic
from warehouse_files import ensure_shapes

from failmodes.analysis.charts.object_attention import chart
from failmodes.analysis.selection import Selection, select_one
from failmodes.analysis.statistics.shape_tables import ShapeSettings
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.errors import WarehouseError
from failmodes.warehouse.schema import ATTENTION
from failmodes.warehouse.shards.format import CLEAN_CELL, Cell, ShardKey, read_verified, shard_path, write_shard


def test_shares_stand_beside_both_nulls(con: duckdb.DuckDBPyConnection) -> None:
    (rows,) = chart(con, select_one(con)).to_dict()["datasets"].values()
    stored = con.sql(
        "select distinct model_label, severity::double as severity, mean_mask_share, null_mean_mask_share, "
        "even_mask_share from attention_on_object"
    ).fetchall()
    found = {
        (row["label"], row["severity"], row["mean_mask_share"], row["null_mean_mask_share"], row["even_mask_share"])
        for row in rows
    }
    assert found == set(stored)
    assert all(row["share_low"] < row["mean_mask_share"] < row["share_high"] for row in rows)


def test_the_title_says_how_much_attention_leaves_the_object(
    con: duckdb.DuckDBPyConnection, selection: Selection
) -> None:
    """Synthetic shares are .5 when clean, .35 at the end, and .3 of another image's map."""
    title = chart(con, selection).title
    for label in selection.labels.values():
        assert re.search(rf"1[3-7]\.\d\xa0points \[.*\] of the attention of {label} leave the object", title)


@pytest.mark.slow
@pytest.mark.parametrize(("has_masks", "reason"), [(True, "labels differ"), (False, "there are no object masks")])
def test_where_there_is_nothing_it_says_why(tmp_path: Path, has_masks: bool, reason: str) -> None:
    made = write_synthetic(
        tmp_path, images=60, models=("Alpha",), corruptions=("fog",), severities=(5,), paired=not has_masks
    )
    for cell in (CLEAN_CELL, Cell("fog", Decimal("5.000"))):
        key = ShardKey(made.evaluations["Alpha"], cell)
        rows = read_verified(shard_path(tmp_path, ATTENTION, key)).rows
        if not (has_masks and cell.is_clean):
            rows = with_columns(rows, {"mask_share": pa.nulls(rows.num_rows, pa.float32())})
            write_shard(tmp_path, ATTENTION, key, rows)
    load([tmp_path], tmp_path / "w.duckdb")
    ensure_shapes(tmp_path / "w.duckdb", ShapeSettings(resamples=100))
    with open_warehouse(tmp_path / "w.duckdb") as con, pytest.raises(WarehouseError, match=f"to show: {reason}"):
        chart(con, select_one(con))


def with_columns(rows: pa.Table, columns: dict[str, pa.Array]) -> pa.Table:
    for name, column in columns.items():
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), column)
    return rows
