"""SQL that means harm: one statement of each kind, on the connection that reads and through the installed command.

The text of a canary file appears nowhere, no server is called, no file changes.
These come at it from the side; tests/warehouse/database/test_connection.py tries the commonest statements.
"""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from shutil import copy
from threading import Thread

import duckdb
import pytest
from fault_trials import attempt, attempt_here, check_refusal
from marked_cases import quick
from warehouse_files import SECRET, change_file

import failmodes
from failmodes.analysis.site.serving import ServedWarehouse
from failmodes.runtime.errors import FailmodesError, QueryError

CANARY = f"{SECRET}: canary"

# {here} is the folder, {port} a server on this machine that counts who calls
REFUSED = {
    "a reader within a query": "from query('from query(''from read_text(''''{here}/canary.txt'''')'')')",
    "a serialized statement":
        "from json_execute_serialized_sql(json_serialize_sql('from read_text(''{here}/canary.txt'')'))",
    "a subquery": "select (select content from read_text('{here}/canary.txt'))",
    "a pivot": "pivot (from read_text('{here}/canary.txt')) on filename using any_value(content)",
    "an error": "select error(content) from read_text('{here}/canary.txt')",
    "Parquet metadata": "from parquet_kv_metadata('{here}/canary.parquet')",
    "another database": "from read_duckdb('{here}/other.duckdb', table_name = 'secrets')",
    "another database's server": "from postgres_scan('host=127.0.0.1 port={port}', 'public', 't')",
    "a link": "from read_text('{here}/link.txt')",
    "a pattern": "from read_text('{here}/**')",
    "a process's environment": "from read_blob('/proc/self/environ')",
    "stdin": "from read_csv('/dev/stdin')",
    "a copy to a file": "copy (select 1) to '{here}/written.csv'",
    "a prepared statement": "prepare p as from read_text('{here}/canary.txt'); execute p",
    "several statements": "select 1; from read_text('{here}/canary.txt')",
    "an attached URL": "attach 'http://127.0.0.1:{port}/x.duckdb' as o",
    "a stored secret": "create persistent secret p (type http, bearer_token 'x')",
    "HTTP": "from read_parquet('http://127.0.0.1:{port}/a.parquet')",
    "an object store": "from read_text('hf://datasets/a/b/c.txt')",
    "a server": "call start_ui_server()",
    "external access": "set session enable_external_access = true",
    "variables of the program": "set python_enable_replacements = true",
    "a name of the program": "from con",
    "an address in memory": "from arrow_scan(1, 2, 3)",
    "the environment": "select getenv('CANARY')",
}  # fmt: skip

# Answered or not: they tell of this connection alone, or change nothing but it
HARMLESS = {
    "settings": "from duckdb_settings()",
    "secrets": "from duckdb_secrets(redact = false)",
    "folders": "select current_setting('home_directory'), current_setting('secret_directory')",
    "a serialized statement": "select json_serialize_sql('from read_text(''canary.txt'')')",
    "every type": "from test_all_types()",
}
THROUGH_THE_COMMAND = ("a reader within a query", "stdin", "a process's environment", "a copy to a file",
                       "several statements", "an attached URL", "HTTP", "external access", "a name of the program",
                       "the environment")  # fmt: skip


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
        change_file(folder / "other.duckdb", f"create table secrets as select '{CANARY}' as a")
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

    def given(self, sql: str) -> str:
        return sql.format(here=self.folder, port=self.server.getsockname()[1])

    def check(self, *said: str) -> None:
        assert SECRET not in "".join(said)
        assert self.calls == 0, "a query called a server"
        assert self.content() == self.before


@pytest.fixture(scope="module")
def cage(small_warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cage]:
    cage = Cage(tmp_path_factory.mktemp("cage"), small_warehouse)
    yield cage
    cage.server.close()


@quick("name", REFUSED, "a reader within a query", "another database", "a copy to a file")
def test_a_malicious_statement_is_refused_and_finds_no_canary(cage: Cage, name: str) -> None:
    with failmodes.open(cage.folder / "warehouse.duckdb") as warehouse, pytest.raises(QueryError) as caught:
        warehouse.sql(cage.given(REFUSED[name]))
    cage.check(str(caught.value))


@pytest.mark.test_all
@pytest.mark.parametrize("name", HARMLESS)
def test_what_tells_of_the_connection_tells_no_more(cage: Cage, name: str) -> None:
    with failmodes.open(cage.folder / "warehouse.duckdb") as warehouse:
        try:
            said = str(warehouse.sql(HARMLESS[name]).rows())
        except QueryError as error:
            said = str(error)
    cage.check(said)
    assert os.environ.get("PATH", "no path") not in said


@pytest.fixture(scope="module")
def explorer(cage: Cage) -> ServedWarehouse:
    return ServedWarehouse(cage.folder / "warehouse.duckdb", lambda: None, "w")


@pytest.mark.test_all
@pytest.mark.parametrize("name", REFUSED)
def test_the_explorer_refuses_it_too(cage: Cage, explorer: ServedWarehouse, name: str) -> None:
    for asked in ({}, {"box": True}, {"type": "parquet"}):
        with pytest.raises(QueryError) as caught:
            explorer.query({"sql": cage.given(REFUSED[name])} | asked)
        cage.check(str(caught.value))


@pytest.mark.test_all
@pytest.mark.parametrize("name", THROUGH_THE_COMMAND)
def test_the_installed_command_refuses_it_too(cage: Cage, name: str) -> None:
    environment = {"CANARY": CANARY, "HOME": str(cage.folder)}
    with open(cage.folder / "canary.csv", "rb") as stdin:
        sql = cage.given(REFUSED[name])
        trial = attempt("query", sql, folder=cage.folder, environment=environment, stdin=stdin)
    cage.check(trial.stdout, trial.stderr)
    check_refusal(trial, code=2)


@pytest.mark.test_all
def test_a_filter_of_images_reads_no_more(cage: Cage) -> None:
    given = cage.given("image_id in (select length(content) from read_text('{here}/canary.txt'))")
    trial = attempt_here("images", "--filter", given, folder=cage.folder)
    cage.check(trial.stdout, trial.stderr)
    check_refusal(trial, code=2)


def test_the_canary_would_be_found(cage: Cage) -> None:
    """On a connection that is not locked these statements do what they say, so that their refusal means something."""
    with duckdb.connect() as con:
        for kind in ("a reader within a query", "a subquery", "a link"):
            assert CANARY in str(con.execute(cage.given(REFUSED[kind])).fetchall()), kind


@pytest.mark.test_all
@pytest.mark.parametrize("name", REFUSED)
def test_a_filter_that_means_harm_is_refused(cage: Cage, name: str) -> None:
    """As a condition, in a subquery of one, and behind one."""
    sql = cage.given(REFUSED[name])
    warehouse = failmodes.open(cage.folder)
    for condition in (sql, f"image_id in ({sql})", f"exists ({sql})", f"true) union ({sql}", f"true; {sql}"):
        with pytest.raises(QueryError) as error:
            warehouse.compare("Alpha", "Beta", filter=condition)
        cage.check(str(error.value))


@pytest.mark.test_all
@pytest.mark.parametrize("condition", ["getenv('CANARY') = 'x'", "error(current_setting('home_directory')) is null"])
def test_a_function_in_a_filter_tells_nothing(cage: Cage, condition: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", CANARY)
    with pytest.raises(FailmodesError) as error:
        failmodes.open(cage.folder).compare("Alpha", "Beta", filter=condition)
    cage.check(str(error.value))
