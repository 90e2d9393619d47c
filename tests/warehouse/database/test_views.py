"""Views: what they read, in an order in which they can be made."""

import duckdb

from failmodes.warehouse.database.views import relation_names, view_definitions, with_sources


def test_each_comes_after_what_it_reads_and_with_it() -> None:
    with duckdb.connect() as con:
        found = with_sources(con, ["Reliability_Bins", "nothing"])
        assert found[-1] == "reliability_bins"
        assert {"cell_confidence_bins", "shards"} <= set(found)
        assert {"predictions", "prediction_facts"}.isdisjoint(found)
        order = with_sources(con, relation_names())
        assert sorted(order) == sorted(relation_names())
        for name, sql in view_definitions().items():
            assert all(order.index(source) < order.index(name) for source in con.get_table_names(sql)), name
