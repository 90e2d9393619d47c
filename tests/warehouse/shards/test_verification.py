"""Loading: once and no more, whole or not at all, and never from a damaged file."""

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from synthetic_record import Synthetic

from failmodes.warehouse import schema
from failmodes.warehouse.database.load import load
from failmodes.warehouse.errors import DamagedShardError
from failmodes.warehouse.shards.format import Cell, ShardKey, read_verified, shard_path, write_shard

FOG = Decimal("3.000")


def test_every_damaged_file_is_named_and_nothing_is_loaded(record: Synthetic, tmp_path: Path) -> None:
    path, evaluation_id = tmp_path / "w.duckdb", record.evaluations["Alpha"]
    page, footer = (
        shard_path(record.output, schema.PREDICTIONS, ShardKey(evaluation_id, Cell(c, FOG))) for c in ("fog", "contrast")
    )
    model = next((record.output / "record" / "models").iterdir())
    for damaged in (page, footer, model):
        content = bytearray(damaged.read_bytes())
        content[len(content) // 3 if damaged is page else -6] ^= 0x55
        damaged.write_bytes(bytes(content))
    with pytest.raises(DamagedShardError, match="--redo-damaged") as caught:
        load([record.output], path)
    for damaged in (page, footer, model):
        assert str(damaged) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not path.exists()
    assert not list(tmp_path.glob(".tmp-*"))


def test_null_in_a_column_that_may_not_be_null_is_damage(record: Synthetic, tmp_path: Path) -> None:
    cell = ShardKey(record.evaluations["Alpha"], Cell("fog", FOG))
    rows = read_verified(shard_path(record.output, schema.PREDICTIONS, cell)).rows
    rows = rows.set_column(rows.column_names.index("label"), "label", pa.nulls(40, pa.int16()))
    loose = schema.PREDICTIONS._replace(columns=tuple(c._replace(nullable=True) for c in schema.PREDICTIONS.columns))
    write_shard(record.output, loose, cell, rows)
    with pytest.raises(DamagedShardError, match=r"predictions\.label may not be null"):
        load([record.output], tmp_path / "w.duckdb")
