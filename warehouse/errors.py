"""Errors that a user can act on: one base, a subclass per cause.

The command line prints the message on one line and leaves with `exit_code`; a message therefore names what was
given, what was expected and how to repair it.
"""

import difflib
from collections.abc import Iterable


class FailmodesError(Exception):
    """Base of every error that is meant for the user; never raised itself."""

    exit_code = 1


class StudyError(FailmodesError):
    """A study file, an option or an argument is not what it should be."""

    exit_code = 2


class MissingExtraError(FailmodesError):
    """What was asked for needs packages of an optional extra that are not installed."""

    exit_code = 2


class DataError(FailmodesError):
    """Images, labels or a corrupted set are missing, damaged or of the wrong kind."""


class DownloadError(DataError):
    """A public data set could not be fetched or does not match its checksum."""


class ModelError(FailmodesError):
    """A checkpoint does not fit its architecture or its data set, or a network does not behave as promised."""


class IncompleteRunError(FailmodesError):
    """A run is over and some of its networks raised; what the others gave is published."""


class StorageError(FailmodesError):
    """A file cannot be written or read: no space, no permission, no folder."""


class DamagedShardError(FailmodesError):
    """A stored table does not match its own content hash, or can no longer be parsed."""


class WarehouseError(FailmodesError):
    """The warehouse is missing, of another schema version, in use, or lacks what was asked of it."""


class QueryError(FailmodesError):
    """An ad hoc SQL statement failed, was refused, or ran out of time."""


class Interrupted(FailmodesError):
    """The user stopped a run; what was published stays."""

    exit_code = 130


def first_line(error: BaseException) -> str:
    """First line of an error's message that is not empty; the name of its class where it has no message."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def did_you_mean(name: str, known: Iterable[str], otherwise: str, *, most: int = 1, cutoff: float = 0.6) -> str:
    """The hint for a name that is not known: `did you mean 'fog'?`, or `otherwise` where none is near.

    Args:
        name: what was given; for names without capitals, in the spelling of `known`.
        known: the names that exist.
        otherwise: what to say where no name is near, such as a list of all.
        most: how many near names to give.
        cutoff: how near they must be, 0 to 1 (see `difflib.get_close_matches`).
    """
    near = difflib.get_close_matches(name, list(known), n=most, cutoff=cutoff)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else otherwise
