"""Content hashes: of names, types, nulls and values, and those of records written before."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from failmodes.warehouse.shards.format import content_hash


def test_hash_ignores_chunks_and_minds_values_nulls_and_names() -> None:
    whole = pa.table({"a": pa.array([1, None, 3]), "b": pa.array([[1.0], None, [2.0, 3.0]])})
    chunked = pa.concat_tables([whole.slice(0, 1), whole.slice(1)])
    assert content_hash(chunked) == content_hash(whole)
    others = [
        pa.table({"a": pa.array([1, 0, 3]), "b": whole["b"]}),
        pa.table({"a": pa.array([1, 3, None]), "b": whole["b"]}),
        pa.table({"a": whole["a"], "b": pa.array([[1.0, 2.0], None, [3.0]])}),
        whole.rename_columns(["a", "c"]),
    ]
    assert len({content_hash(t) for t in (whole, *others)}) == 5


def every_type(rows: int) -> pa.Table:
    """A column of each type that the record or the warehouse holds, every seventh value null."""

    def gaps(values: Iterable[Any]) -> list[Any]:
        return [None if i % 7 == 0 else value for i, value in enumerate(values)]

    numbers = range(rows)
    moments = [datetime(2026, 1, 1, i % 24, tzinfo=UTC) for i in numbers]
    return pa.table({
        "whole": pa.array(numbers, pa.int32()),
        "small": pa.array(gaps(i % 5 for i in numbers), pa.int16()),
        "real": pa.array(gaps(i / 8 for i in numbers), pa.float32()),
        "flag": pa.array(gaps(i % 3 == 0 for i in numbers)),
        "text": pa.array(gaps("é" * (i % 4) for i in numbers)),
        "bytes": pa.array(gaps(bytes([i]) * (i % 3) for i in numbers)),
        "list": pa.array(gaps([float(j) for j in range(i % 4)] for i in numbers), pa.list_(pa.float32())),
        "gaps": pa.array([[1, None, i] for i in numbers], pa.list_(pa.int16())),
        "words": pa.array(gaps(["a", None, "bc" * i] for i in numbers), pa.list_(pa.string())),
        "level": pa.array(gaps(Decimal(i) / 8 for i in numbers), pa.decimal128(7, 3)),
        "moment": pa.array(moments, pa.timestamp("s", tz="UTC")),
        "nothing": pa.nulls(rows, pa.float32()),
    })  # fmt: skip


@pytest.mark.parametrize("hashed_rows", [1, 3, 64, 16384])
def test_hashes_are_those_of_results_written_before(monkeypatch, hashed_rows: int) -> None:
    monkeypatch.setattr("failmodes.warehouse.shards.format.HASHED_ROWS", hashed_rows)
    rows = every_type(100)
    pieces = pa.concat_tables([rows.slice(0, 0), rows.slice(0, 40), rows.slice(40, 1), rows.slice(41)])
    # the values that failmodes 0.1.0 stored: another would make every record "damaged"
    assert content_hash(rows) == content_hash(pieces) == "cd7cde7f85b52118209b1bfececdbacd"
    assert content_hash(rows.slice(13, 40)) == "0c86b81aa3d71ba7e779d698dca6261f"
    assert (
        content_hash(rows.schema.empty_table()) == content_hash(rows.slice(0, 0)) == "0593a57e75ac5d0e33709aea0b91cc97"
    )
