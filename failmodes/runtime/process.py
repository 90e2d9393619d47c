"""The process of a command: signals and limits that stop it, and the error line for the cause."""

import gc
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import FrameType
from typing import TYPE_CHECKING, NoReturn
from weakref import WeakSet

from failmodes.runtime.errors import FailmodesError, Interrupted, LimitError, StorageError, StudyError, first_line
from failmodes.runtime.storage.files import discard_temporaries, reason_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

READING_MEMORY = 0.8  # of the machine's, for a command
QUERY_MEMORY = 0.5  # of the machine's, for a user's SQL
DATABASE_SHARE = 0.7  # of the rest, for DuckDB: Python, Arrow and threads need memory too
MIN_DATABASE_MEMORY = 16 << 20
FEW_FILES = 64  # open at a time: libraries fail with their own errors below that
AGAIN_S = 0.05  # until a stop is raised again
GRACE_S = 1.0  # from a stop of a command with a time limit to its end, for functions of libraries that do not return

TERMINATIONS = {getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)}
_STOPS = {*TERMINATIONS, signal.SIGINT, *([signal.SIGALRM] if hasattr(signal, "SIGALRM") else [])}
_DUCKDB_STOPPED = "Query interrupted"
_SIGNS_OF_NO_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't start new thread",
    "allocate memory",
    "bad_alloc",
    "failed to map segment",
)


_opened_by_task: "ContextVar[list[DuckDBPyConnection]]" = ContextVar("opened_by_task")


class TerminationSignal(KeyboardInterrupt):
    """SIGTERM or SIGHUP, raised in the main thread: it unwinds like Ctrl-C."""


class TimeIsUp(KeyboardInterrupt):
    """The time limit of a command, raised in the main thread so that it cleans up."""


class _Command:
    """The command of this process.

    Attributes:
        takes_limits: whether `limit_command` has an effect: only in a command, and once.
        timeout_s: its time limit in seconds.
        stop: the exception that stopped it.
        failure_code: the exit code of its errors that have no other.
        has_reported: whether it has printed its result or its error.
        connections: open connections of DuckDB.
        leaves_threads: whether it ends although threads of a library wait for work.
    """

    takes_limits = False
    timeout_s = 0.0
    stop: KeyboardInterrupt | None = None
    failure_code = FailmodesError.exit_code
    has_reported = False
    connections: "WeakSet[DuckDBPyConnection]" = WeakSet()
    leaves_threads = False


def begin_command() -> None:
    """Let Ctrl-C, SIGTERM and SIGHUP unwind this process, so that it cleans up; enables `limit_command`.

    Threads of OpenMP, which PyTorch computes with, spin only briefly while they wait for one another, unless the
    environment says otherwise. By default they spin for milliseconds: beside other work on one of two cores, ResNet-18
    took three times the CPU time and predicted half as many images a second (`make bench ONLY=busy`). Threads that
    sleep at once cost MobileNetV3 a sixth of its speed on a machine of its own.

    PyTorch allocates large tensors on huge pages (Linux, if the kernel offers them), for which it faults fewer pages:
    forward passes at 224 pixels are 1.0 to 1.6 times as fast on two cores.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # read when PyTorch is imported, also in child processes
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # likewise
    _Command.takes_limits = True
    for number in unless_nohup(_STOPS):
        signal.signal(number, _raise_stop)
    sys.unraisablehook = _raise_again
    if os.name == "posix":
        arrived, written = os.pipe()
        os.set_blocking(written, False)
        signal.set_wakeup_fd(written)
        threading.Thread(target=_interrupt_queries, args=(arrived,), daemon=True).start()


def unless_nohup(numbers: Collection[signal.Signals]) -> list[signal.Signals]:
    """The signals without SIGHUP if that is ignored, as under `nohup`: it stays so."""
    return [number for number in numbers if number.name != "SIGHUP" or signal.getsignal(number) is not signal.SIG_IGN]


def ignore_stops() -> None:
    """Ignore stop signals from now on, so that the process can print its error."""
    for number in _STOPS:
        signal.signal(number, signal.SIG_IGN)


def leave_threads() -> None:
    """Let this command end without waiting for idle threads of a library."""
    _Command.leaves_threads = True


def end_process(code: int) -> NoReturn:
    """End this process after its output is flushed."""
    _Command.has_reported = True
    if _Command.leaves_threads:
        os._exit(code)
    if os.name == "posix":  # PyTorch's handler raises an error for a worker that ends with this process
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    gc.freeze()  # garbage collection would take a tenth of a short command
    sys.exit(code)


def raise_if_stopped() -> None:
    """Raise the stop of this command again, if a library has replaced it by another error."""
    if _Command.stop is not None:
        raise _Command.stop


def interrupt_when_stopped(con: "DuckDBPyConnection") -> None:
    """Interrupt the queries of a connection too when this command is stopped, or the task that opens it."""
    _Command.connections.add(con)
    if (opened := _opened_by_task.get(None)) is not None:
        opened.append(con)


def connections_of_task() -> "list[DuckDBPyConnection]":
    """The connections that the current task opens from now on, also in its threads: a list that grows."""
    opened: list[DuckDBPyConnection] = []
    _opened_by_task.set(opened)
    return opened


def interrupt(con: "DuckDBPyConnection") -> None:
    """Interrupt the queries of a connection from another thread, unless it is closed."""
    with suppress(Exception):
        con.interrupt()


def _interrupt_queries(arrived: int) -> None:
    """Interrupt DuckDB at a signal: Python's own handlers wait for a query or its next batch of rows.

    DuckDB and other libraries may not return for minutes: a command with a time limit then ends without them.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)  # the main thread receives them and wakes up
    while (number := os.read(arrived, 1)[0]) not in _STOPS:
        pass
    for con in tuple(_Command.connections):
        interrupt(con)
    if _Command.timeout_s:
        time.sleep(GRACE_S)
        _end_at_once(number)


def _end_at_once(number: int) -> NoReturn:
    """End this process at a signal that the main thread has not handled in time."""
    discard_temporaries()
    error = _error_of_stop(_Command.stop or _stop_of(number))
    if not _Command.has_reported:
        with suppress(OSError):  # not by sys.stderr, which the main thread may hold
            os.write(2, f"failmodes: {error}\n".encode())
    os._exit(_Command.failure_code if error.exit_code == FailmodesError.exit_code else error.exit_code)


def _raise_stop(number: int, _frame: FrameType | None) -> None:
    """Unwind at the first signal; a second Ctrl-C ends the process at once, if the cleanup takes too long."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for other in TERMINATIONS:
        signal.signal(other, signal.SIG_IGN)  # the shell's `timeout` sends SIGTERM twice, systemd SIGHUP after it
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)
    _Command.stop = _Command.stop or _stop_of(number)
    raise _Command.stop


def _stop_of(number: int) -> KeyboardInterrupt:
    """The exception of a stop signal."""
    kinds = {"SIGINT": KeyboardInterrupt, "SIGALRM": TimeIsUp}
    return kinds.get(signal.Signals(number).name, TerminationSignal)()


def _raise_again(unraisable: "sys.UnraisableHookArgs") -> None:
    """Raise a stop again that Python dropped in a destructor or a callback of a weak reference."""
    if _Command.stop and unraisable.exc_value is _Command.stop and hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
    else:
        sys.__unraisablehook__(unraisable)


def stop_behind(error: BaseException) -> KeyboardInterrupt | None:
    """The stop behind an error: the error itself, or the signal at which a library raised an error of its own.

    If a handler raises while DuckDB works, DuckDB replaces the exception by RuntimeError("Query interrupted").
    """
    if isinstance(error, KeyboardInterrupt):
        return error
    is_by_duckdb = isinstance(error, RuntimeError) and str(error) == _DUCKDB_STOPPED
    return _Command.stop or (KeyboardInterrupt() if is_by_duckdb else None)


@contextmanager
def interruptible(kept: str) -> Iterator[None]:
    """Turn Ctrl-C, SIGTERM, SIGHUP and the time limit into one error line, which states what is `kept`.

    Raises:
        Interrupted: the user pressed Ctrl-C, or the process got SIGTERM or SIGHUP.
        LimitError: the time limit is reached.
    """
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        try:
            stop = stop_behind(error)
        except KeyboardInterrupt as due:  # DuckDB may handle a signal before Python does
            stop = due
        if stop is None:
            raise
        raise _error_of_stop(stop, f"; {kept}") from error


def explain(error: BaseException) -> FailmodesError | None:
    """The one-line error for a known cause; None for a bug."""
    if isinstance(error, FailmodesError):
        return error
    if (stop := stop_behind(error)) is not None:
        return _error_of_stop(stop)
    if _is_want_of_memory(error):
        return LimitError("out of memory: use less data, close other programs, or raise the limit (ulimit -v)")
    if isinstance(error, OSError):
        where = f" {error.filename}" if error.filename else ""
        return StorageError(f"cannot read or write{where}: {reason_of(error)}")
    if isinstance(error, RecursionError):
        return StudyError("the input is too deeply nested")
    if isinstance(error, UnicodeError):
        return StudyError(f"the text is not valid UTF-8: {first_line(error)}")
    if (held := _scarcity()) is not None:
        return LimitError(f"{held}, probably too little ({first_line(error)}): raise it, or use less data")
    return None


@contextmanager
def errors_exit_with(code: int) -> Iterator[None]:
    """Use another exit code for errors that would exit with 1."""
    _Command.failure_code = code
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
        advice = "use less data, or raise the limit with --timeout"
        return LimitError(f"stopped after {_Command.timeout_s:g} s{kept}: {advice}")
    line = f"stopped{kept}: run the same command to continue" if kept else "stopped"
    return Interrupted(line, exit_code=143 if isinstance(stop, TerminationSignal) else 130)


def _is_want_of_memory(error: BaseException) -> bool:
    """Whether memory, or a thread for lack of it, was refused; each library has its own message."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in text for sign in _SIGNS_OF_NO_MEMORY)


def _scarcity() -> str | None:
    """A limit of the shell that may be too low for libraries, as text; else None."""
    if os.name != "posix":
        return None
    import resource

    memory = resource.getrlimit(resource.RLIMIT_AS)[0]
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if memory != resource.RLIM_INFINITY:
        return f"this process is limited to {memory / 1e9:,.3g} GB of memory (ulimit -v)"
    if files != resource.RLIM_INFINITY and files <= FEW_FILES:
        return f"this process is limited to {files} open files (ulimit -n)"
    return None


def lift_limits() -> None:
    """Disable `limit_command` from now on."""
    _Command.takes_limits = False


def limit_command(timeout_s: float | None, memory_bytes: int | None = None) -> None:
    """Limit the time and memory of this command from now on; no effect if Python called its function.

    The time limit acts between two steps of Python or DuckDB. If a function of a library runs longer, the process ends
    GRACE_S seconds after its limit, and as long after Ctrl-C, SIGTERM or SIGHUP.

    Args:
        timeout_s: seconds; None for no limit.
        memory_bytes: memory beyond what the process has now, bytes; None for READING_MEMORY of the machine's.

    Raises:
        StudyError: `timeout_s` is not a finite number above 0.
    """
    if timeout_s is not None and not 0 < timeout_s < math.inf:
        raise StudyError(f"time limit {timeout_s:g} s: expected a finite number of seconds, such as 60")
    if not _Command.takes_limits:
        return
    lift_limits()  # a nested call must not change it
    if timeout_s is not None and hasattr(signal, "setitimer"):
        _Command.timeout_s = timeout_s
        signal.setitimer(signal.ITIMER_REAL, timeout_s)
    _limit_memory(memory_bytes or int(READING_MEMORY * machine_memory()))


def machine_memory() -> int:
    """Memory of this machine, or of this process's container if that is less, bytes."""
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
    """Memory limit of a user's SQL, bytes; default: QUERY_MEMORY of the machine's."""
    if memory_gb is not None and not 0 < memory_gb < math.inf:
        raise StudyError(f"memory limit {memory_gb:g} GB: expected a finite number of gigabytes, such as 4")
    return int(QUERY_MEMORY * machine_memory() if memory_gb is None else memory_gb * 1e9)


def database_memory() -> int | None:
    """Memory limit for DuckDB if the system limits this process, bytes; else None for DuckDB's default.

    The default is 80% of the machine's or the container's memory. A process that is refused memory may fail anywhere;
    DuckDB reports it if it knows the limit.
    """
    if not sys.platform.startswith("linux"):
        return None
    import resource

    held = (("VmData:", resource.RLIMIT_DATA), ("VmSize:", resource.RLIMIT_AS))
    limits = [(field, resource.getrlimit(kind)[0]) for field, kind in held]
    left = [limit - _status_bytes(field) for field, limit in limits if limit != resource.RLIM_INFINITY]
    return max(int(DATABASE_SHARE * min(left)), MIN_DATABASE_MEMORY) if left else None


def _limit_memory(more_bytes: int) -> None:
    """Limit this process to its current memory plus `more_bytes`; only Linux counts used instead of reserved memory."""
    if not sys.platform.startswith("linux"):
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = _status_bytes("VmData:") + more_bytes
    known = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([wanted, *known]), hard))


def _status_bytes(field: str) -> int:
    """A field of Linux's process status, such as VmData, bytes."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field)) * 1024
