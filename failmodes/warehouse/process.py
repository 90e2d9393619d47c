"""The process of a command: signals and limits that stop it, and the line that says what ended it."""

import gc
import math
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, NoReturn
from weakref import WeakSet

from failmodes.warehouse.errors import FailmodesError, Interrupted, LimitError, StorageError, StudyError, first_line
from failmodes.warehouse.storage.files import reason_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

READING_MEMORY = 0.8  # of the machine's, for a command of ours
QUERY_MEMORY = 0.5  # of the machine's, for SQL that was typed in
DATABASE_SHARE = 0.7  # of what is left, for DuckDB: Python, Arrow and threads need the rest
LEAST_DATABASE_MEMORY = 16 << 20
FEW_FILES = 64  # open at a time: libraries that run short of them fail in words of their own
AGAIN_S = 0.05  # after which a stop is raised once more

_STOPS = {signal.SIGINT, signal.SIGTERM, *([signal.SIGALRM] if hasattr(signal, "SIGALRM") else [])}
_DUCKDB_STOPPED = "Query interrupted"
_SIGNS_OF_NO_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't start new thread",
    "allocate memory",
    "bad_alloc",
    "failed to map segment",
)


class TerminationSignal(KeyboardInterrupt):
    """SIGTERM, raised where the process was: it unwinds as Ctrl-C does."""


class TimeIsUp(KeyboardInterrupt):
    """The time of a command is over; raised where it was, so that it tidies up."""


class _Command:
    """The command that this process runs.

    Attributes:
        takes_limits: whether `limit_command` limits anything: only in a command, and once.
        timeout_s: seconds that it may take.
        stop: what stopped it, as it was raised.
        connections: those of DuckDB that are open.
        leaves_threads: whether it ends though threads of a library wait for work.
    """

    takes_limits = False
    timeout_s = 0.0
    stop: KeyboardInterrupt | None = None
    connections: "WeakSet[DuckDBPyConnection]" = WeakSet()
    leaves_threads = False


def begin_command() -> None:
    """Let Ctrl-C and SIGTERM unwind this process, so that it tidies up; `limit_command` may limit it from now on."""
    _Command.takes_limits = True
    for number in _STOPS:
        signal.signal(number, _raise_stop)
    sys.unraisablehook = _raise_again
    if os.name == "posix":
        arrived, written = os.pipe()
        os.set_blocking(written, False)
        signal.set_wakeup_fd(written)
        threading.Thread(target=_interrupt_queries, args=(arrived,), daemon=True).start()


def ignore_stops() -> None:
    """Let no signal stop this process any more, so that it can say what ended it."""
    for number in _STOPS:
        signal.signal(number, signal.SIG_IGN)


def leave_threads() -> None:
    """Let this command end though threads of a library wait for work, which Python would wait for."""
    _Command.leaves_threads = True


def end_process(code: int) -> NoReturn:
    """End this process, whose output is out."""
    if _Command.leaves_threads:
        os._exit(code)
    gc.freeze()  # collecting what is left would take a tenth of a short command
    sys.exit(code)


def raise_if_stopped() -> None:
    """Raise the stop of this command once more, where a library has made something else of it."""
    if _Command.stop is not None:
        raise _Command.stop


def interrupt_when_stopped(con: "DuckDBPyConnection") -> None:
    """Have what stops this command interrupt the queries of a connection too."""
    _Command.connections.add(con)


def interrupt(con: "DuckDBPyConnection") -> None:
    """Interrupt the queries of a connection, from another thread; nothing where it is closed meanwhile."""
    with suppress(Exception):
        con.interrupt()


def _interrupt_queries(arrived: int) -> None:
    """Interrupt DuckDB at a signal: Python's own handlers wait until a query, or a part of its answer, is there."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)  # the main thread gets them, and wakes from what it waits for
    while os.read(arrived, 1)[0] not in _STOPS:
        pass
    for con in tuple(_Command.connections):
        interrupt(con)


def _raise_stop(number: int, _frame: FrameType | None) -> None:
    """Unwind at the first signal; a second Ctrl-C ends the process at once, if it takes too long to tidy up."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # `timeout` of a shell sends it twice
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)
    kinds = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: TerminationSignal}
    _Command.stop = _Command.stop or kinds.get(signal.Signals(number), TimeIsUp)()
    raise _Command.stop


def _raise_again(unraisable: "sys.UnraisableHookArgs") -> None:
    """Raise a stop once more that came within a destructor or a callback of a weak reference, where Python drops it."""
    if _Command.stop and unraisable.exc_value is _Command.stop and hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
    else:
        sys.__unraisablehook__(unraisable)


def stop_behind(error: BaseException) -> KeyboardInterrupt | None:
    """The stop behind an error: the error itself, or the signal at which a library raised an error of its own.

    Where a handler raises while DuckDB works, DuckDB forgets what it raised, and raises RuntimeError("Query
    interrupted").
    """
    if isinstance(error, KeyboardInterrupt):
        return error
    is_by_duckdb = isinstance(error, RuntimeError) and str(error) == _DUCKDB_STOPPED
    return _Command.stop or (KeyboardInterrupt() if is_by_duckdb else None)


@contextmanager
def interruptible(kept: str) -> Iterator[None]:
    """Turn Ctrl-C, SIGTERM and the end of its time into one line, which begins with what is `kept`.

    Raises:
        Interrupted: the user pressed Ctrl-C, or the process got SIGTERM.
        LimitError: its time is over.
    """
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        try:
            stop = stop_behind(error)
        except KeyboardInterrupt as due:  # DuckDB may hear of a signal before Python does
            stop = due
        if stop is None:
            raise
        raise _error_of_stop(stop, f"; {kept}") from error


def explain(error: BaseException) -> FailmodesError | None:
    """The error of one line for a known cause, those that are meant for the user as they are; None for a bug."""
    if isinstance(error, FailmodesError):
        return error
    if (stop := stop_behind(error)) is not None:
        return _error_of_stop(stop)
    if _is_want_of_memory(error):
        return LimitError("out of memory: ask for less, close other programs, or raise the limit (ulimit -v)")
    if isinstance(error, OSError):
        where = f" {error.filename}" if error.filename else ""
        return StorageError(f"cannot read or write{where}: {reason_of(error)}")
    if isinstance(error, RecursionError):
        return StudyError("too deeply nested to be read")
    if isinstance(error, UnicodeError):
        return StudyError(f"text that is not valid UTF-8: {first_line(error)}")
    if (held := _scarcity()) is not None:
        return LimitError(f"{held}, most likely too little ({first_line(error)}): raise it, or ask for less")
    return None


@contextmanager
def errors_exit_with(code: int) -> Iterator[None]:
    """Have errors that would end the command with 1 end it with another code."""
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        try:
            explained = explain(error)
        except KeyboardInterrupt as due:  # as in `interruptible`
            explained = explain(due)
        if explained is None or explained.exit_code != FailmodesError.exit_code:
            raise
        explained.exit_code = code
        raise explained from error


def _error_of_stop(stop: KeyboardInterrupt, kept: str = "") -> FailmodesError:
    if isinstance(stop, TimeIsUp):
        advice = "ask for less, or allow more time with --timeout"
        return LimitError(f"stopped after {_Command.timeout_s:g} s{kept}: {advice}")
    line = f"stopped{kept}: run the same command to go on" if kept else "stopped"
    return Interrupted(line, exit_code=143 if isinstance(stop, TerminationSignal) else 130)


def _is_want_of_memory(error: BaseException) -> bool:
    """Whether memory, or a thread for want of it, was refused; libraries say so in their own ways."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in text for sign in _SIGNS_OF_NO_MEMORY)


def _scarcity() -> str | None:
    """What the shell holds this process to, in words, where that may be too little for its libraries; else None."""
    if os.name != "posix":
        return None
    import resource

    memory, files = resource.getrlimit(resource.RLIMIT_AS)[0], resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if memory != resource.RLIM_INFINITY:
        return f"this process is held to {memory / 1e9:,.3g} GB of memory (ulimit -v)"
    if files != resource.RLIM_INFINITY and files <= FEW_FILES:
        return f"this process may open no more than {files} files (ulimit -n)"
    return None


def lift_limits() -> None:
    """Have `limit_command` limit nothing from here on."""
    _Command.takes_limits = False


def limit_command(timeout_s: float | None, memory_bytes: int | None = None) -> None:
    """Limit the time and the memory of this command, from here to its end; nothing where Python called its function.

    The time stops it between two steps of Python or DuckDB; one function that runs for long is waited for.

    Args:
        timeout_s: seconds; None for no limit.
        memory_bytes: memory beyond what the process has now, bytes; None for READING_MEMORY of the machine's.

    Raises:
        StudyError: `timeout_s` is no finite number above 0.
    """
    if timeout_s is not None and not 0 < timeout_s < math.inf:
        raise StudyError(f"a limit of {timeout_s:g} s: expected a finite number of seconds, such as 60")
    if not _Command.takes_limits:
        return
    lift_limits()  # what a command calls next is a part of it
    if timeout_s is not None and hasattr(signal, "setitimer"):
        _Command.timeout_s = timeout_s
        signal.setitimer(signal.ITIMER_REAL, timeout_s)
    _limit_memory(memory_bytes or int(READING_MEMORY * machine_memory()))


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

    Then DuckDB's own default holds, 80% of the machine's or the container's. A process that is refused memory may fail
    anywhere; DuckDB, which knows its limit, says what it lacks.
    """
    if not sys.platform.startswith("linux"):
        return None
    import resource

    held = (("VmData:", resource.RLIMIT_DATA), ("VmSize:", resource.RLIMIT_AS))
    limits = [(field, resource.getrlimit(kind)[0]) for field, kind in held]
    left = [limit - _status_bytes(field) for field, limit in limits if limit != resource.RLIM_INFINITY]
    return max(int(DATABASE_SHARE * min(left)), LEAST_DATABASE_MEMORY) if left else None


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
