"""The warehouse in clients that people have: DuckDB 1.4 and Harlequin in an environment of their own, Polars here."""

import json
import os
import subprocess
from pathlib import Path

import polars as pl
import pytest
from synthetic_record import Synthetic

from failmodes.warehouse.database.column_meanings import column_meanings
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.export import export_evaluations
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.relations import relation_names

COUNTS = """
import json, sys, duckdb
with duckdb.connect(sys.argv[1], read_only=True) as con:
    con.execute("set enable_progress_bar = false")  # which it prints to stdout where a question takes long
    names = json.load(sys.stdin)
    counts = {name: con.execute(f"select count(*) from (from {name})").fetchone()[0] for name in names}
print(json.dumps({"version": duckdb.__version__, "counts": counts}))
"""
COMMENTS = """
import json, sys, duckdb
with duckdb.connect(sys.argv[1], read_only=True) as con:
    query = "select table_name, column_name, comment from duckdb_columns() where schema_name = 'main' and not internal"
    print(json.dumps(con.execute(query).fetchall()))
"""
HARLEQUIN = """
import sys
from harlequin_duckdb import DuckDbAdapter
connection = DuckDbAdapter((sys.argv[1],), read_only=True).connect()
print(connection.execute("select count(*) from accuracy_by_severity").fetchall())
print([item.label for item in connection.get_catalog().items])
"""


@pytest.fixture(scope="module")
def warehouse(synthetic: Synthetic, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("older") / "warehouse.duckdb"
    load([synthetic.output], path)
    return path


@pytest.fixture(scope="module")
def older_python() -> str:
    named = os.environ.get("FAILMODES_OLDER_DUCKDB")
    if not named:
        pytest.skip("FAILMODES_OLDER_DUCKDB is unset: it names a Python with DuckDB 1.4 and Harlequin")
    return str(Path(named).absolute())


def ask(python: str, program: str, warehouse: Path, given: str = "") -> str:
    done = subprocess.run([python, "-c", program, str(warehouse)], input=given, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return done.stdout


def test_every_table_and_view_is_there_in_duckdb_1_4(older_python: str, warehouse: Path) -> None:
    names = relation_names()
    answer = json.loads(ask(older_python, COUNTS, warehouse, json.dumps(names)))
    assert answer["version"].startswith("1.4.")
    with open_warehouse(warehouse) as con:
        assert answer["counts"] == {name: con.execute(f"select count(*) from {name}").fetchone()[0] for name in names}


def test_every_column_says_there_what_it_means(older_python: str, warehouse: Path) -> None:
    found = json.loads(ask(older_python, COMMENTS, warehouse))
    assert {name for name, _, _ in found} == set(relation_names())
    assert all(comment == column_meanings(name)[column] for name, column, comment in found)


def test_an_exported_baseline_opens_too(older_python: str, warehouse: Path, tmp_path: Path) -> None:
    with open_warehouse(warehouse) as con:
        ids = [one for (one,) in con.execute("select evaluation_id from evaluations").fetchall()]
    export_evaluations(warehouse, ids[:1], tmp_path / "baseline.duckdb")
    answer = json.loads(ask(older_python, COUNTS, tmp_path / "baseline.duckdb", json.dumps(relation_names())))
    assert answer["counts"]["predictions"] == 26 * 400


def test_harlequin_opens_it(older_python: str, warehouse: Path) -> None:
    assert "[[60]]" in ask(older_python, HARLEQUIN, warehouse)


def test_polars_scans_the_record(synthetic: Synthetic) -> None:
    rows = pl.scan_parquet(synthetic.output / "record" / "predictions" / "**" / "*.parquet", hive_partitioning=True)
    assert rows.filter(pl.col("corruption") == "fog").select(pl.len()).collect().item() == 2 * 5 * 400


def test_a_file_of_newer_storage_is_brought_to_the_older_one(synthetic: Synthetic, tmp_path: Path) -> None:
    import duckdb

    path, newer = tmp_path / "w.duckdb", tmp_path / "newer.duckdb"
    load([synthetic.output], path)
    with duckdb.connect() as con:
        con.execute(f"attach '{path}' as w (read_only)")
        con.execute(f"attach '{newer}' as n (storage_version 'latest')")
        con.execute("copy from database w to n")
    with duckdb.connect(str(newer)) as con:
        con.execute("update warehouse_info set views_fingerprint = 'before'")
        con.execute("create table mine as select 7 as seven")
    former = newer.read_bytes()[12]
    load([synthetic.output], newer)
    assert path.read_bytes()[12:20] == newer.read_bytes()[12:20] == (65).to_bytes(8, "little")
    assert former != 65
    with open_warehouse(newer) as con:
        assert con.sql("from warehouse.main.mine").fetchall() == [(7,)]
        assert con.execute("select count(*) from predictions").fetchone() == (2 * 26 * 400,)
