"""Errors that a user can act on: one base, a subclass per cause.

The command line prints the message on one line and leaves with `exit_code`; a message therefore names what was
given, what was expected and how to repair it.
"""

import difflib
import os
import unicodedata
from collections.abc import Callable, Iterable

TRACEBACK = "FAILMODES_TRACEBACK"  # environment variable: show where an error came from
BUG_EXIT_CODE = 70  # of what is no FailmodesError: EX_SOFTWARE of BSD's sysexits.h
MOST_ERROR_LETTERS = 2000  # of an error: what a malicious file says of itself may be as long as the file

# Controls (Cc), letters that turn the direction of a line (in Cf), halves of a pair that no encoding takes (Cs), and
# line and paragraph separators: a terminal may act on them.
_UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")


class FailmodesError(Exception):
    """Base of every error that is meant for the user; never raised itself. Its message is one `printable` line."""

    exit_code: int = 1

    def __init__(self, message: str = "", *, exit_code: int | None = None) -> None:
        super().__init__(printable(message))
        if exit_code is not None:
            self.exit_code = exit_code

    @property
    def _render_traceback_(self) -> Callable[[], list[str]]:
        """What IPython shows instead of a traceback: one line."""
        if wants_traceback():
            raise AttributeError("_render_traceback_")  # then IPython shows its own
        return lambda: [f"failmodes: {type(self).__name__}: {self}"]


class StudyError(FailmodesError):
    """A study file, an option or an argument is wrong, or names something that does not exist."""

    exit_code = 2


class MissingExtraError(FailmodesError):
    """What was asked for needs packages of an optional extra that are not installed."""

    exit_code = 2


class DataError(FailmodesError):
    """Images, labels or a corrupted set are missing, damaged or of the wrong kind."""


class DownloadError(DataError):
    """A public dataset could not be fetched or does not match its checksum."""


class ModelError(FailmodesError):
    """A checkpoint is damaged or does not fit its architecture, or a model fails when it is built, trained or run."""


class IncompleteRunError(FailmodesError):
    """A run is over and models raised, or had warnings where these are errors; what is done is published."""


class EvaluationWarning(UserWarning):
    """Something about a model or its images may be a mistake; the results hold it too. No error: a run goes on."""


class StorageError(FailmodesError):
    """A file cannot be written or read: no space, no permission, no folder."""


class DamagedShardError(FailmodesError):
    """A stored table does not match its own content hash, or can no longer be parsed."""


class WarehouseError(FailmodesError):
    """The warehouse is missing, of another schema version, in use, or lacks what was asked of it."""


class WarehouseInUseError(WarehouseError):
    """Another program, or another part of this one, has the warehouse open for writing."""


class QueryError(FailmodesError):
    """An SQL statement fails or is refused, or names something that does not exist."""

    exit_code = 2


class LimitError(FailmodesError):
    """The memory or the time that a command may take ran out."""


class Interrupted(FailmodesError):
    """Ctrl-C (130) or SIGTERM (143) stopped a command; what was published stays."""

    exit_code = 130


def wants_traceback() -> bool:
    """Whether the user asked to see where errors come from."""
    return bool(os.environ.get(TRACEBACK))


def printable(text: str, most: int = MOST_ERROR_LETTERS) -> str:
    """Text from outside as one line that a terminal only shows.

    Args:
        text: any text; line breaks and tabs in it become spaces, other controls are spelt out.
        most: how many of its letters are kept; an ellipsis stands for the rest.
    """
    kept = text if len(text) <= most else f"{text[:most]}…"
    if kept.isascii() and kept.isprintable():
        return kept
    line = " ".join(kept.split()) if any(x in kept for x in "\n\r\t\v\f") else kept
    return "".join(spelt_out(letter) for letter in line)


def spelt_out(letter: str) -> str:
    """The letter, or its escape as Python writes it where a terminal may act on it."""
    if unicodedata.category(letter) not in _UNPRINTABLE and not _is_noncharacter(ord(letter)):
        return letter
    return letter.encode("unicode_escape", "backslashreplace").decode()


def _is_noncharacter(code: int) -> bool:
    """Whether Unicode will never give a letter this number, which parsers of XML and YAML refuse."""
    return code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF


def shown(value: object, most: int = 80) -> str:
    """A value as an error shows it: at most `most` letters of it."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= most else f"{text[:most]}…"


def first_line(error: BaseException) -> str:
    """First line of an error's message that is not empty; the name of its class where it has no message."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def did_you_mean(
    name: str, known: Iterable[str], otherwise: str | None = None, *, most: int = 1, cutoff: float = 0.6
) -> str:
    """The hint for a name that is not known: `did you mean 'fog'?`, or `otherwise` where none is near.

    Args:
        name: what was given; for names without capitals, in the spelling of `known`.
        known: the names that exist.
        otherwise: the hint if no name is near; default: all names.
        most: how many near names to give.
        cutoff: how near they must be, 0 to 1 (see `difflib.get_close_matches`).
    """
    names = list(known)
    near = difflib.get_close_matches(name, names, n=most, cutoff=cutoff)
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    return f"expected {', '.join(names) or 'none'}" if otherwise is None else otherwise
