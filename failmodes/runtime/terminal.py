r"""Text output on stdout and stderr.

rich is imported in functions: short commands do not need it, and it takes long to import.

No output line is a command to a CI runner: GitHub, Azure Pipelines and TeamCity execute commands in the output of a
job. GitHub accepts lines that begin with `::` (after white space), and `##[name …]` anywhere in a line; Azure accepts
`##vso[…]`, TeamCity `##teamcity[…]`. A visible backslash breaks each: `\::error`, `#\#[error]`. Invisible characters
would not work, since .NET ignores them when it compares strings.
"""

import io
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, TextIO, cast

from failmodes.runtime.errors import StorageError, StudyError, printable

if TYPE_CHECKING:
    from rich.console import Console

# White space that .NET trims, characters that it ignores in comparisons, and terminal colors
_IGNORED = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_COLON = re.compile(rf"((?:^|(?<=\r))(?:[^\S\r\n]|[{_IGNORED}]|\x1b\[[0-9;]*m)*):(?=[{_IGNORED}]*:)", re.MULTILINE)
_SHARP = re.compile(rf"#(?=[{_IGNORED}]*#[\w.{_IGNORED}-]*\[)")


_ANNOUNCED: set[Path] = set()  # output folders


def without_commands(text: str) -> str:
    r"""The text with a backslash in every command to a CI runner."""
    if "::" not in text and "#" not in text and text.isascii():
        return text
    return _SHARP.sub(r"#\\", _COLON.sub(r"\1\\:", text))


def json_without_commands(document: str) -> str:
    r"""An equivalent JSON document: a `#` is always inside a string, where `\u0023` means the same."""
    return _SHARP.sub(r"\\u0023", document)


def xml_without_commands(document: str) -> str:
    """An equivalent XML document, of one without comments and CDATA."""
    return _SHARP.sub("&#35;", document)


def stderr_console() -> "Console":
    """A console on stderr that prints text as it is: no markup, no highlighting; see `_console` for line breaks."""
    return _console(sys.stderr)


def stdout_console() -> "Console":
    """A console on stdout that prints text as it is."""
    return _console(sys.stdout)


class _Shown:
    """A stream whose lines are never commands to CI runners."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(without_commands(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def say(text: str, *, end: str = "\n") -> None:
    """Print text to stdout unchanged, except for commands to CI runners."""
    sys.stdout.write(without_commands(text) + end)


def note(text: str) -> None:
    """Print a note: one line on stderr."""
    with suppress(OSError):  # stderr may be closed
        stderr_console().print(printable(text))


def announce_output(folder: Path, results: str | None = None) -> None:
    """Print the folders of a study before anything is written, once: a study may choose any.

    Args:
        folder: output folder.
        results: folder or URL of the results, if the study names one.
    """
    resolved = folder.resolve()
    if resolved not in _ANNOUNCED:
        _ANNOUNCED.add(resolved)
        note(f"output folder: {resolved}{f', results: {results}' if results else ''}")


def shown_path(path: Path) -> Path:
    """A path as it is printed: relative to the current folder if it is inside."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def print_json(content: dict[str, Any]) -> None:
    """Print a command's result to stdout as JSON, not escaped to ASCII."""
    import json

    print(json_without_commands(json.dumps(content, ensure_ascii=False, indent=2)))


def suggest(command: str) -> None:
    """Suggest the next command on stderr, if that is a terminal."""
    if sys.stderr.isatty():
        with suppress(OSError):  # importing rich would take longer than a query
            print(without_commands(f"next: {printable(command)}"), file=sys.stderr)


def confirmed(question: str, otherwise: str) -> bool:
    """Ask on the terminal whether to delete what was listed; a no prints what happens `otherwise`.

    Raises:
        StudyError: there is no terminal.
    """
    import typer

    if not sys.stdin.isatty():
        raise StudyError(f"{otherwise}: there is no terminal to confirm on; add --yes")
    is_confirmed = typer.confirm(question, err=True)
    if not is_confirmed:
        note(otherwise)
    return is_confirmed


def named(where: object | None) -> str:
    """A file or folder as the argument of a suggested command; empty if none was given.

    Quoted, since its name is untrusted and the line may be pasted into a shell.
    """
    return "" if where is None else f" {quote(str(where))}"


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, whose cell output can be overwritten."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return type(shell).__name__ == "ZMQInteractiveShell"


def prepare_streams() -> None:
    """Make stdout and stderr accept any text, and reopen closed ones on the null device.

    Characters outside a stream's encoding are escaped. The number of a closed stream would otherwise go to the next
    opened file, which would receive the printed text.
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
    """Flush stdout.

    Raises:
        StorageError: stdout cannot be written to: it is closed, or on a full disk.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()  # the reader, such as `head`, has ended
    except (OSError, ValueError) as error:
        _silence_stdout()
        raise StorageError(f"cannot write to stdout: {getattr(error, 'strerror', None) or error}") from error


def _silence_stdout() -> None:
    """Prevent writing at interpreter exit, which would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _console(stream: TextIO) -> "Console":
    """A console that breaks lines between words where a terminal would break them within; lines of files stay whole."""
    from rich.console import Console

    class PlainConsole(Console):
        """Shows untrusted labels, names and messages as text: no control characters reach the terminal."""

        def render_str(self, text: str, *arguments: Any, **keywords: Any) -> Any:
            lines = (printable(line, len(line)) for line in text.split("\n"))
            return super().render_str("\n".join(lines), *arguments, **keywords)

    # rich would make an HTML block of each line in a notebook
    shown = cast(TextIO, _Shown(stream))
    console = PlainConsole(file=shown, markup=False, highlight=False, force_jupyter=False)
    console.soft_wrap = not console.is_terminal
    return console
