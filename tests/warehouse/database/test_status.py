"""The status of a warehouse: what it holds, which checks fail, what is stale."""

from pathlib import Path

from warehouse_files import steps_table

from failmodes.warehouse import schema
from failmodes.warehouse.database.status import warehouse_status
from failmodes.warehouse.database.updates import replace_derived_tables


def test_status_says_what_is_there(warehouse_copy: Path) -> None:
    replace_derived_tables(warehouse_copy, {"steps": steps_table("of another time")})
    status = warehouse_status(warehouse_copy)
    assert status.schema_version == schema.SCHEMA_VERSION
    assert status.size_bytes == warehouse_copy.stat().st_size
    assert (status.row_counts["predictions"], status.row_counts["steps"]) == (52 * 400, 1)
    rows = status.evaluations.select("model_label", "cell_count", "attention_cell_count", "image_count").rows()
    assert rows == [("Alpha", 26, 26, 400), ("Beta", 26, 26, 400)]
    assert all(result.passed for result in status.checks)
    assert status.stale_derived == ["steps"]
