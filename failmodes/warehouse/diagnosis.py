"""The one place that turns whatever ended a command into an error of one line that says what to do."""

import sys

from failmodes.warehouse.errors import (
    TRACEBACK,
    FailmodesError,
    Interrupted,
    LimitError,
    StorageError,
    StudyError,
    Terminated,
    UnexpectedError,
    first_line,
)
from failmodes.warehouse.limits import scarcity
from failmodes.warehouse.storage.files import reason_of
from failmodes.warehouse.terminal import TerminationSignal, stop_behind
from failmodes.warehouse.watched_process import TimeIsUp, time_is_up

_NO_MEMORY = "out of memory: ask for less, close other programs, or raise the limit (ulimit -v)"


def explain(error: BaseException) -> FailmodesError:
    """The error of one line for whatever was raised; those that are meant for the user stay as they are."""
    if isinstance(error, FailmodesError):
        return error
    if (stop := stop_behind(error)) is not None:
        return _of_signal(stop)
    if isinstance(error, MemoryError) or _is_want_of_memory(error):
        return LimitError(_NO_MEMORY)
    if isinstance(error, OSError):
        where = f" {error.filename}" if error.filename else ""
        return StorageError(f"cannot read or write{where}: {reason_of(error)}")
    if isinstance(error, RecursionError):
        return StudyError("too deeply nested to be read")
    if isinstance(error, UnicodeError):
        return StudyError(f"text that is not valid UTF-8: {first_line(error)}")
    if (held := scarcity()) is not None:
        return LimitError(f"{held}, most likely too little ({first_line(error)}): raise it, or ask for less")
    return UnexpectedError(
        f"unexpected {type(error).__name__}: {first_line(error)}; this is a fault of failmodes: please report it with "
        f"what it prints under {TRACEBACK}=1"
    )


def _of_signal(stop: KeyboardInterrupt) -> FailmodesError:
    if isinstance(stop, TimeIsUp):
        return time_is_up()
    return Terminated("stopped") if isinstance(stop, TerminationSignal) else Interrupted("stopped")


def _is_want_of_memory(error: BaseException) -> bool:
    """Whether a library says in its own way that memory, or a thread for want of it, was refused."""
    duckdb = sys.modules.get("duckdb")
    if duckdb is not None and isinstance(error, duckdb.OutOfMemoryException):
        return True
    text = str(error).lower()
    signs = ("can't start new thread", "not enough memory", "allocate memory", "bad_alloc", "failed to map segment")
    return any(sign in text for sign in signs)
