"""The status of a warehouse: what it holds, which checks fail, what is stale."""

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from rewritten_shards import be_confident
from synthetic_results import Synthetic
from warehouse_files import change_file

from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.warehouse import schema
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.status import warehouse_status
from failmodes.warehouse.shards.format import Cell, ShardKey, read_verified, shard_path, write_shard

FOG = Cell("fog", Decimal("3.000"))


def broken(warehouse: Path, *, full: bool = False) -> dict[str, tuple[int, int]]:
    """Rows that break a check and those that are shown, by its name."""
    checks = warehouse_status(warehouse, full=full).checks
    return {check.name: (check.row_count, check.examples.height) for check in checks if not check.passed}


@pytest.mark.test_all
def test_status_says_what_is_there_and_what_is_stale(warehouse_copy: Path) -> None:
    status = warehouse_status(warehouse_copy, derivation=DERIVATION)
    assert status.schema_version == schema.SCHEMA_VERSION
    assert status.size_bytes == warehouse_copy.stat().st_size
    assert (status.row_counts["prediction_facts"], status.row_counts["steps"]) == (52 * 400, 2 * 5 * 5)
    rows = status.evaluations.select("model_label", "cell_count", "attention_cell_count", "image_count").rows()
    assert rows == [("Alpha", 26, 26, 400), ("Beta", 26, 26, 400)]
    assert all(result.passed for result in status.checks)
    assert status.stale_derived == []
    change_file(
        warehouse_copy,
        "update computed set definition = 'of another version' where name in ('shapes', 'cell_confusion')",
    )
    stale = warehouse_status(warehouse_copy, derivation=DERIVATION).stale_derived
    assert stale == ["cell_confusion", "shapes", "findings"]


@pytest.mark.test_all
def test_what_another_program_changed_is_found_by_a_full_status(warehouse_copy: Path) -> None:
    assert broken(warehouse_copy, full=True) == {}
    change_file(warehouse_copy, "update prediction_facts set confidence = 1.5 where image_id = 3")
    assert broken(warehouse_copy) == {}
    assert broken(warehouse_copy, full=True).keys() == {"probabilities_in_range"}


@pytest.mark.test_all
def test_what_a_load_found_to_break_a_check_is_shown_with_its_rows(results: Synthetic, tmp_path: Path) -> None:
    shard = ShardKey(results.evaluations["Alpha"], FOG)
    rows: pa.Table = read_verified(shard_path(results.output, schema.PREDICTION_FACTS, shard)).rows
    be_confident(results, shard, [1.5] * 40)
    load([results.output], tmp_path / "w.duckdb")
    assert broken(tmp_path / "w.duckdb") == {"probabilities_in_range": (40, 5)}
    write_shard(results.output, schema.PREDICTION_FACTS, shard, rows)
    load([results.output], tmp_path / "w.duckdb")
    assert broken(tmp_path / "w.duckdb") == {}
