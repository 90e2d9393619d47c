"""SQL that means harm, through the installed `failmodes query`: the text of a canary file appears nowhere.

tests/warehouse/database/test_connection.py tries the commonest statements on the connection itself; these come at it
from the side: indirection, serialized and prepared statements, variables of the program, other databases, the network.
"""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from shutil import copy
from threading import Thread

import duckdb
import pytest
from fault_trials import Trial, attempt, check_refusal
from warehouse_files import SECRET

CANARY = f"{SECRET}: canary"

# {here} is the folder, {port} a server on this machine that counts who calls
READS = [
    # one function through another
    "from query('from query(''from read_text(''''canary.txt'''')'')')",
    "from query_table(['canary.csv'])",
    "from query_table(['models', 'canary.csv'])",
    "from query_table('{here}/canary.parquet')",
    "from json_execute_serialized_sql(json_serialize_sql('from read_text(''canary.txt'')'))",
    "pragma json_execute_serialized_sql('from read_text(''canary.txt'')')",
    "select (select content from read_text('canary.txt'))",
    "with x as materialized (from read_text('canary.txt')) select * from x, x as y",
    "select * from models, lateral (select content from read_text('canary.txt')) as t",
    "pivot (from read_text('canary.txt')) on filename using any_value(content)",
    "unpivot (from 'canary.csv') on columns(*) into name n value v",
    "summarize 'canary.csv'",
    "summarize from read_csv('canary.csv')",
    "describe from 'canary.csv'",
    "explain analyze from read_text('canary.txt')",
    "select error(content) from read_text('canary.txt')",
    "select content::integer from read_text('canary.txt')",
    "from read_text(getvariable('path'))",
    "select list(content) from read_text(['canary.txt', '{here}/canary.csv'])",
    # the other readers
    "from read_csv_auto('canary.csv')",
    "from read_csv('canary.csv', auto_detect = false, columns = {{'a': 'integer'}}, store_rejects = true)",
    "from sniff_csv('{here}/canary.csv')",
    "from read_json_auto('canary.json')",
    "from read_json_objects('canary.json')",
    "from read_ndjson('canary.json')",
    "from read_ndjson_objects('canary.json')",
    "from parquet_scan('canary.parquet')",
    "from parquet_schema('canary.parquet')",
    "from parquet_kv_metadata('canary.parquet')",
    "from parquet_file_metadata('canary.parquet')",
    "from parquet_bloom_probe('canary.parquet', 'a', 'x')",
    "from read_duckdb('other.duckdb', table_name = 'secrets')",
    "from 'other.duckdb'",
    "from other.secrets",
    "from sqlite_scan('other.duckdb', 'secrets')",
    "from postgres_scan('host=127.0.0.1 port={port}', 'public', 't')",
    "from mysql_query('host=127.0.0.1', 'select 1')",
    "from delta_scan('{here}')",
    "from iceberg_scan('{here}')",
    "from read_xlsx('canary.xlsx')",
    "from read_avro('canary.avro')",
    "from st_read('canary.csv')",
    "from read_lines('canary.txt')",
    # other names of the same files
    "from read_text('./canary.txt')",
    "from read_text('{here}/../{name}/canary.txt')",
    "from read_text('file://{here}/canary.txt')",
    "from read_text('file:canary.txt')",
    "from read_text('~/canary.txt')",
    "from read_text('canary.*')",
    "from read_text('**')",
    "from read_text('link.txt')",
    "from read_text('warehouse.duckdb')",
    "from read_blob('/proc/self/environ')",
    "from read_text('/proc/self/cwd/canary.txt')",
    "from read_text('/proc/self/cmdline')",
    "from read_csv('/dev/stdin')",
    "from read_csv('/dev/fd/0')",
    "from read_blob('/dev/zero')",
    "from read_text('pipe:cat canary.txt |')",
    "from glob('~/*')",
    "from glob('../**')",
    "from glob('/proc/self/fd/*')",
    # copies
    "copy (from read_text('canary.txt')) to '/dev/stdout' (format csv)",
    "copy models from 'canary.csv' (format csv)",
    "insert into models from 'canary.csv'",
    "create or replace temp view v as from read_text('canary.txt')",
    "create temp macro f() as table from read_text('canary.txt')",
    "create function f(x) as (select content from read_text(x))",
    "create type t as enum (select content from read_text('canary.txt'))",
    "create temp table t as from 'canary.csv'",
    "create index i on models (model_label)",
    "create sequence s",
    "create schema s",
]

PREPARED = [
    "prepare p as from read_text('canary.txt')",
    "execute p",
    "execute p('canary.txt')",
    "deallocate p",
    "prepare p as from read_text('canary.txt'); execute p",
    "select 1; from read_text('canary.txt')",
    "/* */ ; from read_text('canary.txt'); select 1",
    "begin; from read_text('canary.txt'); commit",
    "commit",
    "rollback",
    "set variable path = (select content from read_text('canary.txt'))",
]

OTHERS = [
    "attach '{here}/other.duckdb' as o (read_only)",
    "attach 'other.duckdb' (type sqlite)",
    "attach 'http://127.0.0.1:{port}/x.duckdb' as o",
    "attach 'https://127.0.0.1:{port}/x.duckdb' as o (read_only)",
    "attach 's3://bucket/x.duckdb' as o",
    "attach 'host=127.0.0.1 port={port}' as p (type postgres)",
    "attach 'md:'",
    "attach 'ducklake:{here}/lake.db' as l",
    "attach 'file:{here}/other.duckdb' as o",
    "attach if not exists 'other.duckdb'",
    "attach or replace '{here}/other.duckdb' as warehouse",
    "attach '/dev/fd/3' as f",
    "attach 'warehouse.duckdb.wal' as w",
    "use system",
    "use temp",
    "create secret (type s3, provider credential_chain)",
    "create persistent secret p (type http, bearer_token 'x')",
    "drop secret s",
]

MODEL = [
    "from 'http://127.0.0.1:{port}/a.parquet'",
    "from read_parquet('http://127.0.0.1:{port}/a.parquet')",
    "from read_csv('https://127.0.0.1:{port}/a.csv')",
    "from read_text('http://127.0.0.1:{port}/a')",
    "from read_json('s3://127.0.0.1/a.json')",
    "from read_text('hf://datasets/a/b/c.txt')",
    "from read_blob('gs://a/b')",
    "copy (select 1) to 'http://127.0.0.1:{port}/a.csv'",
    "from http_get('http://127.0.0.1:{port}/')",
    "install httpfs from 'http://127.0.0.1:{port}'",
    "install 'http://127.0.0.1:{port}/x.duckdb_extension'",
    "load '{here}/x.duckdb_extension'",
    "install shellfs from community",
    "call start_ui()",
    "call start_ui_server()",
    "call load_aws_credentials()",
]

SETTINGS = [
    "set session enable_external_access = true",
    "set global enable_external_access = true",
    "reset global enable_external_access",
    "pragma enable_external_access = true",
    "set disabled_filesystems = ''",
    "reset disabled_filesystems",
    "set allowed_paths = ['{here}/canary.txt']",
    "set file_search_path = '{here}'",
    "set home_directory = '{here}'",
    "set extension_directory = '{here}'",
    "set secret_directory = '{here}'",
    "set default_secret_storage = 'local_file'",
    "set custom_extension_repository = 'http://127.0.0.1:{port}'",
    "set allow_unsigned_extensions = true",
    "set autoload_known_extensions = true",
    "set python_enable_replacements = true",
    "set python_scan_all_frames = true",
    "set log_query_path = '{here}/log.sql'",
    "set profiling_output = '{here}/profile.json'",
    "set enable_profiling = 'json'",
    "set http_proxy = '127.0.0.1:{port}'",
    "set threads = 1000",
    "set max_memory = '1TB'",
    "set max_temp_directory_size = '1TB'",
    "set storage_compatibility_version = 'latest'",
    "set search_path = 'system'",
    "set schema = 'temp.main'",
    "set immediate_transaction_mode = true",
    "pragma threads = 64",
    "pragma log_query_path = '{here}/log.sql'",
    "pragma temp_directory = '{here}'",
    "pragma enable_logging",
    "call enable_logging(level = 'trace')",
    "pragma import_database('{here}')",
    "vacuum analyze",
]

# Variables of the program that runs the query: names that its functions have, and modules
VARIABLES = [
    *(f"from {name}" for name in ("sql", "path", "text", "rows", "first", "con", "statement", "parameters", "values",
                                  "app", "sys", "os", "duckdb", "output", "environ", "SECRET", "statements")),
    "select sql",
    "from arrow_scan(1, 2, 3)",
    "from arrow_scan_dumb(1, 2, 3)",
    "from pandas_scan(1)",
    "from python_map_function(1)",
    "select getenv('CANARY')",
    "select current_setting('canary')",
]  # fmt: skip

REFUSED = [*READS, *PREPARED, *OTHERS, *MODEL, *SETTINGS, *VARIABLES]

# Answered or not: they tell of this connection alone, or change nothing but it
HARMLESS = [
    "from duckdb_settings()",
    "from duckdb_databases()",
    "from duckdb_secrets(redact = false)",
    "from which_secret('s3://a', 's3')",
    "from duckdb_extensions()",
    "from duckdb_external_file_cache()",
    "from duckdb_temporary_files()",
    "from duckdb_logs",
    "from duckdb_log_contexts()",
    "from duckdb_variables()",
    "from duckdb_prepared_statements()",
    "from duckdb_functions() where function_name like '%read%' or function_name like '%scan%'",
    "pragma database_list",
    "pragma database_size",
    "pragma storage_info('prediction_facts')",
    "pragma version",
    "pragma show_tables",
    "call pragma_table_info('models')",
    "show all tables",
    "select current_setting('home_directory'), current_setting('secret_directory')",
    "from information_schema.tables",
    "from sqlite_master",
    "from pg_catalog.pg_class",
    "from sql_auto_complete('from can')",
    "select json_serialize_sql('from read_text(''canary.txt'')')",
    "explain from models",
    "select write_log('x')",
    "checkpoint",
    "select getvariable('canary')",
    "checkpoint warehouse",
    "pragma add_parquet_key('k', '0123456789112345')",
    "call truncate_duckdb_logs()",
    "from test_all_types()",
    "from repeat_row(1, num_rows = 10)",
]

QUICK = (
    "from json_execute_serialized_sql(json_serialize_sql('from read_text(''canary.txt'')'))",
    "from query('from query(''from read_text(''''canary.txt'''')'')')",
    "pivot (from read_text('canary.txt')) on filename using any_value(content)",
    "from read_text('link.txt')",
    "from read_blob('/proc/self/environ')",
    "prepare p as from read_text('canary.txt'); execute p",
    "attach 'http://127.0.0.1:{port}/x.duckdb' as o",
    "from read_text('http://127.0.0.1:{port}/a')",
    "set session enable_external_access = true",
    "from sql",
    "from arrow_scan(1, 2, 3)",
    "from duckdb_settings()",
)


class Cage:
    """A folder with a warehouse and canaries in every form, and a server that counts who calls."""

    def __init__(self, folder: Path, warehouse: Path) -> None:
        self.folder, self.calls = folder, 0
        copy(warehouse, folder / "warehouse.duckdb")
        for suffix, text in (("txt", CANARY), ("csv", f"a,b\n{CANARY},1\n"), ("json", f'{{"a": "{CANARY}"}}\n')):
            (folder / f"canary.{suffix}").write_text(text)
        (folder / ".duckdbrc").write_text(f"select '{CANARY}';\n")
        (folder / "link.txt").symlink_to("canary.txt")
        duckdb.sql(f"select '{CANARY}' as a").write_parquet(str(folder / "canary.parquet"))
        with duckdb.connect(str(folder / "other.duckdb")) as con:
            con.execute(f"create table secrets as select '{CANARY}' as a")
        self.server = socket.create_server(("127.0.0.1", 0))
        Thread(target=self._count, daemon=True).start()
        self.before = self.content()

    def _count(self) -> None:
        while True:
            try:
                caller, _ = self.server.accept()
            except OSError:
                return
            self.calls += 1
            caller.close()

    def content(self) -> dict[Path, bytes]:
        """Every file with its bytes, hidden ones too."""
        return {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}

    def ask(self, sql: str, *options: str) -> Trial:
        """Run a statement, with the canary on stdin, in the environment, and in the folder that is HOME."""
        given = sql.format(here=self.folder, name=self.folder.name, port=self.server.getsockname()[1])
        environment = {"CANARY": CANARY, "HOME": str(self.folder)}
        with open(self.folder / "canary.csv", "rb") as stdin:
            trial = attempt("query", given, *options, folder=self.folder, environment=environment, stdin=stdin)
        assert SECRET not in trial.stdout + trial.stderr, trial
        assert self.calls == 0, "a query called a server"
        assert self.content() == self.before
        assert trial.elapsed_s < 10
        return trial


@pytest.fixture(scope="module")
def cage(handed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cage]:
    cage = Cage(tmp_path_factory.mktemp("cage"), handed / "warehouse.duckdb")
    yield cage
    cage.server.close()


def marked(statements: list[str]) -> list:
    return [pytest.param(sql, marks=() if sql in QUICK else pytest.mark.slow) for sql in statements]


@pytest.mark.parametrize("sql", marked(REFUSED))
def test_a_malformed_statement_is_refused_and_finds_no_canary(cage: Cage, sql: str) -> None:
    check_refusal(cage.ask(sql), code=2)


@pytest.mark.parametrize("sql", marked(HARMLESS))
def test_what_tells_of_the_connection_tells_no_more(cage: Cage, sql: str) -> None:
    trial = cage.ask(sql, "--format", "json")
    if trial.code:
        check_refusal(trial, code=2)
    assert os.environ.get("PATH", "no path") not in trial.stdout


def test_the_canary_would_be_found(cage: Cage) -> None:
    """On a connection that is not locked these statements do what they say, so that their refusal means something."""
    with duckdb.connect() as con:
        for sql in (f"from read_text('{cage.folder}/link.txt')", f"from '{cage.folder}/canary.parquet'"):
            assert CANARY in str(con.execute(sql).fetchall())
    assert len(REFUSED) + len(HARMLESS) > 150
