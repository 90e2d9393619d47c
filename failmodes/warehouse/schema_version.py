"""The version of the tables of the contract; loads no library."""

from failmodes.warehouse.errors import WarehouseError

SCHEMA_VERSION = "4"
SHOWN_LETTERS = 20  # of a version that is none


def check_version(version: str, subject: object, hint: str) -> None:
    """Refuse another schema version.

    Raises:
        WarehouseError: `subject` has that version, this one was expected, and `hint`.
    """
    if version != SCHEMA_VERSION:
        version = version if len(version) <= SHOWN_LETTERS else f"{version[:SHOWN_LETTERS]}…"
        raise WarehouseError(f"{subject} has schema version {version}, this failmodes reads {SCHEMA_VERSION}: {hint}")
