"""What a command says beside its answer, on stderr: remarks, and that the user stopped it; and streams that hold.

rich is imported by whoever has something to say: a short command says nothing, and would wait for it.
"""

import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from shlex import quote
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, cast

from failmodes.warehouse.errors import Interrupted, StorageError, Terminated, printable
from failmodes.warehouse.runner_commands import json_without_commands, without_commands

if TYPE_CHECKING:
    from rich.console import Console

_DUCKDB_STOPPED = "Query interrupted"


class TerminationSignal(KeyboardInterrupt):
    """SIGTERM, raised where the process was: it unwinds as Ctrl-C does."""


class _Last:
    """The last stop that a handler of ours raised."""

    stop: KeyboardInterrupt | None = None


class _Suggestions:
    """Whether commands end with the next one; not where one runs several."""

    are_made: bool = True


def stderr_console() -> "Console":
    """A console on stderr that prints text as it is: no markup, no highlighting; see `_console` for line breaks."""
    return _console(sys.stderr, soft_wrap=True)


def stdout_console(*, width: int | None = None, soft_wrap: bool = True) -> "Console":
    """A console on stdout that prints text as it is.

    Args:
        width: letters of a line, for tables; by default those of the terminal.
        soft_wrap: whether lines stay whole where output goes to a file; not for tables.
    """
    return _console(sys.stdout, width=width, soft_wrap=soft_wrap)


class _Shown:
    """A stream that people read, and CI runners with them: no line that is written to it is a command to these."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(without_commands(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def say(text: str, *, end: str = "\n") -> None:
    """Print text for people to stdout as it is, but for what a CI runner would take for a command."""
    sys.stdout.write(without_commands(text) + end)


def note(text: str) -> None:
    """Say something beside a command's answer: one line on stderr."""
    with suppress(OSError):  # nobody listens
        stderr_console().print(printable(text))


def print_json(content: dict[str, Any]) -> None:
    """Print a command's answer to stdout as JSON, in readable letters."""
    import json

    print(json_without_commands(json.dumps(content, ensure_ascii=False, indent=2)))


def suggest(command: str) -> None:
    """End a command with the next one worth typing, on stderr; nothing where that is no terminal."""
    if _Suggestions.are_made and sys.stderr.isatty():
        with suppress(OSError):  # rich would take longer than the answer to a question
            print(without_commands(f"next: {printable(command)}"), file=sys.stderr)


def named(where: object | None) -> str:
    """A file or folder as the next argument of a command that is to be typed; nothing where it was not named.

    Quoted, since a stranger chose its name, and the line may be pasted into a shell.
    """
    return "" if where is None else f" {quote(str(where))}"


@contextmanager
def without_suggestions() -> Iterator[None]:
    """Let commands that another one runs suggest nothing."""
    _Suggestions.are_made = False
    try:
        yield
    finally:
        _Suggestions.are_made = True


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, whose cells show output that can be written over."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return type(shell).__name__ == "ZMQInteractiveShell"


@contextmanager
def interruptible(kept: str) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into one line, which begins with what is `kept`.

    Raises:
        Interrupted: the user pressed Ctrl-C.
        Terminated: the process got SIGTERM.
    """
    try:
        yield
    except (KeyboardInterrupt, RuntimeError) as error:
        stop = stop_behind(error)
        if stop is None:
            raise
        kind = Terminated if isinstance(stop, TerminationSignal) else Interrupted
        raise kind(f"stopped; {kept}: run the same command to go on") from error


def raise_on_termination() -> None:
    """Let SIGTERM unwind this process as Ctrl-C does, so that it tidies up and says that it was stopped."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise_stop(TerminationSignal())

    signal.signal(signal.SIGTERM, stop)


def raise_stop(stop: KeyboardInterrupt) -> NoReturn:
    """Raise what a signal asks for, from its handler, and keep it for `stop_behind`."""
    _Last.stop = stop
    raise stop


def stop_behind(error: BaseException) -> KeyboardInterrupt | None:
    """The stop that ended a process: the error itself, or the one that DuckDB raised another error in place of.

    Where a handler raises while DuckDB works, DuckDB forgets what it raised, and raises RuntimeError("Query
    interrupted").
    """
    if isinstance(error, KeyboardInterrupt):
        return error
    is_by_duckdb = isinstance(error, RuntimeError) and str(error) == _DUCKDB_STOPPED
    return (_Last.stop or KeyboardInterrupt()) if is_by_duckdb else None


def prepare_streams() -> None:
    """Make stdout and stderr take any text, and occupy those that are closed.

    What the encoding of a stream lacks is spelt out. The number of a closed stream would otherwise go to the next file
    that is opened, and what is printed into that file.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):  # writing to a closed stdout fails
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def finish_output() -> None:
    """Bring what was printed to stdout out of this process.

    Raises:
        StorageError: stdout cannot be written to: it is closed, or on a full disk.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()  # whoever read it has seen enough, such as `head`
    except (OSError, ValueError) as error:
        _silence_stdout()
        raise StorageError(f"the answer cannot be written: {getattr(error, 'strerror', None) or error}") from error


def _silence_stdout() -> None:
    """Let nothing be written when the interpreter ends: it would fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _console(stream: TextIO, soft_wrap: bool, **options: Any) -> "Console":
    """A console that breaks lines between words where a terminal would break them within; files as `soft_wrap` says."""
    from rich.console import Console

    class PlainConsole(Console):
        """Shows labels, names and messages from outside as text: no controls in them reach the terminal."""

        def render_str(self, text: str, *arguments: Any, **keywords: Any) -> Any:
            lines = (printable(line, len(line)) for line in text.split("\n"))
            return super().render_str("\n".join(lines), *arguments, **keywords)

    # in a notebook too it is the stream that is written to: rich would make an HTML block of each line
    shown = cast(TextIO, _Shown(stream))
    console = PlainConsole(file=shown, markup=False, highlight=False, force_jupyter=False, **options)
    console.soft_wrap = soft_wrap and not console.is_terminal
    return console
