"""Locations of warehouse and results: from a study file, an output folder, a URL or the database file itself.

Any invalid study file (a pipe, a device, not text, not TOML) becomes one error line here.
"""

from collections.abc import Iterable
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from failmodes.runtime.errors import StorageError, StudyError, first_line
from failmodes.runtime.storage.files import StorePath, as_store_path, is_url, read_text

WAREHOUSE_FILE = "warehouse.duckdb"
STUDY_FILE = "study.toml"
MAX_STUDY_BYTES = 2_000_000  # a study is a few kB; the names of 32,767 classes, the maximum, below 1 MB
MAX_PATH_LETTERS = 4096  # PATH_MAX of Linux


def find_warehouse(location: str | Path | None) -> Path:
    """Path of the warehouse for a location; it need not exist.

    Args:
        location: a study file (.toml), an output folder or a .duckdb file; None looks in the current folder for
            study.toml, then warehouse.duckdb.

    Raises:
        StudyError: `location` is none of these, or its study names no output folder.
    """
    if isinstance(location, str) and is_url(location):
        raise StudyError(f"{location} is a URL, but a warehouse is a local file: name it with --into FILE.duckdb")
    location = Path(location) if location else default_location()
    return location if location.suffix == ".duckdb" else find_output(location) / WAREHOUSE_FILE


def find_output(location: Path) -> Path:
    """Path of the output folder for a location (see `find_warehouse`); for a .duckdb file, its folder.

    Raises:
        StudyError: `location` is neither study file, folder nor .duckdb file, or its study names no output folder.
    """
    if location.suffix == ".toml":
        output = read_toml(location).get("output")
        if not isinstance(output, str) or not output:
            raise StudyError(
                f'study {location} names no output folder: add a line such as output = "runs/mine" at its top'
            )
        return location.parent / _path_in(location, "output", output)
    if location.suffix == ".duckdb":
        return location.parent
    if location.is_dir():
        return location
    state = "is not a folder" if location.exists() else "does not exist"
    raise StudyError(f"{location} {state}: expected a study file (.toml), an output folder or a warehouse (.duckdb)")


def find_results(location: str | Path | None) -> StorePath:
    """The folder with the results for a location: a study's `results`, else its output folder.

    Args:
        location: as for `find_warehouse`, or the URL of a folder with results.

    Raises:
        StudyError: as `find_output`, or the protocol of the URL is unknown or its driver is not installed.
    """
    if isinstance(location, str) and is_url(location):
        return as_store_path(location)
    location = Path(location) if location else default_location()
    if location.suffix == ".toml":
        results = read_toml(location).get("results")
        if isinstance(results, str) and results:
            given = results if is_url(results) else str(_path_in(location, "results", results))
            return as_store_path(given, location.parent)
    return find_output(location)


def default_location() -> Path:
    """The default location: study.toml, else warehouse.duckdb, in the current folder.

    Raises:
        StudyError: neither exists.
    """
    for name in (STUDY_FILE, WAREHOUSE_FILE):
        if Path(name).is_file():
            return Path(name)
    raise StudyError(
        f"no {STUDY_FILE} or {WAREHOUSE_FILE} in the current folder: name a study file, an output folder or a .duckdb"
    )


def study_files(locations: Iterable[str | Path | None]) -> list[Path]:
    """The study files among some locations (see `find_results`), in order."""
    paths = [Path(location) if location else default_location() for location in locations]
    return [path for path in paths if path.suffix == ".toml"]


def read_toml(path: Path, kind: str = "study") -> dict[str, Any]:
    """Keys and tables of a study file, or of one of another kind, not validated.

    Raises:
        StudyError: it does not exist, is not a regular file of at most MAX_STUDY_BYTES bytes, or not TOML.
    """
    try:
        return parse_toml(read_text(path, MAX_STUDY_BYTES))
    except FileNotFoundError as error:
        advice = "write one with `failmodes init`" if kind == "study" else "name another"
        raise StudyError(f"{kind} file {path} does not exist: {advice}") from error
    except StorageError as error:
        raise StudyError(f"{error}: name a {kind} file (.toml)") from error
    except ValueError as error:
        raise StudyError(f"{kind} file {path} is not valid TOML: {first_line(error)}") from error


def parse_toml(text: str) -> dict[str, Any]:
    """Keys and tables of a TOML text.

    Raises:
        ValueError: it is not TOML, too deeply nested, or has too long numbers.
    """
    import tomllib  # not needed by most commands

    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("its arrays or tables are too deeply nested") from error


def user_path(given: "str | PathLike[str]") -> Path:
    """The path of a user's text, with ~ expanded.

    Raises:
        StudyError: it is blank or -, too long, has a null character, or names the home folder of an unknown user.
    """
    text = fspath(given)
    if not text.strip():
        raise StudyError("a path is blank: name a folder or a file, such as runs/mine")
    if text == "-":
        raise StudyError("'-' means stdout, which cannot be used here: name a folder or a file, such as runs/mine")
    if "\0" in text or len(text) > MAX_PATH_LETTERS:
        kind = "contains a null character" if "\0" in text else f"is longer than {MAX_PATH_LETTERS:,} characters"
        raise StudyError(f"the path {text[:60]!r} {kind}: name a folder or a file, such as runs/mine")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise StudyError(
            f"the path {text[:60]!r} begins with the home folder of an unknown user: write it in full"
        ) from error


def _path_in(study: Path, key: str, text: str) -> Path:
    try:
        return user_path(text)
    except StudyError as error:
        raise StudyError(f"study {study}: {key}: {error}") from error
