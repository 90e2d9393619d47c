"""The record: what is written is read back, and damage is found."""

import pyarrow as pa
import pytest
from synthetic_results import Synthetic, write_synthetic

from failmodes.warehouse import schema
from failmodes.warehouse.errors import DamagedShardError
from failmodes.warehouse.shards.format import content_hash, list_results_files, read_verified, write_dimension


def test_every_written_file_reads_back_with_its_hash(synthetic: Synthetic) -> None:
    files = list(list_results_files(synthetic.output, schema.PREDICTION_FACTS))
    assert len(files) == 2 * (5 * 5 + 1)
    stored = read_verified(files[0])
    assert stored.rows.num_rows == 400
    assert stored.content_hash == content_hash(stored.rows)
    assert stored.facts["device"] == "cpu"


def test_flipped_bytes_never_change_rows_unseen(tmp_path) -> None:
    output = write_synthetic(tmp_path, images=40, models=("A",)).output
    path = next(list_results_files(output, schema.PREDICTION_FACTS))
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
    path = next(list_results_files(output, schema.PREDICTION_FACTS))
    content = path.read_bytes()
    assert b'"device": "cpu"' in content
    path.write_bytes(content.replace(b'"device": "cpu"', b'"device": "gpu"'))
    with pytest.raises(DamagedShardError, match="seal"):
        read_verified(path)


def test_truncated_file_and_misplaced_file_are_found(tmp_path) -> None:
    output = write_synthetic(tmp_path, images=40, models=("A",)).output
    first, second, *_ = list_results_files(output, schema.PREDICTION_FACTS)
    second.write_bytes(first.read_bytes())
    with pytest.raises(DamagedShardError, match="does not belong here"):
        read_verified(second)
    first.write_bytes(first.read_bytes()[:-20])
    with pytest.raises(DamagedShardError, match="cannot be read"):
        read_verified(first)


def test_many_row_groups_read_back_as_one(tmp_path, monkeypatch) -> None:
    names = [f"{i}" for i in range(100)]
    rows = pa.table({"dataset_id": ["d"] * 100, "class_index": range(100), "class_name": names, "wordnet_id": names})
    whole = read_verified(write_dimension(tmp_path / "whole", schema.CLASSES, "d", rows))
    monkeypatch.setattr("failmodes.warehouse.shards.format.ROW_GROUP_ROWS", 7)
    pieces = read_verified(write_dimension(tmp_path / "pieces", schema.CLASSES, "d", rows))
    assert (pieces.content_hash, pieces.rows) == (whole.content_hash, whole.rows)
