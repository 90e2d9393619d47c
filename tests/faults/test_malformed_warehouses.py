"""A warehouse that a stranger changed: nothing tells what another file holds; what is refused is told in one line."""

import random
import re
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from fault_trials import attempt, half_written
from malformed_warehouses import ACCEPTED, CANARY, HELD_BY_TABLES, REFUSED, RUN_BY_WRITERS, malformed_copy, newer_copy
from synthetic_results import write_synthetic

import failmodes
from failmodes.runtime.errors import FailmodesError, WarehouseError
from failmodes.warehouse.database.status import warehouse_status

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


@pytest.mark.parametrize("sql", REFUSED.values(), ids=REFUSED)
def test_a_file_of_another_form_is_refused_in_one_line(sound_warehouse: Path, tmp_path: Path, sql: str) -> None:
    path = malformed_copy(sound_warehouse, tmp_path, sql)
    assert CANARY not in said_by_the_api(path)
    with pytest.raises(WarehouseError) as caught, failmodes.open(path) as warehouse:
        warehouse.report(tmp_path / "report.html")
    assert len(str(caught.value)) < 2300
    assert any(text in str(caught.value) for text in ("--rebuild", "is not a warehouse", "is incomplete"))
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("sql", ACCEPTED.values(), ids=ACCEPTED)
def test_what_is_theirs_is_not_run(sound_warehouse: Path, tmp_path: Path, sql: str) -> None:
    path = malformed_copy(sound_warehouse, tmp_path, sql)
    assert CANARY not in said_by_the_api(path)
    with failmodes.open(path) as warehouse:
        assert warehouse.sql("from models").height == warehouse.sql("from evaluations").height > 0


@pytest.mark.parametrize("kind", ["models is a view", "their macros", "names with controls"])
def test_no_command_tells_what_another_file_holds(sound_warehouse: Path, synthetic, tmp_path: Path, kind: str) -> None:
    """Through the installed script: nothing of the canary, no control, one line where it fails."""
    folder = tmp_path / "folder"
    folder.mkdir()
    malformed_copy(sound_warehouse, folder, (REFUSED | ACCEPTED)[kind])
    (folder / "results").symlink_to(synthetic.output / "results")
    for command in COMMANDS:
        trial = attempt(*command, folder=folder)
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


def test_a_damaged_file_is_reported_as_such(sound_warehouse: Path, tmp_path: Path) -> None:
    """Single bits flipped anywhere: an answer or one line, which never says that another program has the file open."""
    content = sound_warehouse.read_bytes()
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


def test_a_damaged_warehouse_is_rebuilt(synthetic, sound_warehouse: Path, tmp_path: Path) -> None:
    from failmodes.warehouse.database.load import load

    content = bytearray(sound_warehouse.read_bytes())
    content[len(content) // 4 : 3 * len(content) // 4] = bytes(len(content) // 2)
    path = tmp_path / "warehouse.duckdb"
    path.write_bytes(content)
    with pytest.raises(WarehouseError, match=r"is damaged.*--rebuild"), failmodes.open(path) as warehouse:
        warehouse.sql(  # one of the two lies there
            "select (select sum(hash(prediction_facts)) from prediction_facts) as p, "
            "(select sum(hash(attention)) from attention) as a"
        )
    load([synthetic.output], path, rebuild=True)
    with failmodes.open(path) as warehouse:
        assert warehouse.sql("select count(*) as n from prediction_facts")["n"].item() == 20_800


def catalog_of(path: Path) -> list[int]:
    """How many constraints, indexes, sequences, macros and types a file holds beside tables and views, and labels."""
    own = "where database_name = current_database()"
    kinds = [f"duckdb_{kind}() {own}" for kind in ("constraints", "indexes", "sequences")]
    kinds += [f"duckdb_{kind}() {own} and not internal" for kind in ("functions", "types")]
    with duckdb.connect(str(path), read_only=True) as con:
        rows = [con.execute(f"select count(*) from {kind}").fetchall() for kind in kinds]
        rows.append(con.execute("select count(distinct model_label) from models").fetchall())
    return [count for ((count,),) in rows]


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param(sql, id=name, marks=() if place % 4 == 0 else pytest.mark.corpus)
        for place, (name, sql) in enumerate((HELD_BY_TABLES | RUN_BY_WRITERS).items())
    ],
)
def test_nothing_in_an_untrusted_file_runs_when_it_is_rewritten(
    sound_warehouse: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], sql: str
) -> None:
    """A chart leaves the file as it is; a load takes over checked rows and says what it left out."""
    from failmodes.warehouse.database.load import load

    if sql in RUN_BY_WRITERS.values():
        if duckdb.__version__ < "2":
            pytest.skip("this DuckDB has no triggers")
        path = newer_copy(sound_warehouse, tmp_path / "warehouse.duckdb", sql)
    else:
        path = malformed_copy(sound_warehouse, tmp_path, sql)
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
        assert warehouse.sql("select count(*) as n from outcomes")["n"].item() == 20_800 + 26 * 20
