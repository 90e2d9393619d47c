"""How the warehouse changes: one writer at a time; the file is swapped as a whole, and takes over what is ours."""

import os
import shutil
from pathlib import Path

import duckdb
import pytest
from synthetic_results import Synthetic, write_synthetic
from warehouse_files import change_file, python_in_background, write_a_step

from failmodes.runtime.errors import StudyError, WarehouseError
from failmodes.warehouse.database import updates
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.updates import staged_database, writer_lock
from failmodes.warehouse.database_schema import TABLES


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small warehouse (read only)."""
    folder = tmp_path_factory.mktemp("small")
    load([write_model(folder, "Alpha")], folder / "w.duckdb")
    return folder / "w.duckdb"


@pytest.fixture
def small_copy(small: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copy(small, tmp_path))


@pytest.fixture(scope="module")
def gamma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of another model."""
    return write_model(tmp_path_factory.mktemp("gamma"), "Gamma")


def write_model(folder: Path, label: str) -> Path:
    return write_synthetic(folder, images=20, models=(label,), corruptions=("fog",), severities=(2, 5)).output


def answers(path: Path, sql: str) -> list[tuple]:
    with duckdb.connect(str(path), read_only=True) as con:
        con.execute("set threads = 1")
        return con.execute(sql).fetchall()


def hashes(path: Path) -> dict[str, object]:
    """Hash of the rows of every table, in their order."""
    kept = [name for name in TABLES if name not in ("steps", "warehouse_info")]
    hashed = "select '{0}', md5(string_agg(hash(x)::varchar, ',')) from (select {0} as x from {0})"
    return dict(answers(path, " union all ".join(hashed.format(name) for name in kept)))


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


@pytest.mark.test_all
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


@pytest.mark.test_all
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


@pytest.mark.test_all
def test_only_tables_of_plain_types_are_carried_over_and_odd_names_are_only_names(
    small_copy: Path, gamma: Path
) -> None:
    odd = '"a""; drop table models; --"'
    change_file(
        small_copy,
        f'create table {odd} as select 1 as "b""c"; create view {odd[:-1]}v" as select 1 as a; '
        "create type mood as enum ('a'); create table typed as select 1 as plain, 'a'::mood as mine",
    )
    load([gamma], small_copy)
    assert answers(small_copy, f"from {odd}") == [(1,)]
    assert answers(small_copy, "select count(*) from models") == [(2,)]
    tables = {name for (name,) in answers(small_copy, "select table_name from duckdb_tables()")}
    assert tables - TABLES.keys() == {'a"; drop table models; --'}


def test_a_value_without_a_place_is_refused(small_copy: Path, gamma: Path) -> None:
    wide = "alter table prediction_facts alter label type bigint; update prediction_facts set label = 70000"
    before = change_file(small_copy, wide).read_bytes()
    with pytest.raises(WarehouseError, match="was not written by failmodes"):
        load([gamma], small_copy)
    assert small_copy.read_bytes() == before


def test_who_changes_settings_loses_nothing(small_copy: Path) -> None:
    change_file(small_copy, "; ".join(f"create macro m{number}() as 1" for number in range(9)))
    before = small_copy.read_bytes()
    with pytest.raises(WarehouseError, match="holds a macro m0, .*, a macro m4 and 4 more, which failmodes did not"):
        write_a_step(small_copy)
    assert small_copy.read_bytes() == before


CHANGES = {
    "an own table": "create table mine as select 1 as a",
    "another type": "alter table shards alter row_count type integer",
    "a macro": "create macro f(x) as x",
    "a column": "alter table datasets add column mine integer",
}


@pytest.fixture
def carried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are taken over row by row."""
    names: list[str] = []
    carry_over = updates.carry_over
    monkeypatch.setattr(updates, "carry_over", lambda con, *args: names.append(args[0].stem) or carry_over(con, *args))
    return names


@pytest.mark.test_all
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.test_all] * (name in ("a macro", "a column"))) for name in CHANGES]
)
def test_a_file_of_our_form_is_copied_and_any_other_is_taken_over_row_by_row(
    small: Path, tmp_path: Path, carried: list[str], name: str
) -> None:
    """Other is a file with anything else, or whose columns others changed."""
    path = change_file(Path(shutil.copy(small, tmp_path / "w.duckdb")), CHANGES[name])
    with writer_lock(path), staged_database(path, copies=True):
        pass
    assert hashes(path) == hashes(small)
    assert carried == ([] if name == "an own table" else ["w"])
    assert name != "an own table" or answers(path, "from mine") == [(1,)]


@pytest.mark.test_all
def test_a_load_gives_the_same_tables_either_way(small: Path, gamma: Path, tmp_path: Path, carried: list[str]) -> None:
    copied, rewritten = (Path(shutil.copy(small, tmp_path / f"{name}.duckdb")) for name in ("copied", "rewritten"))
    change_file(rewritten, CHANGES["a macro"])
    for path in (copied, rewritten):
        load([gamma], path)
    assert carried == ["rewritten"]
    assert hashes(copied) == hashes(rewritten) != hashes(small)
