"""A warehouse that a stranger changed: nothing tells what another file holds; what is refused is told in one line."""

import random
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from fault_trials import attempt_here, half_written
from marked_cases import quick
from synthetic_results import Synthetic, write_synthetic
from warehouse_files import change_file

import failmodes
from failmodes.runtime.errors import FailmodesError, WarehouseError
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.status import warehouse_status
from failmodes.warehouse.database_schema import TABLES

HEADER_BYTES = 4096
CANARY = "canary-5c1f"  # the text of a file that no command may show
READ = "(select content from read_text('{canary}') limit 1)"


def table_as_view(name: str) -> str:
    """A table of the contract replaced by a view that puts the canary into its first text."""
    text = next(column.name for column in TABLES[name].columns if column.type == "string")
    return (
        f"alter table {name} rename to {name}_stored; "
        f"create view {name} as select * replace ({READ} as {text}) from {name}_stored"
    )


def view_as_theirs(name: str) -> str:
    """A view of ours replaced by one that tells the canary."""
    return f"create or replace view {name} as select {READ} as model_label, {READ} as evaluation_id, 1 as accuracy"


# What is refused in one line: the file is not as this program writes it.
REFUSED = {
    **{f"{name} is a view": table_as_view(name) for name in ("models", "warehouse_info", "cell_metrics")},
    "a generated column": "alter table models rename to stored; create table models as select * exclude (model_label) "
    "from stored; alter table models rename to other; "
    "create table models (model_id varchar, model_label varchar generated always as ('x' || model_id))",
    "a missing table": "drop table shards",
    "another type": "alter table prediction_facts alter confidence type varchar",
    "a struct for a text": "alter table models alter model_label type struct(a varchar) using {{'a': model_label}}",
    "a null version": "update warehouse_info set schema_version = null",
    "a version with controls": "update warehouse_info set schema_version = chr(27) || ']0;x' || chr(10) || '9'",
    "a long version": "update warehouse_info set schema_version = repeat('9', 30000000)",
    "nulls where none may be": "update models set model_label = null; update datasets set dataset_label = null",
}

# What does no harm, and is not refused: everything is answered from what is ours.
ACCEPTED = {
    **{f"their {name}": view_as_theirs(name) for name in ("evaluation_labels", "accuracy_by_severity")},
    "their macros": "; ".join(
        f"create macro {name} as {READ}"
        for name in ("count(x)", "max(x)", "avg(x)", "sum(x)", "concat_ws(a, b)", "starts_with(a, b)", "round(x)")
    ),
    "their table macros": "create macro duckdb_tables() as table select {canary_text} as table_name; "
    "create macro pragma_table_info(x) as table select {canary_text} as name",
    "their schemas": "create schema other; create table other.prediction_facts as select 1 as a; "
    "create view other.models as select " + READ + " as model_label; create schema temporary",
    "their tables": """create table "a""; drop table models; --" as select 1 as "b""c"; create sequence s""",
    "a view without end": "create view endless as select * from range(1000000000) a, range(1000000000) b",
    "enums for texts": "create type labels as enum (select distinct model_label from models); "
    "alter table models alter model_label type labels",
    "a column more": "alter table models add column note varchar; update models set note = {canary_text}",
    "names with controls": "update models set model_label = chr(27) || '[2J' || chr(27) || ']0;x' || chr(7) || "
    "chr(10) || chr(0) || chr(8238) || 'net'",
}

# What would run as soon as somebody writes into the file; `newer` storage alone can hold it.
RUN_BY_WRITERS = {
    "triggers": "; ".join(
        f"create trigger {event}_{name} after {event} on {name} update models set model_label = {{canary_text}}"
        for name in ("shapes", "shards", "warehouse_info")
        for event in ("insert", "delete")
    ),
    "a trigger without end": "create table sink (a bigint); create trigger t after delete on shapes insert into sink "
    "from range(1000000000000); create trigger u after delete on warehouse_info insert into sink "
    "from range(1000000000000)",
}
HELD_BY_TABLES = {
    "macros": "; ".join(f"create macro {name} as {READ}" for name in ("count(x)", "round(x)", "now()", "len(x)")),
    "a check": "create table kept as from shapes; drop table shapes; create table shapes as from kept; "
    "alter table shapes alter corruption set not null",
    "an index of an expression": "create index u on shards ((evaluation_id || corruption || severity))",
    "a type and a sequence": "create type labels as enum (select distinct model_label from models); create sequence s; "
    "alter table models alter model_label type labels",
    "a schema": "create schema other; create table other.models as select 1 as a",
    "a generated column of theirs": "create table theirs (a bigint, b bigint generated always as (a + 1))",
    "a table called as a view of ours": "drop view outcomes; create table outcomes as select 1 as a",
    "a column more": "alter table models add column theirs varchar",
}


def newer_copy(sound: Path, path: Path, statements: str) -> Path:
    """A changed copy in the newest storage, which alone holds triggers, whose header calls it a file of DuckDB 1.2."""
    with duckdb.connect() as con:
        con.execute(f"attach '{sound}' as sound (read_only); attach '{path}' as newer (storage_version 'latest')")
        con.execute("copy from database sound to newer; use newer")
        con.execute(statements.format(canary_text=f"'{CANARY}'"))
    content = bytearray(path.read_bytes())
    content[12:20] = (65).to_bytes(8, "little")
    content[:8] = _checksum(bytes(content[8:HEADER_BYTES])).to_bytes(8, "little")
    path.write_bytes(content)
    return path


def _checksum(block: bytes) -> int:
    """DuckDB's checksum of a block of whole words."""
    found = 5381
    for (word,) in struct.iter_unpack("<Q", block):
        found ^= word * 0xBF58476D1CE4E5B9 % 2**64
    return found


def malformed_copy(sound: Path, folder: Path, statements: str) -> Path:
    """A changed copy of a sound warehouse in `folder`, beside the canary file."""
    canary = folder / "canary.txt"
    canary.write_text(CANARY)
    path = Path(shutil.copy(sound, folder / "warehouse.duckdb"))
    change_file(path, statements.format(canary=canary, canary_text=f"'{CANARY}'"))
    return path


ASKED = ("from evaluation_labels", "from accuracy_by_severity", "@worst_cells", "show tables")
COMMANDS = (
    ("status",),
    ("query", "from evaluation_labels"),
    ("images", "--filter", "true", "-o", "images.html"),
    ("report",),
    ("export", "--evaluation", "Alpha", "exported.duckdb"),
    ("site", "--to", "site", "--images", "2"),
    ("load", "results", "--into", "warehouse.duckdb"),
)
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


def said_by_the_api(path: Path) -> str:
    """All that the public functions say of a warehouse; an error must be one of ours."""
    texts: list[str] = []

    def say(call: Callable[[], object]) -> None:
        try:
            texts.append(str(call()))
        except FailmodesError as error:
            texts.append(str(error))

    say(lambda: warehouse_status(path))
    try:
        warehouse = failmodes.open(path)
    except FailmodesError as error:
        return "\n".join([*texts, str(error)])
    say(lambda: repr(warehouse) + warehouse._repr_html_())
    say(lambda: [*warehouse.tables().rows(), *warehouse.schema().rows()])
    say(lambda: warehouse.table("models").rows())
    for sql in ASKED:
        say(lambda sql=sql: warehouse.sql(sql).rows())
    say(lambda: warehouse.export(path.with_name("exported.duckdb"), evaluation="Alpha").read_bytes())
    return "\n".join(texts)


@quick("name", REFUSED, "models is a view", "a null version")
def test_a_file_of_another_form_is_refused_in_one_line(small_warehouse: Path, tmp_path: Path, name: str) -> None:
    path = malformed_copy(small_warehouse, tmp_path, REFUSED[name])
    assert CANARY not in said_by_the_api(path)
    with pytest.raises(WarehouseError) as caught, failmodes.open(path) as warehouse:
        warehouse.report(tmp_path / "report.html")
    assert len(str(caught.value)) < 2300
    assert any(text in str(caught.value) for text in ("--rebuild", "is not a warehouse", "is incomplete"))
    assert not (tmp_path / "report.html").exists()


@pytest.mark.test_all
@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_theirs_is_not_run(small_warehouse: Path, tmp_path: Path, name: str) -> None:
    path = malformed_copy(small_warehouse, tmp_path, ACCEPTED[name])
    assert CANARY not in said_by_the_api(path)
    with failmodes.open(path) as warehouse:
        assert warehouse.sql("from models").height == warehouse.sql("from evaluations").height > 0


@quick("kind", ["models is a view", "their macros", "names with controls"], "models is a view")
def test_no_command_tells_what_another_file_holds(
    small_warehouse: Path, small_results: Synthetic, tmp_path: Path, kind: str
) -> None:
    """Nothing of the canary, no control, one line where it fails."""
    folder = tmp_path / "folder"
    folder.mkdir()
    malformed_copy(small_warehouse, folder, (REFUSED | ACCEPTED)[kind])
    (folder / "results").symlink_to(small_results.output / "results")
    for command in COMMANDS:
        trial = attempt_here(*command, folder=folder)
        said = trial.stdout + trial.stderr
        assert CANARY not in said
        assert not CONTROLS.search(said), said
        assert "Traceback" not in said
        assert "unexpected" not in said
        assert trial.code in (0, 1, 2), trial
        assert trial.code == 0 or trial.stderr.splitlines()[-1].startswith("failmodes: "), trial
        assert not half_written(folder)
    for made in (*folder.glob("*.*"), *folder.glob("site/**/*.json")):
        if made.suffix in (".html", ".svg", ".json"):
            assert CANARY not in made.read_text()
    if (copied := folder / "site" / "warehouse.duckdb").exists():
        assert CANARY.encode() not in copied.read_bytes()


@pytest.mark.test_all
def test_a_damaged_file_is_reported_as_such(small_warehouse: Path, tmp_path: Path) -> None:
    """Single bits flipped anywhere: an answer or one line, which never says that another program has the file open."""
    content = small_warehouse.read_bytes()
    samples = random.Random(0)
    reported = 0
    for _ in range(12):
        path = tmp_path / "warehouse.duckdb"
        damaged = bytearray(content)
        damaged[samples.randrange(len(content))] ^= 1 << samples.randrange(8)
        path.write_bytes(damaged)
        said = said_by_the_api(path)
        assert "another program" not in said
        reported += "damaged" in said or "cannot be opened" in said
    assert reported > 0


@pytest.mark.test_all
def test_a_damaged_warehouse_is_rebuilt(small_results: Synthetic, small_warehouse: Path, tmp_path: Path) -> None:
    content = bytearray(small_warehouse.read_bytes())
    content[len(content) // 4 : 3 * len(content) // 4] = bytes(len(content) // 2)
    path = tmp_path / "warehouse.duckdb"
    path.write_bytes(content)
    with pytest.raises(WarehouseError, match=r"is damaged.*--rebuild"), failmodes.open(path) as warehouse:
        warehouse.sql(  # one of the two lies there
            "select (select sum(hash(prediction_facts)) from prediction_facts) as p, "
            "(select sum(hash(attention)) from attention) as a"
        )
    load([small_results.output], path, rebuild=True)
    with failmodes.open(path) as warehouse:
        assert warehouse.sql("select count(*) as n from prediction_facts")["n"].item() == 2 * 5 * 40


def catalog_of(path: Path) -> list[int]:
    """How many constraints, indexes, sequences, macros and types a file holds beside tables and views, and labels."""
    own = "where database_name = current_database()"
    kinds = [f"duckdb_{kind}() {own}" for kind in ("constraints", "indexes", "sequences")]
    kinds += [f"duckdb_{kind}() {own} and not internal" for kind in ("functions", "types")]
    with duckdb.connect(str(path), read_only=True) as con:
        rows = [con.execute(f"select count(*) from {kind}").fetchall() for kind in kinds]
        rows.append(con.execute("select count(distinct model_label) from models").fetchall())
    return [count for ((count,),) in rows]


@pytest.mark.test_all
@pytest.mark.parametrize("name", HELD_BY_TABLES | RUN_BY_WRITERS)
def test_nothing_in_an_untrusted_file_runs_when_it_is_rewritten(
    small_warehouse: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """A chart leaves the file as it is; a load takes over checked rows and says what it left out."""
    if name in RUN_BY_WRITERS:
        if duckdb.__version__ < "2":
            pytest.skip("this DuckDB has no triggers")
        path = newer_copy(small_warehouse, tmp_path / "warehouse.duckdb", RUN_BY_WRITERS[name])
    else:
        path = malformed_copy(small_warehouse, tmp_path, HELD_BY_TABLES[name])
    before = path.read_bytes()
    with failmodes.open(path) as warehouse:
        assert CANARY not in str(warehouse.chart("curves").to_dict())
        warehouse.report(tmp_path / "report.html")
    assert path.read_bytes() == before
    capsys.readouterr()
    more = write_synthetic(tmp_path / "more", images=20, models=("Gamma",)).output
    load([more], path)
    assert "which failmodes did not create" in capsys.readouterr().err
    assert catalog_of(path) == [0, 0, 0, 0, 0, 3]
    assert not half_written(tmp_path)
    with failmodes.open(path) as warehouse:
        assert set(warehouse.table("models")["model_label"]) == {"Alpha", "Beta", "Gamma"}
        assert warehouse.sql("select count(*) as n from outcomes")["n"].item() == 2 * 5 * 40 + 26 * 20
