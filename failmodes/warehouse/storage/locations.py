"""Where the warehouse and the record are: from a study file, an output folder, a URL or the database file itself.

Whatever a study file may be (a pipe, a device, no text, no TOML) is one line, said here for all who read one.
"""

from collections.abc import Iterable
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from failmodes.warehouse.errors import StorageError, StudyError, first_line
from failmodes.warehouse.storage.files import StorePath, as_store_path, is_url, read_text

WAREHOUSE_FILE = "warehouse.duckdb"
STUDY_FILE = "study.toml"
MOST_STUDY_BYTES = 2_000_000  # a study is a few kB; the names of 32,767 classes, the most that are recorded, below 1 MB
MOST_PATH_LETTERS = 4096  # PATH_MAX of Linux


def find_warehouse(location: str | Path | None) -> Path:
    """Path of the warehouse that `location` means; it need not exist.

    Args:
        location: a study file (.toml), an output folder or a .duckdb file; None looks in the current folder for
            study.toml, then warehouse.duckdb.

    Raises:
        StudyError: `location` is none of these, or its study names no output folder.
    """
    if isinstance(location, str) and is_url(location):
        raise StudyError(f"{location} is a URL, and a warehouse is a local file: name it with --into FILE.duckdb")
    location = Path(location) if location else default_location()
    return location if location.suffix == ".duckdb" else find_output(location) / WAREHOUSE_FILE


def find_output(location: Path) -> Path:
    """Path of the output folder that `location` means (see `find_warehouse`); of a .duckdb file, its folder.

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
    state = "is no folder" if location.exists() else "does not exist"
    raise StudyError(f"{location} {state}: expected a study file (.toml), an output folder or a warehouse (.duckdb)")


def find_results(location: str | Path | None) -> StorePath:
    """The folder whose record `location` means: what a study names as its `results`, else its output folder.

    Args:
        location: as for `find_warehouse`, or the URL of a folder that holds a record.

    Raises:
        StudyError: as `find_output`, or a URL of no known protocol, or its driver is not installed.
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
    """The default where no location is given: study.toml, else warehouse.duckdb, in the current folder.

    Raises:
        StudyError: neither is there.
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


def read_toml(study: Path) -> dict[str, Any]:
    """Keys and tables of a study file, not checked any further.

    Raises:
        StudyError: nothing is there, or no regular file of at most MOST_STUDY_BYTES bytes, or no TOML.
    """
    try:
        return parse_toml(read_text(study, MOST_STUDY_BYTES))
    except FileNotFoundError as error:
        raise StudyError(
            f"no study file at {study}: write one with `failmodes init`, since it does not exist"
        ) from error
    except StorageError as error:
        raise StudyError(f"{error}: name a study file (.toml)") from error
    except ValueError as error:
        raise StudyError(f"study {study} is not valid TOML: {first_line(error)}") from error


def parse_toml(text: str) -> dict[str, Any]:
    """Keys and tables of a TOML text.

    Raises:
        ValueError: it is none, or is nested deeper, or has longer numbers, than can be read.
    """
    import tomllib  # which most commands do without

    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("its arrays or tables are too deeply nested") from error


def user_path(given: "str | PathLike[str]") -> Path:
    """The path that a user wrote, where ~ stands for their home folder.

    Raises:
        StudyError: it is blank or -, too long, holds a null character, or names the home folder of nobody.
    """
    text = fspath(given)
    if not text.strip():
        raise StudyError("a path is blank: name a folder or a file, such as runs/mine")
    if text == "-":
        raise StudyError("'-' means stdout, which cannot be used here: name a folder or a file, such as runs/mine")
    if "\0" in text or len(text) > MOST_PATH_LETTERS:
        kind = "holds a null character" if "\0" in text else f"is longer than {MOST_PATH_LETTERS:,} letters"
        raise StudyError(f"the path {text[:60]!r} {kind}: name a folder or a file, such as runs/mine")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise StudyError(f"the path {text[:60]!r} begins with the home folder of nobody: write it in full") from error


def _path_in(study: Path, key: str, text: str) -> Path:
    try:
        return user_path(text)
    except StudyError as error:
        raise StudyError(f"study {study}: {key}: {error}") from error
