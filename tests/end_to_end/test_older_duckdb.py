"""The warehouse between DuckDB 1.4, which `make test-floors` installs with Harlequin and our package, and today's."""

import json
import os
import subprocess
from pathlib import Path

import polars as pl
import pytest
from synthetic_results import Synthetic
from warehouse_files import change_file

from failmodes.sql import sql_literal
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.export import export_evaluations
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.query import run_query
from failmodes.warehouse.database.views import relation_names

COUNTS = """
import json, sys, duckdb
with duckdb.connect(sys.argv[1], read_only=True) as con:
    con.execute("set enable_progress_bar = false")  # which it prints to stdout where a question takes long
    names = json.load(sys.stdin)
    for name in names:
        con.execute(f"from {name} limit 5").fetchall()  # values too: some types need further packages
    counts = {name: con.execute(f"select count(*) from (from {name})").fetchone()[0] for name in names}
print(json.dumps({"version": duckdb.__version__, "counts": counts}))
"""
HARLEQUIN = """
import sys
from harlequin_duckdb import DuckDbAdapter
connection = DuckDbAdapter((sys.argv[1],), read_only=True).connect()
print(connection.execute("select count(*) from accuracy_by_severity").fetchall())
"""
LOAD = """
import sys
from pathlib import Path
from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.warehouse.database.load import load
load([Path(sys.stdin.read())], Path(sys.argv[1]), derivation=DERIVATION)
"""
QUERY = """
import sys
from pathlib import Path
from failmodes.warehouse.database.query import run_query
print(run_query(Path(sys.argv[1]), sys.stdin.read()).write_json())
"""
ACCURACIES = "select model_label, corruption, severity, accuracy from accuracy_by_severity order by all"


@pytest.fixture(scope="module")
def older_python() -> str:
    named = os.environ.get("FAILMODES_FLOORS")
    if not named:
        pytest.skip("FAILMODES_FLOORS is unset: it names a Python with the oldest versions and Harlequin")
    return str(Path(named).absolute())


def ask(python: str, program: str, warehouse: Path, given: str = "") -> str:
    done = subprocess.run([python, "-c", program, str(warehouse)], input=given, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return done.stdout


def counts(warehouse: Path) -> dict[str, int]:
    with open_warehouse(warehouse) as con:
        return {name: con.execute(f"select count(*) from {name}").fetchall()[0][0] for name in relation_names()}


@pytest.mark.nightly
def test_every_table_and_view_is_there_in_duckdb_1_4(older_python: str, sound_warehouse: Path) -> None:
    result = json.loads(ask(older_python, COUNTS, sound_warehouse, json.dumps(relation_names())))
    assert result["version"].startswith("1.4.")
    assert result["counts"] == counts(sound_warehouse)


@pytest.mark.nightly
def test_an_exported_baseline_opens_too(older_python: str, sound_warehouse: Path, tmp_path: Path) -> None:
    with open_warehouse(sound_warehouse) as con:
        ids = [one for (one,) in con.execute("select evaluation_id from evaluations").fetchall()]
    export_evaluations(sound_warehouse, ids[:1], tmp_path / "baseline.duckdb")
    result = json.loads(ask(older_python, COUNTS, tmp_path / "baseline.duckdb", json.dumps(relation_names())))
    assert result["counts"]["prediction_facts"] == 26 * 400


@pytest.mark.nightly
def test_the_package_reads_it_there(older_python: str, sound_warehouse: Path) -> None:
    assert pl.read_json(ask(older_python, QUERY, sound_warehouse, ACCURACIES).encode()).equals(
        pl.read_json(run_query(sound_warehouse, ACCURACIES).write_json().encode())
    )


@pytest.mark.nightly
def test_what_duckdb_1_4_writes_opens_here(
    older_python: str, sound_warehouse: Path, synthetic: Synthetic, tmp_path: Path
) -> None:
    path = tmp_path / "w.duckdb"
    ask(older_python, LOAD, path, str(synthetic.output))
    assert path.read_bytes()[12:20] == (65).to_bytes(8, "little")
    assert counts(path) == counts(sound_warehouse)
    assert run_query(path, ACCURACIES).equals(run_query(sound_warehouse, ACCURACIES))
    before = path.read_bytes()
    load([synthetic.output], path)
    assert path.read_bytes() == before, "there was nothing left to load"


@pytest.mark.nightly
def test_harlequin_opens_it(older_python: str, sound_warehouse: Path) -> None:
    assert "[[60]]" in ask(older_python, HARLEQUIN, sound_warehouse)


@pytest.mark.test_all
def test_a_file_of_newer_storage_is_brought_to_the_older_one(synthetic: Synthetic, tmp_path: Path) -> None:
    import duckdb

    path, newer = tmp_path / "w.duckdb", tmp_path / "it's newer.duckdb"
    load([synthetic.output], path)
    with duckdb.connect() as con:
        con.execute(f"attach '{path}' as w (read_only)")
        con.execute(f"attach {sql_literal(str(newer))} as n (storage_version 'latest')")
        con.execute("copy from database w to n")
    change_file(
        newer, "update warehouse_info set views_fingerprint = 'before'", "create table mine as select 7 as seven"
    )
    former = newer.read_bytes()[12]
    load([synthetic.output], newer)
    assert path.read_bytes()[12:20] == newer.read_bytes()[12:20] == (65).to_bytes(8, "little")
    assert former != 65
    with open_warehouse(newer) as con:
        assert con.sql("from warehouse.main.mine").fetchall() == [(7,)]
        assert con.execute("select count(*) from prediction_facts").fetchone() == (2 * 26 * 400,)
