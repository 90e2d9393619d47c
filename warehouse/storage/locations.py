"""Where the warehouse and the record are: from a study file, an output folder, a URL or the database file itself."""

import tomllib
from pathlib import Path
from typing import Any

from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.storage.files import StorePath, as_store_path, is_url

WAREHOUSE_FILE = "warehouse.duckdb"
STUDY_FILE = "study.toml"


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
        output = _content(location).get("output")
        if not isinstance(output, str) or not output:
            raise StudyError(
                f'study {location} names no output folder: add a line such as output = "runs/mine" at its top'
            )
        return location.parent / output
    if location.suffix == ".duckdb":
        return location.parent
    if location.is_dir():
        return location
    state = "is no folder" if location.exists() else "does not exist"
    raise StudyError(f"{location} {state}: expected a study file (.toml), an output folder or a warehouse (.duckdb)")


def find_record(location: str | Path | None) -> StorePath:
    """The folder whose record `location` means: what a study names as its `record`, else its output folder.

    Args:
        location: as for `find_warehouse`, or the URL of a folder that holds a record.

    Raises:
        StudyError: as `find_output`.
        StorageError: a URL of no known protocol, or its driver is not installed.
    """
    if isinstance(location, str) and is_url(location):
        return as_store_path(location)
    location = Path(location) if location else default_location()
    if location.suffix == ".toml":
        record = _content(location).get("record")
        if isinstance(record, str) and record:
            return as_store_path(record, location.parent)
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


def _content(study: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(study.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StudyError(f"study {study} does not exist: name a study file (.toml)") from error
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"study {study} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"study {study} is not valid TOML: {error}") from error
