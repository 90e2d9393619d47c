"""A malicious file or an unlucky day, tried through a command: what must hold whatever was tried."""

import math
import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import NamedTuple

import pytest
from run_commands import HANGS_AFTER_S, SCRIPT, run

MAX_S, MAX_MB = 10, 2000
WITH_TORCH_S = 40
SAMPLED_S = 0.01
CONTROLS = "\x1b\x00\x07\x9b"  # what a terminal acts on


class Trial(NamedTuple):
    """How a command ended: exit code, what it printed, how long it took, and the most memory of any process of it.

    Time and memory are not a number where the command ran in the process of the tests.
    """

    code: int
    stdout: str
    stderr: str
    elapsed_s: float
    peak_mb: float


def attempt(
    *arguments: str | bytes | Path,
    folder: Path,
    environment: dict[str, str] | None = None,
    through: Sequence[str] = (),
    meanwhile: Callable[[int], object] | None = None,
    **options,
) -> Trial:
    """Run the installed command in `folder`; one that hangs is killed.

    Args:
        arguments: of the command.
        folder: where it runs.
        environment: variables that are added to those of this process.
        through: the beginning of a command line that runs the rest of it, such as `shell("ulimit -n 8; ")`.
        meanwhile: called with the number of its process as soon as it has begun.
        options: those of subprocess.Popen.
    """
    started = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        streams = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": err, **options}
        process = subprocess.Popen(
            [*through, SCRIPT, *arguments],
            cwd=folder,
            env={**os.environ, "COLUMNS": "200", **(environment or {})},
            **streams,
        )
        watchdog = Timer(HANGS_AFTER_S, os.kill, (process.pid, signal.SIGKILL))
        watchdog.start()
        try:
            if meanwhile:
                meanwhile(process.pid)
        except BaseException:
            os.kill(process.pid, signal.SIGKILL)
            raise
        finally:
            sampled_mb = _watched(process.pid)
            _, status, usage = os.wait4(process.pid, 0)
            watchdog.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
    # the system begins to count at what this process took: below that, what the command took does not show
    hidden = usage.ru_maxrss <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak_mb = sampled_mb if hidden else usage.ru_maxrss / 1024
    return Trial(process.returncode, texts[0], texts[1], time.monotonic() - started, peak_mb)


def _watched(number: int) -> float:
    """Wait for a child, which stays to be reaped: its greatest memory so far in MB, of the last time it was asked."""
    peak_kb = 0
    while not has_ended(number):
        with suppress(OSError, StopIteration), open(f"/proc/{number}/status", encoding="ascii") as file:
            peak_kb = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
        time.sleep(SAMPLED_S)
    return peak_kb / 1024


def attempt_here(*arguments: str | bytes | Path, folder: Path) -> Trial:
    """Run a command in this process, without signals and limits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "200")
        done = run(*arguments, folder=folder, expect=None)
    return Trial(done.returncode, done.stdout, done.stderr, math.nan, math.nan)


def refused(
    *arguments: str | bytes | Path,
    folder: Path,
    says: str = "",
    code: int | None = None,
    most_s: float | None = None,
    **options,
) -> Trial:
    """What must be refused: exit code not 0, one line with `says` in it, nothing left behind.

    It runs in this process, or with `most_s` seconds or `options` of `attempt` in one of its own, in so much time and
    little memory. What imports PyTorch takes `WITH_TORCH_S`: seconds on a free core, and more where tests share it.
    """
    before = listing(folder)
    if most_s is None and not options:
        trial = attempt_here(*arguments, folder=folder)
    else:
        trial = attempt(*arguments, folder=folder, **options)
        assert trial.elapsed_s < (most_s or MAX_S), trial
        assert trial.peak_mb < MAX_MB, trial
    check_refusal(trial, says, code)
    assert not half_written(folder), half_written(folder)
    assert {path: size for path, size in listing(folder).items() if path in before} == before
    return trial


def check_refusal(trial: Trial, says: str = "", code: int | None = None) -> None:
    """Whether a command that ended with an error said so as all of them must."""
    assert trial.code > 0, trial
    assert code is None or trial.code == code, trial
    lines = trial.stderr.splitlines()
    assert lines, trial
    assert lines[-1].startswith("failmodes: "), trial.stderr
    assert says in lines[-1], trial.stderr
    assert "Traceback" not in trial.stderr, trial.stderr
    assert "unexpected" not in lines[-1], trial.stderr
    assert not any(character in trial.stderr + trial.stdout for character in CONTROLS), trial


def shell(before: str = "", after: str = "") -> tuple[str, ...]:
    """The beginning of a command line (`through`) that has a shell run the rest, as in `ulimit -n 8; … >&-`."""
    return ("sh", "-c", f'{before}exec "$@" {after}', "sh")


def stop(number: int, sign: signal.Signals, after_s: float = 0, *, at_work: bool = False, group: bool = False) -> None:
    """Send a signal to a command, `after_s` seconds after it listens to signals: until then Python itself answers.

    Args:
        number: of its process.
        sign: the signal.
        after_s: seconds.
        at_work: wait until it reads a warehouse, and has taken half a second of processor time with it.
        group: send it to all processes of its group, as a terminal does; the group must be its own.
    """
    _wait_until(_listens, number)
    if at_work:
        _wait_until(_reads_a_warehouse, number)
        begun_s = _processor_s(number)
        _wait_until(lambda number: _processor_s(number) > begun_s + 0.5, number)
    time.sleep(after_s)
    with suppress(ProcessLookupError):
        (os.killpg if group else os.kill)(number, sign)


def has_ended(number: int) -> bool:
    """Whether a child of this process has ended; it is not waited for."""
    return os.waitid(os.P_PID, number, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def processes_of(group: int) -> list[int]:
    """Living processes of a process group; Linux alone says so."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                state, _parent, its_group = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:3]
                if int(its_group) == group and state != "Z":
                    found.append(int(entry.name))
    return found


def outliving(group: int, seconds: float) -> list[int]:
    """Processes of a group that are still alive so many seconds later; none as soon as all have ended."""
    deadline = time.monotonic() + seconds
    while processes_of(group) and time.monotonic() < deadline:
        time.sleep(0.05)
    return processes_of(group)


def listing(folder: Path) -> dict[str, int]:
    """Size of every regular file in a folder, less locks and remembered fingerprints."""
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".") and "cache" not in path.parts
    }


def half_written(folder: Path) -> list[Path]:
    """Temporary files that were left behind."""
    return [path for path in folder.rglob(".tmp-*")]


def _wait_until(true: Callable[[int], bool], number: int) -> None:
    """Wait until something is true of a command, or it has ended."""
    while not has_ended(number) and not true(number):
        time.sleep(0.002)


def _reads_a_warehouse(number: int) -> bool:
    with suppress(OSError):
        return any(os.readlink(file.path).endswith(".duckdb") for file in os.scandir(f"/proc/{number}/fd"))
    return False


def _processor_s(number: int) -> float:
    """What a process has taken of the processors so far, in seconds."""
    user, system = Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _listens(number: int) -> bool:
    """Whether a process has a handler of its own for SIGTERM."""
    with suppress(OSError, StopIteration):
        with open(f"/proc/{number}/status", encoding="ascii") as file:
            caught = next(int(line.split()[1], 16) for line in file if line.startswith("SigCgt"))
        return bool(caught >> (signal.SIGTERM - 1) & 1)
    return False
