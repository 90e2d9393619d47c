"""How the warehouse changes: one writer at a time; the file is swapped as a whole."""

import os
import shutil
from pathlib import Path

import duckdb
import pytest
from synthetic_results import Synthetic, write_synthetic
from warehouse_files import python_in_background, write_a_step

from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.updates import Former, writer_lock
from failmodes.warehouse.database_schema import TABLES
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


def changed(path: Path, sql: str) -> Path:
    with duckdb.connect(str(path)) as con:
        con.execute(sql)
    return path


def hashes(path: Path) -> dict[str, object]:
    """Hash of the rows of every table, in their order."""
    with duckdb.connect(str(path), read_only=True) as con:
        con.execute("set threads = 1")
        return {
            name: con.execute(
                f"select md5(string_agg(hash(x)::varchar, ',')) from (select {name} as x from {name})"
            ).fetchall()
            for name in TABLES
            if name not in ("steps", "warehouse_info")
        }


def test_what_failmodes_wrote_is_known_as_such(sound_warehouse: Path) -> None:
    former = Former(sound_warehouse)
    assert former.is_ours
    assert former.left_out == []


@pytest.mark.parametrize(
    "sql",
    [
        "create table mine as select 7 as seven",
        "create type n as enum ('a')",
        "alter table models alter model_label set default 'x'; alter table models alter model_label drop default; "
        "alter table models add column x integer",
        "create table other as from models; drop table models; create table models as select * from other; drop table "
        "other; alter table models alter model_label type varchar collate nocase",
    ],
    ids=["a table", "a type", "a column", "a collation"],
)
def test_any_other_statement_is_not(warehouse_copy: Path, sql: str) -> None:
    assert not Former(changed(warehouse_copy, sql)).is_ours


def test_rows_and_their_order_are_the_same(warehouse_copy: Path) -> None:
    before = hashes(warehouse_copy)
    changed(warehouse_copy, "create table mine as select 7 as seven")
    write_a_step(warehouse_copy)
    assert hashes(warehouse_copy) == before
    assert warehouse_copy.read_bytes()[12:20] == (65).to_bytes(8, "little")
    with duckdb.connect(str(warehouse_copy), read_only=True) as con:
        assert con.execute("from mine").fetchall() == [(7,)]
        assert con.execute("select count(*) from steps").fetchall() == [(1,)]
        assert con.execute("select count(*) > 0 from outcomes").fetchall() == [(True,)]
    changed(warehouse_copy, "drop table mine")
    assert Former(warehouse_copy).is_ours


def test_odd_names_are_only_names(warehouse_copy: Path, tmp_path: Path) -> None:
    odd = '"a""; drop table models; --"'
    changed(warehouse_copy, f'create table {odd} as select 1 as "b""c"; create view {odd[:-1]}v" as select 1 as a')
    load([write_synthetic(tmp_path / "more", images=20, models=("Gamma",)).output], warehouse_copy)
    with duckdb.connect(str(warehouse_copy), read_only=True) as con:
        assert con.execute(f"from {odd}").fetchall() == [(1,)]
        assert con.execute("select count(*) from models").fetchall() == [(3,)]


def test_a_value_without_a_place_is_refused_in_one_line(warehouse_copy: Path, tmp_path: Path) -> None:
    changed(
        warehouse_copy,
        "alter table prediction_facts alter label type bigint; update prediction_facts set label = 70000",
    )
    before = warehouse_copy.read_bytes()
    more = write_synthetic(tmp_path / "more", images=20, models=("Gamma",)).output
    with pytest.raises(WarehouseError, match="not as failmodes wrote it"):
        load([more], warehouse_copy)
    assert warehouse_copy.read_bytes() == before


def test_who_changes_settings_loses_nothing(warehouse_copy: Path) -> None:
    changed(warehouse_copy, "create macro mine(x) as x + 1")
    before = warehouse_copy.read_bytes()
    with pytest.raises(WarehouseError, match="holds a macro mine, which failmodes did not make"):
        write_a_step(warehouse_copy)
    assert warehouse_copy.read_bytes() == before


def test_much_that_is_left_out_is_counted(warehouse_copy: Path) -> None:
    changed(warehouse_copy, "; ".join(f"create macro m{number}() as 1" for number in range(9)))
    assert Former(warehouse_copy).described().endswith("a macro m4 and 4 more")


def test_a_copy_takes_the_file_as_it_is(sound_warehouse: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(sound_warehouse, tmp_path / "w.duckdb"))
    write_a_step(path)
    assert hashes(path) == hashes(sound_warehouse)
