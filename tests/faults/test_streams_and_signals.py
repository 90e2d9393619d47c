"""Streams that are closed, full or narrow, signals at any instant, names of any bytes: one line or the whole answer."""

import json
import shutil
import signal
import sys
from pathlib import Path

import duckdb
import pytest
from fault_trials import (
    CONTROLS,
    Trial,
    attempt,
    attempt_here,
    check_refusal,
    listing,
    processes_of,
    refused,
    shell,
    stop,
)
from marked_cases import quick
from synthetic_results import Synthetic
from warehouse_files import change_file, write_small_results

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc, as Linux alone has it")

# What prints its answer in Python, through rich, as bytes, and what writes a file
READING = {
    "query": ("query", "select model_label from models"),
    "csv": ("query", "select * from prediction_facts", "--format", "csv"),
    "status": ("status",),
    "chart": ("chart", "curves", "--output", "-"),
    "report": ("report", "--output", "report.html"),
}


@pytest.fixture
def analyst(handed: Path, tmp_path: Path) -> Path:
    """A folder with a warehouse that a test may change."""
    return Path(shutil.copytree(handed, tmp_path / "analyst"))


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


UNWRITABLE = {">&-": "writ", "> /dev/full": "no space left"}


@pytest.mark.test_all
@pytest.mark.parametrize("after", UNWRITABLE)
@pytest.mark.parametrize("name", READING)
def test_a_stdout_that_takes_nothing_is_one_line(analyst: Path, name: str, after: str) -> None:
    trial = attempt(*READING[name], folder=analyst, through=shell(after=after))
    check_refusal(trial, code=1)
    assert UNWRITABLE[after] in trial.stderr.lower()
    assert len(trial.stderr.splitlines()) == 1, trial


@pytest.mark.test_all
def test_what_a_gate_cannot_say_is_not_taken_for_a_rule_that_fails(analyst: Path) -> None:
    rules = '[gate]\ncandidate = "Beta"\n[[gate.rules]]\nmetric = "accuracy"\nrelation = "at_least"\nlimit = 0.0\n'
    (analyst / "gate.toml").write_text(rules)
    trial = attempt("gate", "gate.toml", folder=analyst, through=shell(after="> /dev/full"))
    check_refusal(trial, code=2)


@pytest.mark.test_all
def test_a_closed_stderr_takes_nothing_from_the_result(analyst: Path) -> None:
    closed = succeeded(*READING["csv"], folder=analyst, through=shell(after="2>&-"))
    assert closed.stdout == succeeded(*READING["csv"], folder=analyst).stdout


@pytest.mark.test_all
def test_what_prints_no_result_needs_no_stream(results: Synthetic, tmp_path: Path) -> None:
    """Closed numbers go to no file: what is printed would go into the warehouse."""
    closed = shell(after="<&- >&- 2>&-")
    succeeded("load", results.output, "--into", "w.duckdb", folder=tmp_path, through=closed)
    with duckdb.connect(str(tmp_path / "w.duckdb"), read_only=True) as con:
        assert con.execute("select count(*) from prediction_facts").fetchone() == (11 * 40,)


@quick("after", [">&- 2>&-", "2> /dev/full"], ">&- 2>&-")
def test_an_error_without_stderr_keeps_its_exit_code(analyst: Path, after: str) -> None:
    before = listing(analyst)
    assert attempt("query", "select nothing", folder=analyst, through=shell(after=after)).code == 2
    assert listing(analyst) == before


@pytest.mark.test_all
@quick("name", READING, "query", others="nightly")
def test_letters_that_a_stream_lacks_are_spelt_out(analyst: Path, name: str) -> None:
    narrow = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    change_file(analyst / "warehouse.duckdb", "update models set model_label = model_label || ' ResNet-18 (été, 网)'")
    succeeded(*READING[name], folder=analyst, environment=narrow)
    refused("query", "select error('été 网')", folder=analyst, environment=narrow, code=2)


PIPED = {form: ("--format", form) for form in ("table", "csv", "json")}


@pytest.mark.test_all
@quick("name", PIPED, "csv", others="nightly")
def test_a_reader_that_has_seen_enough_is_no_error(analyst: Path, name: str) -> None:
    """As in `failmodes query … | head -1`; the shell's exit code is that of `head`."""
    piped = ("sh", "-c", '{ "$@"; echo "ended $?" >&2; } | head -c 1', "sh")
    many = "select i as a, repeat('x', 100) as b from range(50_000) as t(i)"
    trial = attempt("query", many, *PIPED[name], folder=analyst, through=piped)
    lines = [line for line in trial.stderr.splitlines() if not line.startswith("first 50 of ")]
    assert lines in (["ended 0"], ["ended 1"], ["ended 141"]), trial
    assert trial.elapsed_s < 10


CROSS = "select hash(a.i, b.j) as h from range(1_000_000) as a(i), range(1_000_000) as b(j) where h % 999 = 0"
STOPPED = {"query": ("query", CROSS), "csv": ("query", CROSS, "--format", "csv"), "report": ("report",)}
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


@linux_only
@quick("sign", CODES, signal.SIGINT)
@pytest.mark.parametrize("group", [pytest.param(False, marks=pytest.mark.test_all), True], ids=["alone", "all"])
@quick("at_work", [False, True], False)
@quick("name", STOPPED, "csv", others="nightly")
def test_a_stopped_question_is_one_line(
    analyst: Path, name: str, sign: signal.Signals, group: bool, at_work: bool
) -> None:
    """Alone, as a job manager stops it, and with its whole group, as a terminal does; at once and at work."""
    groups: list[int] = []

    def meanwhile(number: int) -> None:
        groups.append(number)
        stop(number, sign, at_work=at_work, group=group)

    trial = attempt(*STOPPED[name], folder=analyst, start_new_session=True, meanwhile=meanwhile)
    if trial.code or name != "report":  # it may be done
        check_refusal(trial, "stopped", CODES[sign])
        assert len(trial.stderr.splitlines()) == 1, trial
    assert trial.elapsed_s < 10, trial
    assert processes_of(groups[0]) == []
    assert not list(analyst.rglob(".tmp-*"))


NO_TEXT = b"caf\xe9-\xff"
NOT_UTF_8 = {
    "SQL": (b"query", b"select '" + NO_TEXT + b"'"),
    "warehouse": (b"query", b"select 1", NO_TEXT + b".duckdb"),
    "study": (b"run", NO_TEXT + b".toml"),
    "results": (b"load", NO_TEXT, b"--into", b"new.duckdb"),
    "model": (b"chart", b"curves", b"--model", NO_TEXT),
    "filter": (b"images", b"--filter", b"label_name = '" + NO_TEXT + b"'"),
    "images": (b"corrupt", b"folder", b"--path", NO_TEXT, b"--to", b"to"),
}


@pytest.mark.test_all
@pytest.mark.parametrize("name", NOT_UTF_8)
def test_arguments_that_are_not_utf_8_are_one_line(analyst: Path, name: str) -> None:
    refused(*NOT_UTF_8[name], folder=analyst)


MALICIOUS = "Al\x1b]0;owned\x07ph\x1b[31ma\x1b[2J\x9b1m\u202eend"
LABELS = (
    ("models", "model_label"), ("models", "architecture"), ("models", "variant"), ("models", "training_data"),
    ("datasets", "dataset_label"), ("datasets", "note"), ("classes", "class_name"), ("corruptions", "corruption_label"),
    ("sources", "source_label"), ("evaluations", "subset"), ("evaluations", "attention_note"),
    ("evaluations", "pairing_note"), ("shards", "device"),
)  # fmt: skip


@pytest.fixture(scope="module")
def bewitched(small_warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse whose every label says something to the terminal; read only."""
    folder = Path(shutil.copytree(small_warehouse.parent, tmp_path_factory.mktemp("bewitched") / "here"))
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
    "plan": ("query", "explain select * from models where model_label = (select any_value(model_label) from models)"),
    "error": ("query", "select error(model_label) from models"),
    "error of a cast": ("query", "select model_label::integer from models"),
    "unknown saved query": ("query", f"@{MALICIOUS}"),
    "unknown warehouse": ("query", "select 1", f"{MALICIOUS}.duckdb"),
    "shapes": ("shapes",),
    "report": ("report", "--output", f"{MALICIOUS}.html"),
    "unknown model": ("chart", "curves", "--model", "nobody"),
    "unknown corruption": ("chart", "curves", "--corruption", MALICIOUS),
    "unknown command": (MALICIOUS,),
    "bad value": ("query", "select 1", "--timeout", MALICIOUS),
}
USAGE = ("unknown command", "bad value")


@quick("name", SHOWN, "table", "name of a column", "error", others="nightly")
def test_no_label_speaks_to_the_terminal(
    bewitched: Path, tmp_path: Path, name: str, request: pytest.FixtureRequest
) -> None:
    if name in USAGE:
        request.applymarker(pytest.mark.xfail(strict=True, reason="typer's own box prints arguments as they are"))
    folder = Path(shutil.copytree(bewitched, tmp_path / "here"))
    trial = attempt_here(*SHOWN[name], folder=folder)
    for text in (trial.stdout, trial.stderr):
        assert not any(letter in text for letter in (*CONTROLS, "\x07", "\u202e")), trial
        assert "Traceback" not in text, trial
    if trial.code and trial.stderr:
        check_refusal(trial)


@pytest.mark.test_all
def test_csv_and_json_carry_data_as_it_is(bewitched: Path) -> None:
    """They are read by programs: what a label holds is for them to judge (SECURITY.md)."""
    sql = "select model_label from models order by all limit 1"
    assert MALICIOUS in succeeded("query", sql, "--format", "csv", folder=bewitched).stdout
    (row,) = json.loads(succeeded("query", sql, "--format", "json", folder=bewitched).stdout)
    assert row["model_label"].startswith(MALICIOUS)


BROKEN = {
    "error": "select error('one' || chr(10) || 'two' || chr(13) || chr(10) || 'three')",
    "column": 'select "one\ntwo" from models',
    "syntax": "select one\nfrom models\nwhere",
}


@pytest.mark.test_all
@pytest.mark.parametrize("name", BROKEN)
def test_an_error_with_line_breaks_is_one_line(handed: Path, name: str) -> None:
    assert len(refused("query", BROKEN[name], folder=handed, code=2).stderr.splitlines()) == 1
