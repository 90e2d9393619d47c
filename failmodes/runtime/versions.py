"""Versions of libraries and the current time, stored with results."""

from datetime import UTC, datetime

from failmodes import __version__

# Versions that can change a row or its reading; missing ones (such as torch) are left out.
PACKAGES = ("failmodes", "torch", "torchvision", "numpy", "scipy", "pillow", "pyarrow", "duckdb", "polars", "grad-cam")


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
