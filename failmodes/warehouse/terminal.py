r"""Text for people on stdout and stderr, and streams that take any text.

rich is imported in functions: a short command prints no note, and would wait for it.

No line is a command to a CI runner: GitHub, Azure Pipelines and TeamCity read them in what a job prints. GitHub reads a
line that begins with `::` (white space before it is skipped), and `##[name …]` anywhere in a line; Azure reads
`##vso[…]`, TeamCity `##teamcity[…]`. A visible backslash ends each: `\::error`, `#\#[error]`. An invisible letter would
not do, since .NET compares texts as if such letters were not there.
"""

import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from shlex import quote
from typing import TYPE_CHECKING, Any, TextIO, cast

from failmodes.warehouse.errors import StorageError, printable

if TYPE_CHECKING:
    from rich.console import Console

# White space that .NET trims, letters that it ignores when it compares, and colors of a terminal
_IGNORED = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_COLON = re.compile(rf"((?:^|(?<=\r))(?:[^\S\r\n]|[{_IGNORED}]|\x1b\[[0-9;]*m)*):(?=[{_IGNORED}]*:)", re.MULTILINE)
_SHARP = re.compile(rf"#(?=[{_IGNORED}]*#[\w.{_IGNORED}-]*\[)")


class _Suggestions:
    """Whether commands end with the next one; not where one runs several."""

    are_made: bool = True


def without_commands(text: str) -> str:
    r"""The text with a backslash in front of what would begin a command at the start of one of its lines."""
    if "::" not in text and "#" not in text and text.isascii():
        return text
    return _SHARP.sub(r"#\\", _COLON.sub(r"\1\\:", text))


def json_without_commands(document: str) -> str:
    r"""A JSON document that means the same: there a `#` is always in a text, where `\u0023` is another spelling."""
    return _SHARP.sub(r"\\u0023", document)


def xml_without_commands(document: str) -> str:
    """An XML document without comments and CDATA that means the same."""
    return _SHARP.sub("&#35;", document)


def stderr_console() -> "Console":
    """A console on stderr that prints text as it is: no markup, no highlighting; see `_console` for line breaks."""
    return _console(sys.stderr)


def stdout_console() -> "Console":
    """A console on stdout that prints text as it is."""
    return _console(sys.stdout)


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


def _console(stream: TextIO) -> "Console":
    """A console that breaks lines between words where a terminal would break them within; lines of files stay whole."""
    from rich.console import Console

    class PlainConsole(Console):
        """Shows labels, names and messages from outside as text: no controls in them reach the terminal."""

        def render_str(self, text: str, *arguments: Any, **keywords: Any) -> Any:
            lines = (printable(line, len(line)) for line in text.split("\n"))
            return super().render_str("\n".join(lines), *arguments, **keywords)

    # in a notebook too it is the stream that is written to: rich would make an HTML block of each line
    shown = cast(TextIO, _Shown(stream))
    console = PlainConsole(file=shown, markup=False, highlight=False, force_jupyter=False)
    console.soft_wrap = not console.is_terminal
    return console
