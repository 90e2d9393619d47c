"""Streams that are closed, full or narrow, signals at any instant, names of any bytes: one line or the whole answer."""

import json
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
from fault_trials import CONTROLS, Trial, attempt, check_refusal, listing, processes_of, refused, shell, stop
from synthetic_results import Synthetic
from warehouse_files import write_small_results

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc, as Linux alone has it")

READING = {
    "query": ("query", "select * from prediction_facts"),
    "query of one row": ("query", "select 1"),
    "csv": ("query", "select * from prediction_facts", "--format", "csv"),
    "json": ("query", "select * from prediction_facts", "--format", "json"),
    "list": ("query", "--list"),
    "status": ("status",),
    "shapes": ("shapes",),
    "report": ("report", "--output", "report.html"),
    "chart": ("chart", "curves", "--output", "curves.svg"),
}


def quick(cases: dict[str, Any], *names: str) -> pytest.MarkDecorator:
    """All cases by name; those that are not among `names` are slow."""
    return pytest.mark.parametrize(
        "name", [pytest.param(name, marks=() if name in names else pytest.mark.slow) for name in cases]
    )


@pytest.fixture(scope="module")
def shaped(handed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a warehouse and nothing else; read only."""
    return Path(shutil.copytree(handed, tmp_path_factory.mktemp("shaped") / "here"))


@pytest.fixture
def analyst(shaped: Path, tmp_path: Path) -> Path:
    """A folder with a warehouse that a test may change."""
    return Path(shutil.copytree(shaped, tmp_path / "analyst"))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    """A small record to load; read only."""
    return write_small_results(tmp_path_factory.mktemp("results"), "Alpha")


def succeeded(*arguments: str, folder: Path, **options) -> Trial:
    """What must work, and say nothing of errors."""
    trial = attempt(*arguments, folder=folder, **options)
    assert trial.code == 0, trial
    assert "Traceback" not in trial.stderr, trial
    return trial


@quick(READING, "query of one row", "status")
def test_a_closed_stdout_is_one_line(analyst: Path, name: str) -> None:
    trial = attempt(*READING[name], folder=analyst, through=shell(after=">&-"))
    check_refusal(trial, "writ", 1)
    assert len(trial.stderr.splitlines()) == 1, trial


@quick(READING, "csv")
def test_a_stdout_on_a_full_disk_is_one_line(analyst: Path, name: str) -> None:
    trial = attempt(*READING[name], folder=analyst, through=shell(after="> /dev/full"))
    check_refusal(trial, code=1)
    assert "no space left" in trial.stderr.lower()
    assert len(trial.stderr.splitlines()) == 1, trial


@quick(READING, "query of one row")
def test_a_closed_stderr_takes_nothing_from_the_result(analyst: Path, name: str) -> None:
    closed = succeeded(*READING[name], folder=analyst, through=shell(after="2>&-"))
    assert closed.stdout == succeeded(*READING[name], folder=analyst).stdout


CLOSED = {after: after for after in ("<&- >&- 2>&-", ">&-", "2>&-", "<&-")}


@quick(CLOSED, "<&- >&- 2>&-")
def test_what_prints_no_result_needs_no_stdout(results: Synthetic, tmp_path: Path, name: str) -> None:
    """Closed numbers go to no file: what is printed would go into the warehouse."""
    succeeded("load", results.output, "--into", "w.duckdb", folder=tmp_path, through=shell(after=name))
    with duckdb.connect(str(tmp_path / "w.duckdb"), read_only=True) as con:
        assert con.execute("select count(*) from prediction_facts").fetchone() == (11 * 40,)


UNHEARD = {after: after for after in (">&- 2>&-", "2>&-", "2> /dev/full")}


@quick(UNHEARD, ">&- 2>&-")
def test_an_error_without_stderr_keeps_its_exit_code(analyst: Path, name: str) -> None:
    before = listing(analyst)
    assert attempt("query", "select nothing", folder=analyst, through=shell(after=name)).code == 2
    assert attempt("status", "gone.duckdb", folder=analyst, through=shell(after=name)).code == 2
    assert listing(analyst) == before


NARROW = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "C": {"LC_ALL": "C"},
    "C and no UTF-8": {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.mark.parametrize("encoding", NARROW)
@quick(READING, "query of one row")
def test_letters_that_a_stream_lacks_are_spelt_out(analyst: Path, name: str, encoding: str) -> None:
    environment = NARROW[encoding]
    with duckdb.connect(str(analyst / "warehouse.duckdb")) as con:
        con.execute("update models set model_label = model_label || ' ResNet-18 (été, 网)'")
    if name == "query of one row":
        succeeded("query", "select model_label from models", folder=analyst, environment=environment)
    else:
        succeeded(*READING[name], folder=analyst, environment=environment)
    refused("query", "select error('été 网')", folder=analyst, environment=environment, code=2)


PIPED = {form: ("--format", form) for form in ("table", "csv", "json")}
FEW, MANY = "select 1 as a", "select i as a, repeat('x', 100) as b from range(50_000) as t(i)"


@pytest.mark.parametrize("sql", [pytest.param(FEW, marks=pytest.mark.slow), MANY], ids=["few", "many"])
@quick(PIPED, "csv")
def test_a_reader_that_has_seen_enough_is_no_error(analyst: Path, name: str, sql: str) -> None:
    """As in `failmodes query … | head -1`; the shell's exit code is that of `head`."""
    piped = ("sh", "-c", '{ "$@"; echo "ended $?" >&2; } | head -c 1', "sh")
    trial = attempt("query", sql, *PIPED[name], folder=analyst, through=piped)
    lines = [line for line in trial.stderr.splitlines() if not line.startswith("first 50 of ")]
    assert lines in (["ended 0"], ["ended 1"], ["ended 141"]), trial
    assert trial.elapsed_s < 10


CROSS = "select count(*) from range(1_000_000_000) as a, range(1_000_000_000) as b"
STOPPED = {
    "query": ("query", CROSS, "--timeout", "100"),
    "report": ("report",),
    "status": ("status",),
    "shapes": ("shapes",),
    "chart": ("chart", "curves"),
}
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


@linux_only
@pytest.mark.parametrize("sign", CODES)
@quick(STOPPED, "query")
def test_a_stopped_question_is_one_line(analyst: Path, name: str, sign: signal.Signals) -> None:
    """Alone, as a job manager stops it, and with its whole group, as a terminal does; at once and a little later."""
    instants = (
        ((False, 0.0), (True, 0.4)) if name == "query" else ((False, 0.0), (True, 0.1), (False, 0.3), (True, 0.4))
    )
    for group, after_s in instants:
        groups: list[int] = []

        def meanwhile(number: int, group: bool = group, after_s: float = after_s, seen: list[int] = groups) -> None:
            seen.append(number)
            stop(number, sign, after_s, group=group)

        trial = attempt(*STOPPED[name], folder=analyst, start_new_session=True, meanwhile=meanwhile)
        if trial.code or name == "query":  # others may be done
            check_refusal(trial, "stopped", CODES[sign])
            assert len(trial.stderr.splitlines()) == 1, trial
        assert trial.elapsed_s < 10, trial
        assert processes_of(groups[0]) == []
        assert not list(analyst.rglob(".tmp-*"))


@linux_only
@pytest.mark.parametrize("sign", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_a_stopped_load_leaves_what_was_there(results: Synthetic, handed: Path, tmp_path: Path, sign: int) -> None:
    shutil.copy(handed / "warehouse.duckdb", tmp_path)
    load = ("load", results.output, "--into", "warehouse.duckdb")
    before = listing(tmp_path)
    for after_s in (0.0, 0.2, 0.35):
        trial = attempt(
            *load, folder=tmp_path, meanwhile=lambda number, s=after_s: stop(number, signal.Signals(sign), s)
        )
        if trial.code == 0:  # it was done first
            break
        check_refusal(trial, "stopped", CODES[signal.Signals(sign)])
        assert listing(tmp_path) == before
        assert not list(tmp_path.rglob(".tmp-*"))
    succeeded(*load, folder=tmp_path)
    assert "nothing to do" in succeeded(*load, folder=tmp_path).stderr


NO_TEXT = b"caf\xe9-\xff"
NOT_UTF_8 = {
    "SQL": (b"query", b"select '" + NO_TEXT + b"'"),
    "warehouse": (b"query", b"select 1", NO_TEXT + b".duckdb"),
    "study": (b"run", NO_TEXT + b".toml"),
    "folder": (b"status", NO_TEXT),
    "results": (b"load", NO_TEXT, b"--into", b"new.duckdb"),
    "model": (b"chart", b"curves", b"--model", NO_TEXT),
    "evaluation": (b"chart", b"curves", b"--evaluation", NO_TEXT),
    "corruption": (b"chart", b"curves", b"--corruption", NO_TEXT),
    "chart": (b"chart", NO_TEXT),
    "image": (b"chart", b"contact-sheet", b"--image", NO_TEXT),
    "filter": (b"images", b"--filter", b"label_name = '" + NO_TEXT + b"'"),
    "data set": (b"download", NO_TEXT),
    "images": (b"corrupt", b"folder", b"--path", NO_TEXT, b"--to", b"to"),
    "corrupted corruption": (b"corrupt", b"digits", b"--corruption", NO_TEXT, b"--to", b"to"),
}


@quick(NOT_UTF_8, "SQL", "results")
def test_arguments_that_are_not_utf_8_are_one_line(analyst: Path, name: str) -> None:
    refused(*NOT_UTF_8[name], folder=analyst)


@pytest.mark.parametrize(
    "arguments",
    [
        (b"query", b"select 1", b"--output", NO_TEXT + b".csv"),
        pytest.param((b"report", b"--output", NO_TEXT + b".html"), marks=pytest.mark.slow),
        pytest.param((b"chart", b"curves", b"--output", NO_TEXT + b".svg"), marks=pytest.mark.slow),
    ],
    ids=["query", "report", "chart"],
)
def test_a_file_of_any_name_is_written_or_refused_in_one_line(analyst: Path, arguments: tuple[bytes, ...]) -> None:
    trial = attempt(*arguments, folder=analyst)
    if trial.code:
        check_refusal(trial)
    else:
        assert (analyst / arguments[-1].decode(errors="surrogateescape")).stat().st_size
    assert "Traceback" not in trial.stderr


MALICIOUS = "Al\x1b]0;owned\x07ph\x1b[31ma\x1b[2J\x9b1m\u202eend"
LABELS = (
    ("models", "model_label"), ("models", "architecture"), ("models", "variant"), ("models", "training_data"),
    ("datasets", "dataset_label"), ("datasets", "note"), ("classes", "class_name"), ("corruptions", "corruption_label"),
    ("sources", "source_label"), ("evaluations", "subset"), ("evaluations", "attention_note"),
    ("evaluations", "pairing_note"), ("shards", "device"),
)  # fmt: skip


@pytest.fixture(scope="module")
def bewitched(handed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse whose every label says something to the terminal; read only."""
    folder = Path(shutil.copytree(handed, tmp_path_factory.mktemp("bewitched") / "here"))
    with duckdb.connect(str(folder / "warehouse.duckdb")) as con:
        for table, column in LABELS:
            con.execute(f"update {table} set {column} = ? || coalesce({column}, '')", [MALICIOUS])
        con.execute("update evaluations set paired = false")
    return folder


SHOWN = {
    "status": ("status",),
    "table": ("query", "select * from models"),
    "name of a column": ("query", f'select 1 as "{MALICIOUS}"'),
    "list": ("query", "select list(class_name) as l, {'a': any_value(class_name)} as s from classes"),
    "several lines": ("query", f"select '{MALICIOUS}' || chr(10) || '{MALICIOUS}' as two"),
    "plan": ("query", "explain select * from models where model_label = (select any_value(model_label) from models)"),
    "summary": ("query", "summarize models"),
    "error": ("query", "select error(model_label) from models"),
    "error of a cast": ("query", "select model_label::integer from models"),
    "unknown column": ("query", f'select "{MALICIOUS}" from models'),
    "saved query": ("query", "@worst_cells"),
    "unknown saved query": ("query", f"@{MALICIOUS}"),
    "unknown warehouse": ("query", "select 1", f"{MALICIOUS}.duckdb"),
    "shapes": ("shapes",),
    "report": ("report", "--output", f"{MALICIOUS}.html"),
    "chart": ("chart", "curves", "--output", f"{MALICIOUS}.svg"),
    "unknown model": ("chart", "curves", "--model", "nobody"),
    "unknown chart": ("chart", MALICIOUS),
    "unknown corruption": ("chart", "curves", "--corruption", MALICIOUS),
    "unknown study": ("run", f"{MALICIOUS}.toml"),
    "unknown command": (MALICIOUS,),
    "unknown option": ("query", f"--{MALICIOUS}"),
    "bad value": ("query", "select 1", "--timeout", MALICIOUS),
}
USAGE = ("unknown command", "unknown option", "bad value")


@quick(SHOWN, "status", "name of a column", "error")
def test_no_label_speaks_to_the_terminal(
    bewitched: Path, tmp_path: Path, name: str, request: pytest.FixtureRequest
) -> None:
    if name in USAGE:
        request.applymarker(pytest.mark.xfail(strict=True, reason="typer's own box prints arguments as they are"))
    folder = Path(shutil.copytree(bewitched, tmp_path / "here"))
    trial = attempt(*SHOWN[name], folder=folder)
    for text in (trial.stdout, trial.stderr):
        assert not any(letter in text for letter in (*CONTROLS, "\x07", "\u202e")), trial
        assert "Traceback" not in text, trial
    if trial.code and trial.stderr:
        check_refusal(trial)


def test_csv_and_json_carry_data_as_it_is(bewitched: Path) -> None:
    """They are read by programs: what a label holds is for them to judge (SECURITY.md)."""
    sql = "select model_label from models order by all limit 1"
    csv = succeeded("query", sql, "--format", "csv", folder=bewitched).stdout
    assert MALICIOUS in csv
    (row,) = json.loads(succeeded("query", sql, "--format", "json", folder=bewitched).stdout)
    assert row["model_label"].startswith(MALICIOUS)


BROKEN = {
    "error": "select error('one' || chr(10) || 'two' || chr(13) || chr(10) || 'three')",
    "cast": "select 'one\ntwo'::integer",
    "column": 'select "one\ntwo" from models',
    "table": 'from "one\ntwo"',
    "syntax": "select one\nfrom models\nwhere",
}


@quick(BROKEN, "error")
def test_an_error_with_line_breaks_is_one_line(handed: Path, name: str) -> None:
    trial = refused("query", BROKEN[name], folder=handed, code=2)
    assert len(trial.stderr.splitlines()) == 1


def test_a_file_whose_name_has_line_breaks_is_named_on_one_line(analyst: Path) -> None:
    name = "one\ntwo\x1b[31m"
    (analyst / f"{name}.toml").write_text("output = [")
    (analyst / f"{name}.duckdb").write_text("no database")
    for arguments in (("query", "select 1", f"{name}.duckdb"), ("load", f"{name}.toml")):
        trial = refused(*arguments, folder=analyst)
        assert len(trial.stderr.splitlines()) == 1
