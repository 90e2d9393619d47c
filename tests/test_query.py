"""Ad hoc SQL: it answers, it stops in time, and it can neither write nor read outside, in whatever form it comes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from failmodes.warehouse.cli import load, query
from failmodes.warehouse.database.connection import open_locked
from failmodes.warehouse.database.load import load as load_records
from failmodes.warehouse.database.query import run_query, saved_queries, saved_query
from failmodes.warehouse.errors import QueryError, StudyError, WarehouseError
from tests.synthetic_record import Synthetic

SECRET = "a secret that no query may read"


@pytest.fixture(scope="module")
def folder(synthetic: Synthetic, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a warehouse, a file that is none of the query's business, and DuckDB's usual place to spill."""
    folder = tmp_path_factory.mktemp("query")
    load_records([synthetic.output], folder / "warehouse.duckdb")
    (folder / "secret.csv").write_text(f"{SECRET}\n")
    duckdb.sql("select 1 as a").write_parquet(str(folder / "secret.parquet"))
    with duckdb.connect(str(folder / "other.duckdb")) as con:
        con.execute("create table secrets as select 1 as a")
    (folder / "warehouse.duckdb.tmp").mkdir()
    return folder


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder as current one; afterwards every file in it must be what it was, and none be added."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FAILMODES_TEST_SECRET", SECRET)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    folders = {path for path in folder.rglob("*") if path.is_dir()}
    yield folder
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert {path for path in folder.rglob("*") if path.is_dir()} == folders


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
    "insert into predictions select * from predictions",
    "with x as (insert into corruptions select * from corruptions returning *) select * from x",
    "explain analyze delete from predictions",
    "update predictions set confidence = 1",
    "delete from predictions",
    "truncate predictions",
    "drop view outcomes",
    "drop table predictions",
    "alter table predictions add column x integer",
    "comment on table predictions is 'mine'",
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
    "select * from duckdb_secrets()",
]

NO_EFFECT = ["checkpoint", "force checkpoint"]  # accepted: there is nothing to write in a database opened read-only

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


@pytest.mark.parametrize("sql", [*WRITES, *READS, *SETTINGS])
def test_query_can_neither_write_nor_read_outside(here: Path, sql: str) -> None:
    with pytest.raises(QueryError) as caught:
        run_query(Path("warehouse.duckdb"), sql.format(here=here))
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.fixture(scope="module")
def locked(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with open_locked(folder / "warehouse.duckdb") as con:
        yield con


@pytest.mark.parametrize("sql", [*WRITES, *READS, *SETTINGS, *NO_EFFECT])
def test_the_lock_alone_holds(here: Path, locked: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Without the list of statements that `run_query` turns away: what is not refused has no effect (see `here`)."""
    with locked.cursor() as con:
        try:
            answer = str(con.execute(sql.format(here=here)).fetchall())
        except duckdb.Error as error:
            answer = str(error)
        assert SECRET not in answer
        assert con.execute("select count(*) from warehouse.main.predictions").fetchall() == [(20_800,)]
        settings = con.execute(
            "select current_setting('enable_external_access'), current_setting('temp_directory'), "
            "current_setting('allowed_directories'), current_setting('lock_configuration')"
        ).fetchall()
        assert settings == [(False, "", [], True)]


@pytest.mark.parametrize(
    "sql",
    [
        "select count(*) as n from predictions",
        "from accuracy_by_severity",
        "with x as (select 1 as a) select * from x;",
        "describe predictions",
        "summarize corruptions",
        "show tables",
        "explain select 1",
        "values (1, 2)",
        "pragma table_info('predictions')",
        "pivot (select corruption, severity from shards) on severity using count(*)",
        "-- a comment\nselect 1 as a",
    ],
)
def test_query_answers(here: Path, sql: str) -> None:
    assert run_query(here / "warehouse.duckdb", sql).height > 0


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("selec 1", "syntax error"),
        ("select nothing from predictions", 'nothing" not found'),
        ("select * from nowhere", "nowhere does not exist"),
        ("select 1; select 2", "2 statements"),
        ("select 1; drop table predictions", "2 statements"),
        ("", "0 statements"),
        ("-- nothing", "0 statements"),
        ("select cast('a' as integer)", "Could not convert"),
        ("select interval 1 day", "cast it to varchar"),
        ("@nothing", "no saved query @nothing: there are .*@worst_cells"),
    ],
)
def test_bad_query_is_one_clear_line(here: Path, sql: str, message: str) -> None:
    with pytest.raises(QueryError, match=message) as caught:
        run_query(here / "warehouse.duckdb", sql)
    assert "\n" not in str(caught.value)


def test_query_is_stopped_in_time(here: Path) -> None:
    with pytest.raises(QueryError, match=r"stopped after 0\.3 s"):
        run_query(
            here / "warehouse.duckdb", "select count(*) from range(1e9::bigint) a, range(1e9::bigint) b", timeout_s=0.3
        )


def test_missing_warehouse_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="make it with `failmodes load STUDY`"):
        run_query(tmp_path / "warehouse.duckdb", "select 1")
    assert not list(tmp_path.iterdir())


def test_two_locked_connections_live_side_by_side(here: Path) -> None:
    with open_locked(here / "warehouse.duckdb") as one, open_locked(here / "warehouse.duckdb") as other:
        assert one.sql("select 1").pl().item() == other.sql("select 1").pl().item()


@pytest.mark.parametrize("name", saved_queries())
def test_saved_query_answers_its_question(here: Path, name: str) -> None:
    rows = run_query(here / "warehouse.duckdb", f"@{name}")
    assert rows.height > 0
    assert not any(column in rows.columns for column in ("evaluation_id", "dataset_id")), "names, not identities"
    assert saved_queries()[name].split("?")[0] != saved_queries()[name], "its comment asks a question"


def test_worst_cells_are_the_worst(here: Path) -> None:
    worst = run_query(here / "warehouse.duckdb", "@worst_cells")["accuracy_drop"]
    every = run_query(here / "warehouse.duckdb", "select accuracy_drop from accuracy_by_severity where severity > 0")
    assert worst.to_list() == every["accuracy_drop"].sort(descending=True).head(20).to_list()


def test_images_every_model_fails_are_right_clean_and_wrong_later_for_all(here: Path, synthetic: Synthetic) -> None:
    rows = run_query(here / "warehouse.duckdb", "@images_every_model_fails")
    fooled: dict[int, set[str]] = {}
    for corruption in {name for _, name in synthetic.correct}:
        alpha, beta = (synthetic.correct[model, corruption] for model in ("Alpha", "Beta"))
        for image_id in np.flatnonzero(alpha[0] & beta[0] & ~alpha.all(0) & ~beta.all(0)):
            fooled.setdefault(int(image_id), set()).add(corruption)
    assert rows["corruption_count"].to_list() == sorted(map(len, fooled.values()), reverse=True)[:50]
    for row in rows.iter_rows(named=True):
        assert set(row["corruptions"].split(", ")) == fooled[row["image_id"]]


def test_confidence_before_failure_counts_every_step_once(here: Path) -> None:
    rows = run_query(here / "warehouse.duckdb", "@confidence_before_failure")
    table = run_query(here / "warehouse.duckdb", "select * from onset_by_corruption where severity > 0")
    key = ["model_label", "corruption_label", "severity"]
    both = rows.join(table, on=key, how="inner").sort(key)
    assert both.height == rows.height == table.height
    assert both["failing_count"].to_list() == both["failed_count"].to_list()
    assert (both["failing_count"] + both["surviving_count"]).to_list() == both["at_risk_count"].to_list()


@pytest.fixture(scope="module")
def app() -> typer.Typer:
    app = typer.Typer()
    app.command()(load)
    app.command()(query)
    return app


def ask(app: typer.Typer, *arguments: str) -> tuple[str, str]:
    result = CliRunner().invoke(app, ["query", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


def test_command_prints_data_to_stdout_and_remarks_to_stderr(app: typer.Typer, here: Path) -> None:
    sql = "select image_id, label from images order by image_id"
    table, remark = ask(app, sql)
    assert "image_id" in table
    assert table.count("\n") == 50 + 4
    assert "first 50 of 400 rows" in remark
    content, silence = ask(app, sql, "--format", "csv")
    assert content.splitlines()[:2] == ["image_id,label", "0,0"]
    assert (len(content.splitlines()), silence) == (401, "")


def test_json_and_csv_carry_what_they_can_say(app: typer.Typer, here: Path) -> None:
    sql = """
        select 1.5::decimal(4, 3) as severity, 2::hugeint as many, 'nan'::float as missing, [1, 2] as list,
        'x'::blob as bytes, null as nothing, timestamptz '2026-01-02 03:04:05+00' as moment, true as flag,
        {'a': 1} as pair
    """
    row = json.loads(ask(app, sql, "--format", "json")[0])[0]
    assert row == {
        "severity": 1.5, "many": 2, "missing": None, "list": [1, 2], "bytes": "eA==", "nothing": None,
        "moment": "2026-01-02T03:04:05+00:00", "flag": True, "pair": {"a": 1},
    }  # fmt: skip
    header, line = ask(app, sql, "--format", "csv")[0].splitlines()
    assert header.split(",")[0] == "severity"
    assert '"[1, 2]",eA==' in line


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_output_file_is_written_whole(app: typer.Typer, folder: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows.{suffix}"
    output, remark = ask(app, "select image_id, label from images order by all", str(folder), "--output", str(path))
    assert (output, "400 rows" in remark) == ("", True)
    rows = {"csv": pl.read_csv, "json": pl.read_json, "parquet": pl.read_parquet}[suffix](path)
    assert rows["image_id"].to_list() == list(range(400))
    assert list(tmp_path.iterdir()) == [path]


def test_output_of_another_kind_is_refused(app: typer.Typer, here: Path) -> None:
    with pytest.raises(QueryError, match=r"\.csv, \.json or \.parquet"):
        ask(app, "select 1", "--output", "rows.xlsx")


def test_saved_queries_are_listed_with_their_question(app: typer.Typer) -> None:
    lines = ask(app, "--list")[0].splitlines()
    assert len(lines) == len(saved_queries()) >= 6
    assert any(line.startswith("@worst_cells\tWhere does it hurt most?") for line in lines)
    with pytest.raises(StudyError, match="--list"):
        ask(app)
    assert saved_query("worst_cells").startswith("-- Where does it hurt most?")


def test_load_command_loads_several_folders_into_one(app: typer.Typer, synthetic: Synthetic, tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(f'output = "{synthetic.output}"')
    into = tmp_path / "w.duckdb"
    arguments = ["load", str(tmp_path / "study.toml"), str(synthetic.output), "--into", str(into)]
    first, second = (CliRunner().invoke(app, arguments, catch_exceptions=False) for _ in range(2))
    assert "shards 104 new, 0 replaced, 0 already there; 62,400 rows" in first.stderr
    assert "104 already there; nothing to do" in second.stderr
    assert first.stdout == second.stdout == ""
    assert into.exists()


def test_loading_and_asking_import_no_torch(folder: Path, synthetic: Synthetic, tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from failmodes.warehouse.cli import load; from failmodes.warehouse.cli import query
assert not {{"duckdb", "polars", "pyarrow"}} & sys.modules.keys(), "help would be slow"
load(Path({str(synthetic.output)!r}), None, Path({str(tmp_path / "w.duckdb")!r}), False)
query("@worst_cells", Path({str(folder)!r}), output=Path({str(tmp_path / "rows.csv")!r}))
assert not {{"torch", "evaluate", "ingest", "analysis"}} & {{name.split(".")[0] for name in sys.modules}}
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, cwd=tmp_path)
    assert (tmp_path / "rows.csv").exists()
