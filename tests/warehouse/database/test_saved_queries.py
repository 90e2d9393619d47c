"""What saved queries may be given: declared, bound, checked; and the same files in another DuckDB client."""

import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from failmodes.runtime.errors import QueryError
from failmodes.warehouse.database.query import query_batches, run_query
from failmodes.warehouse.database.saved_queries import saved_queries

QUERIES = saved_queries()


@pytest.fixture(scope="module")
def asked_warehouse(query_folder: Path) -> Path:
    """A warehouse with all that saved queries read, what is derived included."""
    return query_folder / "warehouse.duckdb"


@pytest.mark.nightly
@pytest.mark.parametrize("name", QUERIES)
def test_a_query_declares_what_it_reads_and_is_narrowed_down_by_it(asked_warehouse: Path, name: str) -> None:
    query = QUERIES[name]
    assert set(query.parameters) == set(re.findall(r"getvariable\('(\w+)'\)", query.sql)) > set()
    every = run_query(asked_warehouse, f"@{name}")
    if "model" in query.parameters:
        labels = [column for column in every.columns if column in {"model_label", "model_label_a", "model_label_b"}]
        rows = run_query(asked_warehouse, f"@{name}", {"model": "Beta"})
        assert labels
        assert all("Beta" in row for row in rows.select(labels).rows())
        both = run_query(asked_warehouse, f"@{name}", {"model": ["Beta", "Alpha"]})
        assert_frame_equal(both, every, rel_tol=1e-12)  # threads add floats up in whatever order
    if "corruption" in query.parameters:
        rows = run_query(asked_warehouse, f"@{name}", {"corruption": "fog"})
        for column in {"corruption", "corruption_label", "most_common_corruption"} & set(rows.columns):
            assert set(rows[column].str.to_lowercase()) <= {"fog"}, column


def test_the_worst_cells_of_a_corruption_are_the_worst_of_its_own(asked_warehouse: Path) -> None:
    every = run_query(asked_warehouse, "select * from accuracy_by_severity where severity > 0")
    rows = run_query(asked_warehouse, "@worst_cells", {"corruption": ["fog", "contrast"], "model": "Alpha", "rows": 4})
    mine = every.filter(pl.col("corruption").is_in(["fog", "contrast"]), pl.col("model_label") == "Alpha")
    assert rows["accuracy_drop"].to_list() == mine["accuracy_drop"].sort(descending=True).head(4).to_list()
    given = run_query(asked_warehouse, "select getvariable('corruption') as given")
    assert given["given"].to_list() == [None], "what one question was given another does not see"


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("worst_cells", {"corruption": "fgo"}, "no corruption 'fgo' here: did you mean 'fog'?"),
        ("worst_cells", {"model": ["Alpha", "Gamma"]}, "no model 'Gamma' here: expected Alpha, Beta"),
        ("worst_cells", {"modle": "Alpha"}, "@worst_cells has no parameter 'modle': did you mean 'model'?"),
        ("worst_cells", {"rows": 0}, "rows is 0: expected a whole number from 1"),
        ("worst_cells", {"corruption": "fog'; drop table models; --"}, "no corruption"),
        ("worst_cells", {"corruption": 3}, "no corruption 3 here"),
        ("worst_cell", {}, "unknown saved query @worst_cell: did you mean 'worst_cells'"),
    ],
    ids=str,
)
def test_a_bad_parameter_is_one_clear_line(
    asked_warehouse: Path, name: str, given: dict[str, object], message: str
) -> None:
    with pytest.raises(QueryError) as caught:
        run_query(asked_warehouse, f"@{name}", given)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_batches_take_parameters_and_a_limit(asked_warehouse: Path) -> None:
    given = {"corruption": "fog"}
    with query_batches(asked_warehouse, "@worst_cells", given, most=3) as batches:
        rows = pl.concat(batches)
    assert rows.equals(run_query(asked_warehouse, "@worst_cells", given).head(3))


@pytest.fixture(scope="module")
def client(asked_warehouse: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Another program's connection to the warehouse."""
    with duckdb.connect(str(asked_warehouse), read_only=True) as con:
        yield con


@pytest.mark.test_all
@pytest.mark.parametrize("name", QUERIES)
def test_a_query_returns_names_and_its_file_runs_in_another_client(
    asked_warehouse: Path, client: duckdb.DuckDBPyConnection, name: str
) -> None:
    of_fog = "corruption" in QUERIES[name].parameters
    rows = run_query(asked_warehouse, f"@{name}", {"corruption": "fog"} if of_fog else {})
    assert rows.height > 0 or name == "confidence_worse_than_chance"  # which nothing is in these results
    assert not {"evaluation_id", "dataset_id"} & set(rows.columns), "names, not identities"
    client.execute("set variable corruption = ['fog']" if of_fog else "reset variable corruption")
    assert client.sql(QUERIES[name].sql).pl().height == rows.height
