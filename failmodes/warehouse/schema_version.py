"""The version of the tables of the contract, and which versions can be read; loads no library."""

from failmodes.warehouse.errors import WarehouseError

SCHEMA_VERSION = "1.8"
SHOWN_LETTERS = 20  # of a version that is none


def is_readable_version(version: str) -> bool:
    """Whether the major version is ours."""
    return version.split(".")[0] == SCHEMA_VERSION.split(".")[0]


def is_older_version(version: str) -> bool:
    """Whether a readable version is an earlier minor version than ours."""
    minor = version.partition(".")[2]
    return minor.isdigit() and int(minor) < int(SCHEMA_VERSION.partition(".")[2])


def check_version(version: str, subject: object, hint: str) -> None:
    """Refuse another major schema version.

    Raises:
        WarehouseError: `subject` has that version, this one was expected, and `hint`.
    """
    if not is_readable_version(version):
        expected = SCHEMA_VERSION.split(".")[0]
        version = version if len(version) <= SHOWN_LETTERS else f"{version[:SHOWN_LETTERS]}…"
        raise WarehouseError(f"{subject} has schema version {version}, this failmodes reads {expected}.x: {hint}")
