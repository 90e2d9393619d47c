"""Errors that a user can act on: one base, a subclass per cause.

The command line prints the message on one line and exits with `exit_code`; a message therefore states what was
given, what was expected and how to fix it.
"""

import difflib
import os
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

TRACEBACK = "FAILMODES_TRACEBACK"  # environment variable: show tracebacks
BUG_EXIT_CODE = 70  # of unhandled errors: EX_SOFTWARE of BSD's sysexits.h
MAX_REASON_LETTERS = 500  # of a library's error within one of ours
MAX_ERROR_LETTERS = 2000  # of an error: text from a malicious file may be as long as the file

# Control characters (Cc), bidirectional formatting (in Cf), unpaired surrogates (Cs), and line and paragraph
# separators: a terminal may act on them.
_UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")


class FailmodesError(Exception):
    """Base of every error for the user; never raised itself. Its message is one `printable` line."""

    exit_code: int = 1

    def __init__(self, message: str = "", *, exit_code: int | None = None) -> None:
        super().__init__(printable(message))
        if exit_code is not None:
            self.exit_code = exit_code

    @property
    def _render_traceback_(self) -> Callable[[], list[str]]:
        """The line that IPython shows instead of a traceback."""
        if wants_traceback():
            raise AttributeError("_render_traceback_")  # then IPython shows its own
        return lambda: [f"failmodes: {type(self).__name__}: {self}"]


class StudyError(FailmodesError):
    """A study file, an option or an argument is wrong, or names something that does not exist."""

    exit_code = 2


class MissingExtraError(FailmodesError):
    """Packages of an optional extra are needed and not installed."""

    exit_code = 2


class DataError(FailmodesError):
    """Images, labels or a corrupted dataset are missing, damaged or of another kind."""


class DownloadError(DataError):
    """A public dataset could not be downloaded or does not match its checksum."""


class ModelError(FailmodesError):
    """A checkpoint is damaged or does not fit its architecture, or a model fails when it is built, trained or run."""


class IncompleteRunError(FailmodesError):
    """A run is finished, and models raised errors, or warnings that count as errors; other results are published."""


class EvaluationWarning(UserWarning):
    """A possible mistake about a model or its images, also stored in the results; the run continues."""


class StorageError(FailmodesError):
    """A file cannot be written or read: no space, no permission, no folder."""


class DamagedShardError(FailmodesError):
    """A stored table does not match its own content hash, or can no longer be parsed."""


class WarehouseError(FailmodesError):
    """The warehouse is missing, of another schema version, in use, or lacks what is needed."""


class WarehouseInUseError(WarehouseError):
    """Another program, or this one, has the warehouse open for writing."""


class QueryError(FailmodesError):
    """An SQL statement fails, is refused, or names something that does not exist."""

    exit_code = 2


class LimitError(FailmodesError):
    """The memory or time limit of a command is reached."""


class Interrupted(FailmodesError):
    """Ctrl-C (130), SIGTERM or SIGHUP (143) stopped a command; published results stay."""

    exit_code = 130


@contextmanager
def translated(
    kinds: type[BaseException] | tuple[type[BaseException], ...], into: Callable[[Any], BaseException]
) -> Iterator[None]:
    """Raise `into(error)` in place of an error of a library or the system, which becomes its cause.

    Args:
        kinds: classes of errors.
        into: the error to raise; the error itself if it needs no translation.
    """
    try:
        yield
    except kinds as error:
        translation = into(error)
        if translation is error:
            raise
        raise translation from error


def wants_traceback() -> bool:
    """Whether the user requested tracebacks."""
    return bool(os.environ.get(TRACEBACK))


def printable(text: str, most: int = MAX_ERROR_LETTERS) -> str:
    """Untrusted text as one line without control characters.

    Args:
        text: any text; line breaks and tabs in it become spaces, other control characters are escaped.
        most: number of characters to keep, before an ellipsis.
    """
    kept = text if len(text) <= most else f"{text[:most]}…"
    if kept.isascii() and kept.isprintable():
        return kept
    line = " ".join(kept.split()) if any(x in kept for x in "\n\r\t\v\f") else kept
    return "".join(spelt_out(letter) for letter in line)


def spelt_out(letter: str) -> str:
    """The character, or its Python escape if a terminal may act on it."""
    if unicodedata.category(letter) not in _UNPRINTABLE and not _is_noncharacter(ord(letter)):
        return letter
    return letter.encode("unicode_escape", "backslashreplace").decode()


def _is_noncharacter(code: int) -> bool:
    """Whether this code point is a Unicode noncharacter, which parsers of XML and YAML refuse."""
    return code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF


def shown(value: object, most: int = 80) -> str:
    """A value for an error message: at most `most` characters."""
    try:
        text = repr(value)
    except ValueError:  # Python converts no whole number of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= most else f"{text[:most]}…"


def first_line(error: BaseException) -> str:
    """First line of an error's message that is not empty, cut if it is long; the name of its class if there is none."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return line if len(line) <= MAX_REASON_LETTERS else f"{line[:MAX_REASON_LETTERS]}…"


def listed(names: Collection[object], most: int) -> str:
    """The first `most` names and the number of the others: `a, b and 3 more`."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(str, islice(names, most))) + more


def counted(count: int, singular: str, plural: str | None = None) -> str:
    """A count with its noun: `1 image`, `2,000 images`; `plural` for a noun that does not take an s."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def did_you_mean(
    name: str, known: Iterable[str], otherwise: str | None = None, *, most: int = 1, cutoff: float = 0.6
) -> str:
    """The hint for an unknown name: `did you mean 'fog'?`, or `otherwise` if no name is near.

    Args:
        name: the given name, in the separators of `known`; case is ignored.
        known: the names that exist.
        otherwise: the hint if no name is near; default: all names.
        most: how many near names to give.
        cutoff: how near they must be, 0 to 1 (see `difflib.get_close_matches`).
    """
    names = list(known)
    folded = difflib.get_close_matches(name.lower(), {known.lower() for known in names}, n=most, cutoff=cutoff)
    near = [known for one in folded for known in dict.fromkeys(names) if known.lower() == one][:most]
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    return f"expected {', '.join(names) or 'none'}" if otherwise is None else otherwise
