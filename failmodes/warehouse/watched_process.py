"""The process of a command line and the one that watches it.

A library may end a process where memory or files run out, the system may kill it, and a single function may run for
minutes beyond its time. So a command works in a child process; the one that was started waits for it, kills it where it
outlives its time, passes signals on, and has the last word where the child came to none.
"""

import os
import select
import signal
import struct
import sys
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from failmodes.warehouse.errors import FailmodesError, LimitError
from failmodes.warehouse.runner_commands import without_commands
from failmodes.warehouse.terminal import TerminationSignal, raise_stop

GRACE_S = 1.5  # in which a child whose time is over, or that holds to one and was told to stop, may tidy up

_THREADED = {"duckdb", "numpy", "polars", "pyarrow", "pytest", "torch"}  # whose threads a child would lack
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LOOK_S = 1.0  # between two looks whether the child lives; its own children may hold the pipe that tells of its end

# What a child tells: that it holds to a number of seconds from now on; with which exit code it fails; or that it ends,
# with an exit code and a line of so many bytes that follows, to be printed when it is gone
_MESSAGE = struct.Struct("=cdI")
_HOLDS_TO, _FAILS_WITH, _ENDS_WITH = b"h", b"f", b"e"
_FAILED = FailmodesError.exit_code


class TimeIsUp(KeyboardInterrupt):
    """The time of a command is over; raised where it was, so that it tidies up."""


class _Watched:
    """What this process knows of its watch."""

    to_watcher: int | None = None  # descriptor of a pipe; None where nobody watches
    holds_to_time: bool = False
    timeout_s: float | None = None
    failure_code: int = _FAILED


def watch_command() -> None:
    """Go on in a child process, and watch it in this one.

    Without fork, and in a program that has threads, or may have, nothing is watched: a child would lack them.

    Raises:
        LimitError: the child outlived its time, or something else than itself ended it (in the process that watches).
        KeyboardInterrupt: this process was stopped, and the child could not say so (in the process that watches).
        SystemExit: the child is done (in the process that watches), with its exit code.
    """
    if not hasattr(os, "fork") or _THREADED & sys.modules.keys():
        return
    sys.stdout.flush()  # both processes would print what waits
    sys.stderr.flush()
    from_child, to_watcher = os.pipe()
    watcher_ended, held_by_watcher = os.pipe()  # read to its end when the watcher is gone
    former = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # until each process has handlers of its own
    child = os.fork()
    if child:
        os.close(to_watcher)
        os.close(watcher_ended)
        _watch(child, from_child)
    os.close(from_child)
    os.close(held_by_watcher)
    _Watched.to_watcher = to_watcher
    for number in _SIGNALS:
        signal.signal(number, _stop_once)
    signal.pthread_sigmask(signal.SIG_SETMASK, former)
    threading.Thread(target=_exit_after, args=(watcher_ended,), daemon=True).start()


def is_watched() -> bool:
    """Whether another process has the last word on this one."""
    return _Watched.to_watcher is not None


def started_process() -> int:
    """Number of the process that the user started, whose end ends this one."""
    return os.getppid() if is_watched() else os.getpid()


def hold_to_time(timeout_s: float | None) -> None:
    """Be stopped after some seconds, and killed soon after where that did not help; None: only if told to stop."""
    _Watched.holds_to_time, _Watched.timeout_s = True, timeout_s
    _send_to_watcher(_HOLDS_TO, float("inf") if timeout_s is None else timeout_s)
    if timeout_s is not None:
        signal.signal(signal.SIGALRM, _stop_once)
        signal.setitimer(signal.ITIMER_REAL, timeout_s)


def fail_with(code: int) -> None:
    """End this command with another exit code than 1 if it fails, even if only the process that watches can say so."""
    _Watched.failure_code = code
    _send_to_watcher(_FAILS_WITH, code)


def failure_code(code: int = _FAILED) -> int:
    """The exit code of an error in this command: that of the error, unless `fail_with` replaces it."""
    return _Watched.failure_code if code == _FAILED else code


def ignore_stops() -> None:
    """Let no signal end this process any more, so that it can say what did."""
    for number in (*_SIGNALS, signal.SIGALRM) if hasattr(signal, "SIGALRM") else _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def end_command(code: int, last_word: str = "") -> NoReturn:
    """End this process; its libraries, which may print or fail as they end, change neither code nor last word.

    Args:
        code: of the exit.
        last_word: a line for stderr.
    """
    if is_watched():
        _send_to_watcher(_ENDS_WITH, code, last_word.encode(errors="backslashreplace"))
        if _Watched.holds_to_time:  # it only reads: what else Python does at its end takes a tenth of a short question
            sys.stderr.flush()  # stdout was flushed, or cannot be
            os._exit(code)
    else:
        _print_last(last_word)
    sys.exit(code)


def time_is_up() -> LimitError:
    """The error of a command whose time is over."""
    return LimitError(f"stopped after {_Watched.timeout_s or 0:g} s: ask for less, or allow more time with --timeout")


def _send_to_watcher(kind: bytes, number: float, text: bytes = b"") -> None:
    if _Watched.to_watcher is not None:
        os.write(_Watched.to_watcher, _MESSAGE.pack(kind, number, len(text)) + text)


def _print_last(line: str) -> None:
    with suppress(OSError):  # nobody listens
        print(without_commands(line), end="\n" if line else "", file=sys.stderr, flush=True)


def _stop_once(number: int, _frame: FrameType | None) -> None:
    """Unwind at the first signal, and ignore those that follow: a terminal and the watcher both send one."""
    ignore_stops()
    kinds = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: TerminationSignal, signal.SIGALRM: TimeIsUp}
    raise_stop(kinds[signal.Signals(number)]())


def _exit_after(watcher_ended: int) -> None:
    """End this process where the one that watches it was killed, as if both had been."""
    os.read(watcher_ended, 1)
    os._exit(1)


def _watch(child: int, from_child: int) -> NoReturn:
    """Wait for the child, pass the first signal on to it, kill it at the second and when its time is over."""
    signals = _signals_as_bytes()
    os.set_blocking(from_child, False)
    stop: KeyboardInterrupt | None = None
    holds_to_time, deadline = False, float("inf")
    while True:
        ready = select.select([from_child, signals], [], [], max(0, min(deadline - time.monotonic(), _LOOK_S)))[0]
        if from_child in ready or _has_ended(child):
            kind, number, last_word = _message(from_child)
            if kind == _FAILS_WITH:
                _Watched.failure_code = int(number)
                continue
            if kind != _HOLDS_TO:
                break
            holds_to_time, deadline = True, time.monotonic() + number + GRACE_S
            _Watched.timeout_s = number
        elif signals in ready and stop is None:
            sign = signal.Signals(os.read(signals, 1)[0])
            stop = TerminationSignal() if sign == signal.SIGTERM else KeyboardInterrupt()
            os.kill(child, sign)
            deadline = time.monotonic() + GRACE_S if holds_to_time else float("inf")
        elif signals in ready or time.monotonic() >= deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise time_is_up() if stop is None else stop
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if kind == _ENDS_WITH:
        _print_last(last_word)
        sys.exit(int(number))
    _explain_end(code, stop)


def _explain_end(code: int, stop: KeyboardInterrupt | None) -> NoReturn:
    """Raise what ended a child that could not say it."""
    if stop is not None:  # a library that was stopped as it loaded ends the process itself
        raise stop
    raise LimitError(f"{_ended_by(code)}, most likely for want of memory: ask for less, or free some")


def _signals_as_bytes() -> int:
    """A descriptor from which the numbers of arriving signals are read; here they interrupt nothing."""
    signals, written = os.pipe()
    os.set_blocking(written, False)
    signal.set_wakeup_fd(written)
    for number in _SIGNALS:
        signal.signal(number, lambda _number, _frame: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    return signals


def _message(from_child: int) -> tuple[bytes, float, str]:
    """What the child says next; no kind where it ended without a word."""
    try:
        message = os.read(from_child, _MESSAGE.size)
    except BlockingIOError:  # its own children have the pipe open still
        message = b""
    kind, number, length = _MESSAGE.unpack(message) if message else (b"", 0, 0)
    return kind, number, os.read(from_child, length).decode() if length else ""


def _has_ended(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _ended_by(code: int) -> str:
    if code == -signal.SIGKILL:
        return "killed"
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended by a library with exit code {code}"
