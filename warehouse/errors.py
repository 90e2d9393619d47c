"""Errors that a user can act on: one base, a subclass per cause.

The command line prints the message on one line and leaves with `exit_code`; a message therefore names what was
given, what was expected and how to mend it.
"""


class FailmodesError(Exception):
    """Base of every error that is meant for the user; never raised itself."""

    exit_code = 1


class StudyError(FailmodesError):
    """A study file, an option or an argument is not what it should be."""

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
