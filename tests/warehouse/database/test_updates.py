"""How the warehouse changes: one writer at a time; the file is swapped as a whole, and takes over what is ours."""

import os
from pathlib import Path

import duckdb
import pytest
from synthetic_results import Synthetic, write_synthetic
from warehouse_files import change_file, python_in_background, write_a_step

from failmodes.runtime.errors import StudyError, WarehouseError
from failmodes.warehouse.database import updates
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.updates import writer_lock
from failmodes.warehouse.database_schema import TABLES


def answers(path: Path, sql: str) -> list[tuple]:
    with duckdb.connect(str(path), read_only=True) as con:
        con.execute("set threads = 1")
        return con.execute(sql).fetchall()


def hashes(path: Path) -> dict[str, object]:
    """Hash of the rows of every table, in their order."""
    kept = [name for name in TABLES if name not in ("steps", "warehouse_info")]
    hashed = "select md5(string_agg(hash(x)::varchar, ',')) from (select {0} as x from {0})"
    return {name: answers(path, hashed.format(name)) for name in kept}


def test_a_second_load_at_the_same_time_is_refused_and_what_killed_ones_left_is_removed(
    results: Synthetic, tmp_path: Path
) -> None:
    path = tmp_path / "w.duckdb"
    with writer_lock(path), pytest.raises(WarehouseError, match=f"being loaded by process {os.getpid()}"):
        load([results.output], path)
    (tmp_path / ".tmp-1-w.duckdb.spill").mkdir()
    (tmp_path / ".tmp-1-w.duckdb").write_text("half")
    assert load([results.output], path).swapped
    assert not list(tmp_path.glob(".tmp-*"))


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
        writer.kill()
    path.with_name("w.duckdb.wal").write_bytes(b"left behind")
    with pytest.raises(WarehouseError, match="left changes"):
        load([results.output], path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b"no database"), "cannot be opened"),
        (lambda path: duckdb.connect(str(path)).close(), "not a warehouse of failmodes"),
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


def test_only_an_existing_warehouse_is_changed(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="does not exist"):
        write_a_step(tmp_path / "none.duckdb")
    assert not (tmp_path / "none.duckdb").exists()


@pytest.mark.slow
def test_rows_and_their_order_are_carried_over(warehouse_copy: Path, tmp_path: Path) -> None:
    before = hashes(warehouse_copy)
    link = tmp_path / "link.duckdb"
    link.symlink_to(warehouse_copy)
    write_a_step(link)
    assert link.is_symlink(), "the file that it leads to is replaced"
    assert hashes(warehouse_copy) == before
    change_file(
        warehouse_copy, "create table mine as select 7 as seven; create or replace view outcomes as select 1 as x"
    )
    write_a_step(warehouse_copy)
    assert hashes(warehouse_copy) == before
    assert warehouse_copy.read_bytes()[12:20] == (65).to_bytes(8, "little"), "DuckDB 1.2 can read it"
    asked = "select (from mine), (select count(*) from steps), (select count(*) > 1 from outcomes)"
    assert answers(warehouse_copy, asked) == [(7, 50 + 2, True)]


def test_only_tables_of_plain_types_are_carried_over_and_odd_names_are_only_names(
    warehouse_copy: Path, tmp_path: Path
) -> None:
    odd = '"a""; drop table models; --"'
    change_file(
        warehouse_copy,
        f'create table {odd} as select 1 as "b""c"; create view {odd[:-1]}v" as select 1 as a; '
        "create type mood as enum ('a'); create table typed as select 1 as plain, 'a'::mood as mine",
    )
    load([write_synthetic(tmp_path / "more", images=20, models=("Gamma",)).output], warehouse_copy)
    assert answers(warehouse_copy, f"from {odd}") == [(1,)]
    assert answers(warehouse_copy, "select count(*) from models") == [(3,)]
    tables = {name for (name,) in answers(warehouse_copy, "select table_name from duckdb_tables()")}
    assert tables - TABLES.keys() == {'a"; drop table models; --'}


def test_a_value_without_a_place_is_refused(warehouse_copy: Path, tmp_path: Path) -> None:
    wide = "alter table prediction_facts alter label type bigint; update prediction_facts set label = 70000"
    before = change_file(warehouse_copy, wide).read_bytes()
    more = write_synthetic(tmp_path / "more", images=20, models=("Gamma",)).output
    with pytest.raises(WarehouseError, match="was not written by failmodes"):
        load([more], warehouse_copy)
    assert warehouse_copy.read_bytes() == before


def test_who_changes_settings_loses_nothing(warehouse_copy: Path) -> None:
    change_file(warehouse_copy, "; ".join(f"create macro m{number}() as 1" for number in range(9)))
    before = warehouse_copy.read_bytes()
    with pytest.raises(WarehouseError, match="holds a macro m0, .*, a macro m4 and 4 more, which failmodes did not"):
        write_a_step(warehouse_copy)
    assert warehouse_copy.read_bytes() == before


def test_a_load_copies_a_file_of_our_form_and_gives_the_same_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file with anything else, or whose columns others changed, is taken over row by row."""
    settings = {"images": 40, "corruptions": ("fog",), "severities": (2, 5)}
    for label in ("Alpha", "Beta"):
        write_synthetic(tmp_path / label, models=(label,), **settings)
    carried: list[Path] = []
    carry_over = updates.carry_over
    monkeypatch.setattr(updates, "carry_over", lambda con, *args: carried.append(args[0]) or carry_over(con, *args))
    expected = {}
    changes = {
        "as it is": "",
        "an own table": "create table mine as select 1 as a",
        "another type": "alter table shards alter row_count type integer",
        "a macro": "create macro f(x) as x",
        "a column": "alter table datasets add column mine integer",
    }
    for name, change in changes.items():
        path = tmp_path / f"{name}.duckdb"
        load([tmp_path / "Alpha"], path)
        if change:
            change_file(path, change)
        load([tmp_path / "Beta"], path)
        expected[name] = hashes(path)
    assert [path.stem for path in carried] == ["another type", "a macro", "a column"]
    assert all(found == expected["as it is"] for found in expected.values())
    assert answers(tmp_path / "an own table.duckdb", "from mine") == [(1,)]
