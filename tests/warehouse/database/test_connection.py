"""A connection to read: SQL can neither write nor read outside, in whatever form it comes."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import duckdb
import pytest
from warehouse_files import SECRET, change_file

from failmodes.runtime.errors import QueryError, WarehouseError
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.query import run_query

WRITES = [
    "copy (select 1) to 'out.csv'",
    "copy predictions to 'out.parquet'",
    "copy (select 1) to '{here}/out.csv'",
    "copy (select 1) to 'secret.parquet'",
    "copy (select 1) to 'warehouse.duckdb.tmp/out.csv'",
    "copy (select 1) to '{here}/warehouse.duckdb.tmp/out.csv'",
    "copy (select 1) to '{here}/warehouse.duckdb' (format csv)",
    "copy (select 1) to '{here}/warehouse.duckdb.wal' (format csv)",
    "copy (select 1) to '/dev/stdout'",
    "with x as (copy (select 1) to 'out.csv') select 1",
    "with x as (copy (select 1) to '{here}/secret.parquet') select 1",
    "with x as (copy (select 1) to '{here}/warehouse.duckdb.tmp/out.csv') select 1",
    "with x as (copy (select 1) to '{here}/warehouse.duckdb.tmp/out.csv') select * from x",
    "explain analyze copy (select 1) to 'out.csv'",
    "explain analyze copy (select 1) to '{here}/warehouse.duckdb.tmp/out.csv'",
    "export database 'exported'",
    "copy from database warehouse to other",
    "attach 'other.duckdb'",
    "attach '{here}/other.duckdb' as other (read_write)",
    "attach '{here}/warehouse.duckdb' as again (read_write)",
    "attach 'new.duckdb'",
    "attach ':memory:' as scratch",
    "detach warehouse",
    "create table t (a integer)",
    "create or replace view outcomes as select 1",
    "create temp table t (a integer)",
    "create macro f(x) as x",
    "create secret s (type http)",
    "insert into prediction_facts select * from prediction_facts",
    "with x as (insert into corruptions select * from corruptions returning *) select * from x",
    "explain analyze delete from prediction_facts",
    "update prediction_facts set confidence = 1",
    "delete from prediction_facts",
    "truncate predictions",
    "drop view outcomes",
    "drop table prediction_facts",
    "alter table prediction_facts add column x integer",
    "comment on table prediction_facts is 'mine'",
    "merge into corruptions using corruptions as c on false when not matched then insert",
    "vacuum",
    "begin transaction",
    "prepare p as select 1",
    "call enable_logging(storage = 'file', storage_path = '{here}/logs')",
    "pragma enable_profiling = 'json'",
    "pragma profiling_output = 'out.json'",
    "pragma enable_checkpoint_on_shutdown",
]

READS = [
    "select * from read_csv('secret.csv')",
    "select * from read_csv('{here}/secret.csv')",
    "select * from read_csv('/etc/passwd')",
    "select * from 'secret.csv'",
    "select * from 'secret.parquet'",
    "select * from read_parquet('secret.parquet')",
    "select * from parquet_metadata('secret.parquet')",
    "select * from sniff_csv('secret.csv')",
    "select * from read_text('secret.csv')",
    "select * from read_blob('{here}/secret.csv')",
    "select * from read_json('secret.csv')",
    "select * from read_csv('{here}/warehouse.duckdb.tmp/../secret.csv')",
    "select * from glob('*')",
    "select * from glob('/etc/*')",
    "select * from query('select * from read_text(''secret.csv'')')",
    "select * from query_table('secret.csv')",
    "copy corruptions from 'secret.csv'",
    "import database '{here}'",
    "select getenv('FAILMODES_TEST_SECRET')",
]

# accepted: there is nothing to write in a database attached read-only, and no folder of secrets to be seen
NO_EFFECT = ["checkpoint", "force checkpoint", "select * from duckdb_secrets()"]

SETTINGS = [
    "set enable_external_access = true",
    "set lock_configuration = false",
    "set allowed_directories = ['{here}']",
    "set temp_directory = '{here}'",
    "set memory_limit = '1TB'",
    "set variable x = 1",
    "reset enable_external_access",
    "pragma memory_limit = '1TB'",
    "install httpfs",
    "force install httpfs from 'http://localhost:1'",
    "load httpfs",
    "load '{here}/secret.csv'",
    "update extensions",
    "use memory",
]


@pytest.mark.test_all
@pytest.mark.parametrize("sql", [*WRITES, *READS, *SETTINGS])
def test_query_can_neither_write_nor_read_outside(query_here: Path, sql: str) -> None:
    with pytest.raises(QueryError) as caught:
        run_query(Path("warehouse.duckdb"), sql.format(here=query_here))
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.test_all
def test_a_path_may_hold_a_quotation_mark(sound_warehouse: Path, tmp_path: Path) -> None:
    path = tmp_path / 'it\'s "mine"; detach warehouse; --.duckdb'
    shutil.copy(sound_warehouse, path)
    assert run_query(path, "select count(*) as n from evaluations")["n"].item() == 2


@pytest.fixture(scope="module")
def locked(query_folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with open_warehouse(query_folder / "warehouse.duckdb") as con:
        yield con


@pytest.mark.test_all
@pytest.mark.parametrize("sql", [*WRITES, *READS, *SETTINGS, *NO_EFFECT])
def test_the_lock_alone_holds(query_here: Path, locked: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Without the list of statements that `run_query` turns away: what is not refused has no effect (see `here`)."""
    with locked.cursor() as con:
        con.execute("use warehouse")
        try:
            result = str(con.execute(sql.format(here=query_here)).fetchall())
        except duckdb.Error as error:
            result = str(error)
        assert SECRET not in result
        assert con.execute("select count(*) from warehouse.main.predictions").fetchall() == [(20_800,)]
        settings = con.execute(
            "select current_setting('enable_external_access'), current_setting('temp_directory'), "
            "current_setting('allowed_directories'), current_setting('lock_configuration')"
        ).fetchall()
        assert settings == [(False, "", [], True)]


REOPENING = (
    "use memory",
    "detach warehouse",
    "attach '{here}/warehouse.duckdb' as again (read_write)",
    "create table again.t (a integer)",
    "copy (select 1) to '{here}/warehouse.duckdb'",
    "copy (select 1) to '{here}/warehouse.duckdb.wal'",
)


def test_the_lock_holds_statement_after_statement(query_here: Path) -> None:
    """What no single statement does, no sequence does either: nothing is written (see `here`)."""
    with open_warehouse(query_here / "warehouse.duckdb") as con:
        for sql in REOPENING:
            with suppress(duckdb.Error):
                con.execute(sql.format(here=query_here))
        assert con.execute("select database_name from duckdb_databases() where path is not null").fetchall() == []


@pytest.mark.test_all
def test_a_view_in_the_file_reads_no_other_file(query_folder: Path, tmp_path: Path) -> None:
    shutil.copy(query_folder / "warehouse.duckdb", tmp_path)
    change_file(
        tmp_path / "warehouse.duckdb",
        f"create or replace view evaluation_labels as from read_text('{query_folder}/secret.csv')",
    )
    with open_warehouse(tmp_path / "warehouse.duckdb") as con:
        assert con.sql("select model_label from evaluation_labels").pl().height > 0  # ours, not the file's
        with pytest.raises(duckdb.PermissionException):
            con.sql("from warehouse.main.evaluation_labels").pl()


def test_a_file_open_for_writing_in_this_process_is_refused(warehouse_copy: Path) -> None:
    in_use = pytest.raises(WarehouseError, match="for writing in this process")
    with duckdb.connect(str(warehouse_copy)), in_use, open_warehouse(warehouse_copy):
        pass


def test_missing_warehouse_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="does not exist: `failmodes load STUDY` creates it from results"):
        run_query(tmp_path / "warehouse.duckdb", "select 1")
    assert not list(tmp_path.iterdir())


@pytest.mark.test_all
def test_two_connections_live_side_by_side(query_here: Path) -> None:
    with (
        open_warehouse(query_here / "warehouse.duckdb") as one,
        open_warehouse(query_here / "warehouse.duckdb") as other,
    ):
        assert one.sql("select 1").pl().item() == other.sql("select 1").pl().item()
