"""How a command ends: at signals and limits, with an error of ours, with a known cause, and with a bug."""

import errno
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from failmodes.runtime.errors import FailmodesError, Interrupted, LimitError, QueryError, StorageError, StudyError
from failmodes.runtime.process import errors_exit_with, explain, limit_command

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither SIGTERM nor timers")

COMMAND = """
import os, signal, sys, time
import duckdb
import failmodes.__main__ as command
from failmodes.warehouse.database.connection import arrow_reader
from failmodes.runtime.errors import StudyError
from failmodes.runtime.process import errors_exit_with, interrupt_when_stopped, interruptible, limit_command

def work() -> None:
    print("begun", flush=True)
    {work}

command.run_command = lambda: work() or 0
command.main()
"""
QUERY = (
    "select hash(a.i, b.j) as h from range(1_000_000) as a(i), range(1_000_000) as b(j) where h % 1000 = 0 order by 1"
)


def run(
    work: str, folder: Path, meanwhile: Callable[[subprocess.Popen], object] = lambda process: None
) -> tuple[int, str]:
    """Exit code and stderr of a command that does `work`."""
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND.format(work=work)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    meanwhile(process)
    return process.wait(timeout=30), process.communicate()[1]


def send(*signs: signal.Signals) -> Callable[[subprocess.Popen], None]:
    """Send signals half a second apart, since a command says that it has begun before it has."""

    def meanwhile(process: subprocess.Popen) -> None:
        for sign in signs:
            time.sleep(0.5)
            assert process.poll() is None
            process.send_signal(sign)

    return meanwhile


CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
STOPPED = {
    "Python": "time.sleep(60)",
    "Python that waits": "import threading; threading.Lock().acquire(); threading.Event().wait(60)",
    "a destructor": "\n    class Slow:\n        def __del__(self): time.sleep(1)\n    Slow(); time.sleep(60)",
    "DuckDB": f"con = duckdb.connect(); interrupt_when_stopped(con); con.sql('{QUERY}').fetchall()",
    "DuckDB through Arrow": "con = duckdb.connect(); interrupt_when_stopped(con); "
    f"list(arrow_reader(con.sql('{QUERY}'), 1000))",
    "a library that raises an error of its own": "\n    try: time.sleep(60)\n    except BaseException: raise OSError",
}


@posix_only
@pytest.mark.parametrize(
    ("name", "sign"),
    [*((name, signal.SIGTERM) for name in STOPPED), ("Python", signal.SIGINT), ("DuckDB", signal.SIGINT)],
)
@pytest.mark.test_all
def test_a_signal_ends_a_command_in_one_line(name: str, sign: signal.Signals, tmp_path: Path) -> None:
    started = time.monotonic()
    assert run(STOPPED[name], tmp_path, send(sign)) == (CODES[sign], "failmodes: stopped\n")
    assert time.monotonic() - started < 10


@pytest.mark.test_all
@posix_only
@pytest.mark.parametrize("name", ["Python", "DuckDB", "a library that raises an error of its own"])
def test_a_command_ends_with_its_time_and_only_the_first_limit_holds(name: str, tmp_path: Path) -> None:
    code, line = run(f"limit_command(0.5); limit_command(30); {STOPPED[name]}".replace("; \n", "\n"), tmp_path)
    assert (code, line.count("\n")) == (1, 1)
    assert line.startswith("failmodes: stopped after 0.5 s: ")


@posix_only
@pytest.mark.parametrize(("code", "within"), [(1, "if True"), (2, "with errors_exit_with(2)")])
def test_a_command_ends_although_a_library_does_not_return(code: int, within: str, tmp_path: Path) -> None:
    work = f"""
    from pathlib import Path
    from failmodes.runtime import process
    from failmodes.runtime.storage.files import atomic_write
    process.GRACE_S = 0.3
    limit_command(0.3)
    {within}:
        with atomic_write(Path("rows.csv").absolute()) as file:
            file.write_text("half")
            while True:
                try: time.sleep(60)
                except BaseException: pass"""
    line = "failmodes: stopped after 0.3 s: use less data, or raise the limit with --timeout\n"
    assert run(work, tmp_path) == (code, line)
    assert not list(tmp_path.iterdir())


@pytest.mark.test_all
@posix_only
def test_the_line_says_what_is_kept(tmp_path: Path) -> None:
    work = "\n    with interruptible('whole epochs are kept'): time.sleep(60)"
    line = "failmodes: stopped; whole epochs are kept: run the same command to continue\n"
    assert run(work, tmp_path, send(signal.SIGTERM)) == (143, line)


@posix_only
@pytest.mark.test_all
def test_a_second_interrupt_ends_what_the_first_does_not(tmp_path: Path) -> None:
    work = "\n    while True:\n        try: time.sleep(60)\n        except KeyboardInterrupt: pass"
    code, error = run(work, tmp_path, send(signal.SIGTERM, signal.SIGTERM, signal.SIGINT))
    assert (code, error) == (-signal.SIGINT, "")


def test_a_bug_is_a_traceback_and_a_request_to_report_it(tmp_path: Path) -> None:
    code, error = run("{}['one\\x1b[31m\\n::error::two']", tmp_path)
    first, *_, last = error.splitlines()
    assert (code, first) == (70, "Traceback (most recent call last):")
    assert last == "failmodes: unexpected KeyError; this is a bug in failmodes: please report it with the lines above"
    assert "\x1b" not in error
    assert not any(line.startswith("::") for line in error.splitlines())


@pytest.mark.test_all
@pytest.mark.parametrize("asked", ["", "1"])
def test_an_error_of_ours_is_one_line_unless_its_traceback_is_asked_for(
    asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILMODES_TRACEBACK", asked)
    code, error = run("raise StudyError('no study')", tmp_path)
    assert (code, error.splitlines()[-1]) == (2, "failmodes: no study")
    assert ("Traceback" in error) == bool(asked)
    assert asked or len(error.splitlines()) == 1


KNOWN = {
    "ours": (QueryError("no column x"), QueryError, "no column x"),
    "Ctrl-C": (KeyboardInterrupt(), Interrupted, "stopped"),
    "a full disk": (OSError(errno.ENOSPC, "full", "rows.csv"), StorageError, "rows.csv: no space left on the disk"),
    "a folder of others": (PermissionError(errno.EACCES, "no", "out"), StorageError, "out: permission denied"),
    "memory of Python": (MemoryError(), LimitError, "out of memory"),
    "memory of DuckDB": (duckdb.OutOfMemoryException("Out of Memory Error: no block"), LimitError, "out of memory"),
    "a thread": (RuntimeError("can't start new thread"), LimitError, "out of memory"),
    "nesting": (RecursionError(), StudyError, "too deeply nested"),
    "bytes": (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), StudyError, "not valid UTF-8"),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_causes_are_lines(name: str) -> None:
    error, kind, says = KNOWN[name]
    explained = explain(error)
    assert type(explained) is kind
    assert says in str(explained)


def test_other_errors_are_bugs() -> None:
    assert explain(KeyError("x")) is None
    assert explain(duckdb.BinderException("Binder Error: x")) is None


def test_a_command_may_fail_with_another_code() -> None:
    for error, code in ((MemoryError(), 2), (StorageError("full"), 2), (Interrupted("stopped"), 130)):
        with pytest.raises(FailmodesError) as caught, errors_exit_with(2):
            raise error
        assert caught.value.exit_code == code
    with pytest.raises(KeyError), errors_exit_with(2):
        raise KeyError("x")


def test_nothing_is_limited_in_python() -> None:
    limit_command(0.01)
    time.sleep(0.05)
    with pytest.raises(StudyError, match="expected a finite number of seconds"):
        limit_command(float("inf"))
