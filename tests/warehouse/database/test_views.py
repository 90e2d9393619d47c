"""Views: installed again when their SQL has changed, each after those it reads."""

from pathlib import Path

import duckdb
from synthetic_record import Synthetic
from warehouse_files import value

from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.views import topological_order


def test_changed_views_are_installed_without_new_shards(record: Synthetic, tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    load([record.output], path)
    with duckdb.connect(str(path)) as con:
        con.execute("create or replace view hardest_images as select 1 as nothing")
        con.execute("update warehouse_info set views_fingerprint = 'older'")
    assert load([record.output], path).swapped
    assert value(path, "select count(*) from hardest_images") == 40
    assert load([record.output], path).swapped is False


def test_views_come_after_those_they_read() -> None:
    with duckdb.connect() as con:
        order = topological_order(con, {"c": "from b", "b": "select * from a join t on true", "a": "select 1"})
    assert order == ["a", "b", "c"]
