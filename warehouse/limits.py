"""Limits of time and memory for a command that reads what others may have made.

DuckDB looks at its clock and counts its memory between steps, and a single function may run for minutes in one step, on
memory that nobody counts. So the command goes on in a child process, which the system holds to its memory, and which is
killed where it outlives its time; the process that was started only watches.
"""

import math
import os
import select
import signal
import sys
import threading
from types import FrameType

from failmodes.warehouse.errors import LimitError, StudyError
from failmodes.warehouse.terminal import TerminationSignal, raise_on_termination

GRACE_S = 1.5  # in which a child that was told to stop may tidy up
READING_MEMORY = 0.8  # of the machine's, for a command of ours
QUERY_MEMORY = 0.5  # of the machine's, for SQL that was typed in

DATABASE_SHARE = 0.7  # of what is left, for DuckDB: Python, Arrow and threads need the rest
LEAST_DATABASE_MEMORY = 16 << 20

_THREADED = {"duckdb", "numpy", "polars", "pyarrow", "pytest", "torch"}  # whose threads a child would lack

_OUT_OF_MEMORY = "killed, most likely for want of memory: ask for less, or free some"


class TimeIsUp(KeyboardInterrupt):
    """The time of a command is over; raised where it was, so that it tidies up."""


class _Watch:
    """Whether this process may still be split into a watching and a working one: only a command line is."""

    allowed = False
    timeout_s: float | None = None


def allow_limits(allowed: bool = True) -> None:
    """Let `limit_command` split this process, or not; one that has threads, or may have, is never split."""
    _Watch.allowed = allowed and hasattr(os, "fork") and not _THREADED & sys.modules.keys()


def limit_command(timeout_s: float | None, memory_bytes: int | None = None) -> None:
    """Hold what follows in this command to a time and to a memory, from its start to the end of the process.

    On systems without fork, and in other programs than the command line, nothing is held but what DuckDB holds itself.

    Args:
        timeout_s: seconds; None for no limit.
        memory_bytes: memory beyond what the process has now, bytes; None for READING_MEMORY of the machine's.

    Raises:
        StudyError: `timeout_s` is no finite number above 0.
        LimitError: the time was over, or the child was killed (in the process that watches).
        SystemExit: the child is done (in the process that watches), with its exit code.
    """
    if timeout_s is not None and not 0 < timeout_s < math.inf:
        raise StudyError(f"a limit of {timeout_s:g} s: expected a finite number of seconds, such as 60")
    if not _Watch.allowed:
        return
    _Watch.allowed, _Watch.timeout_s = False, timeout_s
    _flush()
    child_ended, held_by_child = os.pipe()  # each is read to its end when the process that holds the other end is gone
    parent_ended, held_by_parent = os.pipe()
    child = os.fork()
    if child:
        os.close(held_by_child)
        _watch(child, child_ended, timeout_s)
    os.close(held_by_parent)
    threading.Thread(target=_exit_after, args=(parent_ended,), daemon=True).start()
    _limit_memory(memory_bytes or int(READING_MEMORY * machine_memory()))
    _listen(timeout_s)


def machine_memory() -> int:
    """Memory of this machine, or of the container that holds this process where that is less, bytes."""
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return 8 << 30
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            return min(machine, int(file.read()))
    except (OSError, ValueError):  # no container, or "max"
        return machine


def query_memory(memory_gb: float | None) -> int:
    """Memory that SQL which was typed in may take, bytes: what is asked for, or QUERY_MEMORY of the machine's."""
    if memory_gb is not None and not 0 < memory_gb < math.inf:
        raise StudyError(f"a limit of {memory_gb:g} GB: expected a finite number of gigabytes, such as 4")
    return int(QUERY_MEMORY * machine_memory() if memory_gb is None else memory_gb * 1e9)


def database_memory() -> int | None:
    """Memory that DuckDB may count on where the system holds this process to less than it has, bytes; else None.

    Then DuckDB's own default holds, 80 % of the machine's or the container's. A process that is refused memory may fail
    anywhere; DuckDB, which knows its limit, says what it lacks.
    """
    if not sys.platform.startswith("linux"):
        return None
    import resource

    held = (("VmData:", resource.RLIMIT_DATA), ("VmSize:", resource.RLIMIT_AS))
    limits = [(field, resource.getrlimit(kind)[0]) for field, kind in held]
    left = [limit - _status_bytes(field) for field, limit in limits if limit != resource.RLIM_INFINITY]
    return max(int(DATABASE_SHARE * min(left)), LEAST_DATABASE_MEMORY) if left else None


def time_is_up() -> LimitError:
    """The error of a command whose time is over."""
    return LimitError(f"stopped after {_Watch.timeout_s or 0:g} s: ask for less, or allow more time with --timeout")


def _limit_memory(more_bytes: int) -> None:
    """Hold this process to what it has now and `more_bytes`; Linux alone counts what is written to, not reserved."""
    if not sys.platform.startswith("linux"):
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = _status_bytes("VmData:") + more_bytes
    known = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([wanted, *known]), hard))


def _status_bytes(field: str) -> int:
    """What Linux counts for this process, such as VmData, bytes."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field)) * 1024


def _listen(timeout_s: float | None) -> None:
    """Answer the first signal by unwinding, and ignore those that follow: a terminal and the watcher both send one."""

    def once(number: int, _frame: FrameType | None) -> None:
        for other in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            signal.signal(other, signal.SIG_IGN)
        kinds = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: TerminationSignal, signal.SIGALRM: TimeIsUp}
        raise kinds[signal.Signals(number)]

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, once)
    if timeout_s is not None:
        signal.setitimer(signal.ITIMER_REAL, timeout_s)


def _exit_after(parent_ended: int) -> None:
    """End this process where the one that watches it was killed: nobody would hold it to its time."""
    os.read(parent_ended, 1)
    os._exit(1)


def _watch(child: int, child_ended: int, timeout_s: float | None) -> None:
    """Wait for the child, pass signals on to it, kill it when its time is over; does not return."""
    raise_on_termination()
    left_s = None if timeout_s is None else timeout_s + GRACE_S
    try:
        ended = bool(select.select([child_ended], [], [], left_s)[0])
    except KeyboardInterrupt as stop:
        os.kill(child, signal.SIGTERM if isinstance(stop, TerminationSignal) else signal.SIGINT)
        ended = _ended_after(child_ended, GRACE_S)
        if not ended:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise  # the child could not say it
    if not ended:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise time_is_up()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0:
        raise LimitError(_OUT_OF_MEMORY if code == -signal.SIGKILL else f"ended by {signal.Signals(-code).name}")
    sys.exit(code)


def _ended_after(child_ended: int, seconds: float) -> bool:
    try:
        return bool(select.select([child_ended], [], [], seconds)[0])
    except KeyboardInterrupt:
        return False


def _flush() -> None:
    """Bring out what was printed: both processes would print it."""
    sys.stdout.flush()
    sys.stderr.flush()
