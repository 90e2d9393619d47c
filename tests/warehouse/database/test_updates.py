"""How the warehouse changes: one writer at a time; the file is swapped as a whole."""

import os
from pathlib import Path

import duckdb
import pytest
from synthetic_results import Synthetic
from warehouse_files import python_in_background, write_a_step

from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.updates import writer_lock
from failmodes.warehouse.errors import StudyError, WarehouseError


@pytest.mark.slow
def test_views_of_a_stranger_are_replaced(warehouse_copy: Path) -> None:
    with duckdb.connect(str(warehouse_copy)) as con:
        con.execute("create or replace view outcomes as select 1 as nothing")
    write_a_step(warehouse_copy)
    with duckdb.connect(str(warehouse_copy)) as con:
        assert con.execute("select count(*) > 1 from outcomes").fetchall() == [(True,)]


def test_only_an_existing_warehouse_is_changed(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="there is no warehouse"):
        write_a_step(tmp_path / "none.duckdb")
    assert not (tmp_path / "none.duckdb").exists()


@pytest.mark.slow
def test_a_second_load_at_the_same_time_is_refused(results: Synthetic, tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    with writer_lock(path), pytest.raises(WarehouseError, match=f"being loaded by process {os.getpid()}"):
        load([results.output], path)
    assert load([results.output], path).swapped


@pytest.mark.slow
def test_a_database_that_others_write_to_is_refused(results: Synthetic, tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    load([results.output], path)
    program = f"import duckdb, sys; c = duckdb.connect({str(path)!r}); print('open', flush=True); sys.stdin.read()"
    with python_in_background(program) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        with pytest.raises(WarehouseError, match="open for writing in another program"):
            load([results.output], path)
        with pytest.raises(WarehouseError, match="open for writing in another program"), open_warehouse(path):
            pass
        writer.kill()
    path.with_name("w.duckdb.wal").write_bytes(b"left behind")
    with pytest.raises(WarehouseError, match="left changes"):
        load([results.output], path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b"no database"), "cannot be opened"),
        (lambda path: duckdb.connect(str(path)).close(), "no warehouse of failmodes"),
        (lambda path: path.mkdir(), "it is a folder"),
    ],
    ids=["garbage", "another database", "folder"],
)
@pytest.mark.parametrize("rebuild", [False, True])
def test_what_is_no_warehouse_is_never_overwritten(results, tmp_path, make, message: str, rebuild: bool) -> None:
    path = tmp_path / "w.duckdb"
    make(path)
    with pytest.raises((StudyError, WarehouseError), match=message):
        load([results.output], path, rebuild=rebuild)


def test_of_a_link_the_file_that_it_leads_to_is_replaced(warehouse_copy: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.duckdb"
    link.symlink_to(warehouse_copy)
    write_a_step(link)
    assert link.is_symlink()
    with open_warehouse(warehouse_copy) as con:
        assert con.sql("from steps").pl().height > 0
