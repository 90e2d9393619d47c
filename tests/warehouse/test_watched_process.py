"""The process that watches a command has the last word, whatever ends the one that works."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="nothing is watched without fork")

COMMAND = """
import ctypes, os, signal, sys, time
import failmodes.__main__ as command
from failmodes.warehouse.limits import limit_command
from failmodes.warehouse.watched_process import fail_with

def work() -> None:
    print("begun", flush=True)
    {work}

command._run_command = lambda: work() or 0
command.main()
"""


def run(work: str, folder: Path, meanwhile=lambda process: None) -> tuple[int, str]:
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


@posix_only
@pytest.mark.parametrize(
    ("work", "says"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "killed, most likely for want of memory"),
        ("os.abort()", "ended by SIGABRT"),
        ("ctypes.string_at(0)", "ended by SIGSEGV"),
        ("os._exit(1)", "ended by a library with exit code 1"),
        ("os._exit(0)", "ended by a library with exit code 0"),
        ("raise MemoryError", "out of memory"),
        ("if not os.fork(): time.sleep(3), os._exit(0)\n    os._exit(3)", "ended by a library with exit code 3"),
    ],
)
def test_whatever_ends_a_command_is_one_line(work: str, says: str, tmp_path: Path) -> None:
    code, error = run(work, tmp_path)
    assert code == 1
    assert error.splitlines()[-1].startswith(f"failmodes: {says}"), error
    assert "Traceback" not in error


@posix_only
@pytest.mark.parametrize("work", ["os.kill(os.getpid(), signal.SIGKILL)", "raise MemoryError"])
def test_a_command_can_fail_with_another_code(work: str, tmp_path: Path) -> None:
    assert run(f"fail_with(2); {work}", tmp_path)[0] == 2


@posix_only
def test_what_its_libraries_do_after_its_last_word_changes_nothing(tmp_path: Path) -> None:
    assert run("import atexit; atexit.register(os.abort)", tmp_path) == (0, "")


@posix_only
@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_what_the_first_does_not(sign: signal.Signals, code: int, tmp_path: Path) -> None:
    def twice(process: subprocess.Popen) -> None:
        time.sleep(0.3)  # it says that it has begun before it has
        process.send_signal(sign)
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(sign)

    work = "\n    while True:\n        try: time.sleep(60)\n        except KeyboardInterrupt: pass"
    assert run(work, tmp_path, twice) == (code, "failmodes: stopped\n")


@posix_only
@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_library_may_end_the_process_as_it_is_stopped(sign: signal.Signals, code: int, tmp_path: Path) -> None:
    def once(process: subprocess.Popen) -> None:
        time.sleep(0.3)
        process.send_signal(sign)

    work = "\n    try: time.sleep(60)\n    except KeyboardInterrupt: os.abort()"
    assert run(work, tmp_path, once) == (code, "failmodes: stopped\n")


@posix_only
def test_the_work_ends_with_the_process_that_was_started(tmp_path: Path) -> None:
    run("open('number', 'w').write(str(os.getpid())); time.sleep(60)", tmp_path, lambda p: (time.sleep(0.3), p.kill()))
    number = int((tmp_path / "number").read_text())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{number}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{number}").exists()


@posix_only
def test_a_command_that_never_looks_at_the_clock_is_held_to_its_time(tmp_path: Path) -> None:
    started = time.monotonic()
    code, error = run("limit_command(0.5); import re; re.match('(a|aa)+$', 'a' * 60 + 'b')", tmp_path)
    assert (code, error) == (1, "failmodes: stopped after 0.5 s: ask for less, or allow more time with --timeout\n")
    assert time.monotonic() - started < 10
