"""The record: what is written is read back, damage is found, nothing appears half."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from failmodes.warehouse import schema
from failmodes.warehouse.errors import DamagedShardError, StorageError
from failmodes.warehouse.hashing import content_hash
from failmodes.warehouse.shards.format import list_record_files, read_verified, write_dimension
from failmodes.warehouse.storage.atomic import atomic_write, remove_stale_temporaries
from tests.synthetic_record import Synthetic, write_synthetic


def test_every_written_file_reads_back_with_its_hash(synthetic: Synthetic) -> None:
    files = list(list_record_files(synthetic.output, schema.PREDICTIONS))
    assert len(files) == 2 * (5 * 5 + 1)
    stored = read_verified(files[0])
    assert stored.rows.num_rows == 400
    assert stored.content_hash == content_hash(stored.rows)
    assert stored.facts["device"] == "cpu"


def test_flipped_bytes_never_change_rows_unseen(tmp_path) -> None:
    output = write_synthetic(tmp_path, images=40, models=("A",)).output
    path = next(list_record_files(output, schema.PREDICTIONS))
    intact, expected = path.read_bytes(), read_verified(path)
    found = 0
    positions = range(5, len(intact), len(intact) // 60)
    for position in positions:
        content = bytearray(intact)
        content[position] ^= 0x10
        path.write_bytes(bytes(content))
        try:
            assert read_verified(path) == expected  # a byte that no row depends on, such as a page's statistics
        except DamagedShardError:
            found += 1
    assert found > len(positions) / 2


def test_changed_facts_in_the_footer_are_found(tmp_path) -> None:
    output = write_synthetic(tmp_path, images=40, models=("A",)).output
    path = next(list_record_files(output, schema.PREDICTIONS))
    content = path.read_bytes()
    assert b'"device": "cpu"' in content
    path.write_bytes(content.replace(b'"device": "cpu"', b'"device": "gpu"'))
    with pytest.raises(DamagedShardError, match="seal"):
        read_verified(path)


def test_truncated_file_and_misplaced_file_are_found(tmp_path) -> None:
    output = write_synthetic(tmp_path, images=40, models=("A",)).output
    first, second, *_ = list_record_files(output, schema.PREDICTIONS)
    second.write_bytes(first.read_bytes())
    with pytest.raises(DamagedShardError, match="does not belong here"):
        read_verified(second)
    first.write_bytes(first.read_bytes()[:-20])
    with pytest.raises(DamagedShardError, match="cannot be read"):
        read_verified(first)


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
def test_hashes_are_those_of_records_written_before(monkeypatch, hashed_rows: int) -> None:
    monkeypatch.setattr("failmodes.warehouse.hashing.HASHED_ROWS", hashed_rows)
    rows = every_type(100)
    pieces = pa.concat_tables([rows.slice(0, 0), rows.slice(0, 40), rows.slice(40, 1), rows.slice(41)])
    # the values that failmodes 0.1.0 stored: another would make every record "damaged"
    assert content_hash(rows) == content_hash(pieces) == "cd7cde7f85b52118209b1bfececdbacd"
    assert content_hash(rows.slice(13, 40)) == "0c86b81aa3d71ba7e779d698dca6261f"
    assert (
        content_hash(rows.schema.empty_table()) == content_hash(rows.slice(0, 0)) == "0593a57e75ac5d0e33709aea0b91cc97"
    )


def test_many_row_groups_read_back_as_one(tmp_path, monkeypatch) -> None:
    rows = pa.table({"dataset_id": ["d"] * 100, "class_index": range(100), "class_name": [f"{i}" for i in range(100)]})
    whole = read_verified(write_dimension(tmp_path / "whole", schema.CLASSES, "d", rows))
    monkeypatch.setattr("failmodes.warehouse.shards.format.ROW_GROUP_ROWS", 7)
    pieces = read_verified(write_dimension(tmp_path / "pieces", schema.CLASSES, "d", rows))
    assert (pieces.content_hash, pieces.rows) == (whole.content_hash, whole.rows)


def _write_half(path) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt


def test_failed_write_leaves_the_old_file_and_no_temporary(tmp_path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        _write_half(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable_folder_says_so(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write .*folder"), atomic_write(tmp_path / "file" / "x") as temporary:
        temporary.write_text("never")


def test_sweep_removes_only_leftovers_of_dead_processes(tmp_path) -> None:
    (tmp_path / ".tmp-1-a").write_text("init is alive")
    (tmp_path / ".tmp-999999999-b").write_text("dead")
    assert remove_stale_temporaries(tmp_path) == 1
    assert [p.name for p in tmp_path.iterdir()] == [".tmp-1-a"]
