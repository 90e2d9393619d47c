"""Tables: made and documented by the contract, checked against its version; views: installed anew when changed."""

import re
from pathlib import Path

import duckdb
import pytest
from synthetic_results import Synthetic
from warehouse_files import change_file, value

from failmodes.runtime.errors import WarehouseError
from failmodes.warehouse import schema
from failmodes.warehouse.database.connection import reading_order
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database_schema import DERIVED, SHARDS


@pytest.mark.test_all
def test_another_schema_version_asks_for_a_rebuild_and_changed_views_are_installed(
    results: Synthetic, tmp_path: Path
) -> None:
    path = tmp_path / "w.duckdb"
    load([results.output], path)
    change_file(
        path,
        "create or replace view hardest_images as select 1 as nothing",
        "update warehouse_info set views_fingerprint = 'older'",
    )
    report = load([results.output], path)
    assert (report.swapped, report.new_shards) == (True, 0)
    assert value(path, "select count(*) from hardest_images") == 40
    change_file(path, "update warehouse_info set schema_version = '7.3'", "alter table shards drop column content_hash")
    for attempt in (lambda: load([results.output], path), lambda: value(path, "select 1")):
        with pytest.raises(WarehouseError, match=r"schema version 7\.3, this failmodes reads \d: .*--rebuild"):
            attempt()
    older = path.read_bytes()
    rebuilt = load([results.output], path, rebuild=True)
    assert rebuilt.new_shards == 22
    assert rebuilt.set_aside is not None
    assert rebuilt.set_aside.read_bytes() == older
    assert value(path, "select schema_version from warehouse_info") == schema.SCHEMA_VERSION


def test_results_of_another_schema_version_are_refused(results: Synthetic, tmp_path: Path, monkeypatch) -> None:
    own = re.escape(schema.SCHEMA_VERSION)
    monkeypatch.setattr(schema, "SCHEMA_VERSION", "other")
    with pytest.raises(WarehouseError, match=rf"rows\.parquet has schema version {own}, this failmodes reads other: "):
        load([results.output], tmp_path / "w.duckdb")


def test_tables_are_documented_by_the_contract(con: duckdb.DuckDBPyConnection) -> None:
    for table in (*schema.FACTS, *schema.DIMENSIONS, SHARDS, *DERIVED):
        found = con.execute(
            "select column_name, comment from duckdb_columns() "
            "where database_name = 'warehouse' and table_name = ? order by column_index",
            [table.name],
        ).fetchall()
        assert found == [(column.name, column.meaning) for column in reading_order(table)]
