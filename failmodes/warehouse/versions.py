"""The version of the tables, and what a result was made with: versions of libraries, and the time."""

from datetime import UTC, datetime

from failmodes import __version__
from failmodes.warehouse.errors import WarehouseError

SCHEMA_VERSION = "4"
SHOWN_LETTERS = 20  # of a version that is none

# Versions that can change a row or its reading; a missing one (an analyst without torch) is left out.
PACKAGES = ("failmodes", "torch", "torchvision", "numpy", "scipy", "pillow", "pyarrow", "duckdb", "polars", "grad-cam")


def check_version(version: str, subject: object, hint: str) -> None:
    """Refuse another schema version.

    Raises:
        WarehouseError: `subject` has that version, this one was expected, and `hint`.
    """
    if version != SCHEMA_VERSION:
        version = version if len(version) <= SHOWN_LETTERS else f"{version[:SHOWN_LETTERS]}…"
        raise WarehouseError(f"{subject} has schema version {version}, this failmodes reads {SCHEMA_VERSION}: {hint}")


def library_versions(names: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Versions of the installed packages among `names`, and of Python."""
    import platform  # not above: a short command reads no metadata
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = __version__ if name == "failmodes" else version(name)  # a checkout may be ahead of pip
        except PackageNotFoundError:
            continue
    return found


def now_utc() -> datetime:
    """The current time in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)
