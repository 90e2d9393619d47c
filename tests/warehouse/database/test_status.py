"""The status of a warehouse: what it holds, which checks fail, what is stale."""

import shutil
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from synthetic_results import Synthetic
from warehouse_files import ensure_shapes

from failmodes.analysis.judging.stored import DERIVATION
from failmodes.warehouse import schema
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.status import warehouse_status
from failmodes.warehouse.shards.format import Cell, ShardKey, read_verified, shard_path, write_shard


@pytest.mark.slow
def test_status_says_what_is_there(warehouse_copy: Path) -> None:
    ensure_shapes(warehouse_copy)
    status = warehouse_status(warehouse_copy, derivation=DERIVATION)
    assert status.schema_version == schema.SCHEMA_VERSION
    assert status.size_bytes == warehouse_copy.stat().st_size
    assert (status.row_counts["prediction_facts"], status.row_counts["steps"]) == (52 * 400, 2 * 5 * 5)
    rows = status.evaluations.select("model_label", "cell_count", "attention_cell_count", "image_count").rows()
    assert rows == [("Alpha", 26, 26, 400), ("Beta", 26, 26, 400)]
    assert all(result.passed for result in status.checks)
    assert status.stale_derived == ["findings", "findings of pairs"]
    with duckdb.connect(str(warehouse_copy)) as con:
        con.execute("update computed set definition = 'of another version' where name in ('shapes', 'cell_confusion')")
    stale = warehouse_status(warehouse_copy, derivation=DERIVATION).stale_derived
    assert stale == ["cell_confusion", "shapes", "findings", "findings of pairs"]


@pytest.mark.slow
def test_what_another_program_changed_is_found_by_a_full_status(warehouse_copy: Path) -> None:
    assert all(result.passed for result in warehouse_status(warehouse_copy, full=True).checks)
    with duckdb.connect(str(warehouse_copy)) as con:
        con.execute("update prediction_facts set confidence = 1.5 where image_id = 3")
    assert all(result.passed for result in warehouse_status(warehouse_copy).checks)
    broken = {check.name: check for check in warehouse_status(warehouse_copy, full=True).checks if not check.passed}
    assert broken.keys() == {"probabilities_in_range"}


@pytest.mark.slow
def test_what_a_load_found_to_break_a_check_is_shown_with_its_rows(synthetic: Synthetic, tmp_path: Path) -> None:
    output = Path(shutil.copytree(synthetic.output, tmp_path / "out"))
    fog = ShardKey(synthetic.evaluations["Alpha"], Cell("fog", Decimal("3.000")))
    rows = read_verified(shard_path(output, schema.PREDICTION_FACTS, fog)).rows
    place = rows.column_names.index("confidence")
    write_shard(
        output, schema.PREDICTION_FACTS, fog, rows.set_column(place, "confidence", pa.array([1.5] * 400, "float32"))
    )
    load([output], tmp_path / "w.duckdb")
    (broken,) = [check for check in warehouse_status(tmp_path / "w.duckdb").checks if not check.passed]
    assert (broken.name, broken.row_count, broken.examples.height) == ("probabilities_in_range", 400, 5)
    shutil.rmtree(output)
    shutil.copytree(synthetic.output, output)
    load([output], tmp_path / "w.duckdb")
    assert all(check.passed for check in warehouse_status(tmp_path / "w.duckdb").checks)
