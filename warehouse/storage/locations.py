"""Where the warehouse and the record are: from a study file, an output folder, a URL or the database file itself."""

import tomllib
from pathlib import Path
from typing import Any

from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.storage.files import StorePath, as_store_path, is_url

WAREHOUSE_FILE = "warehouse.duckdb"

STUDY_FILE = "study.toml"


def find_warehouse(where: str | Path | None) -> Path:
    """Path of the warehouse that `where` means; whether it exists is for the one who opens it.

    Args:
        where: a study file (.toml), an output folder or a .duckdb file; None looks in the current folder for
            study.toml, then warehouse.duckdb.

    Raises:
        StudyError: `where` is none of these, or its study names no output folder.
    """
    if isinstance(where, str) and is_url(where):
        raise StudyError(f"{where} is a URL, and a warehouse is a local file: name it with --into FILE.duckdb")
    where = Path(where) if where else default_location()
    return where if where.suffix == ".duckdb" else find_output(where) / WAREHOUSE_FILE


def find_output(where: Path | None) -> Path:
    """Path of the output folder that `where` means (see `find_warehouse`); of a .duckdb file, its folder.

    Raises:
        StudyError: `where` is neither study file, folder nor .duckdb file, or its study names no output folder.
    """
    where = where or default_location()
    if where.suffix == ".toml":
        return _output_of_study(where)
    if where.suffix == ".duckdb":
        return where.parent
    if where.is_dir():
        return where
    state = "is no folder" if where.exists() else "does not exist"
    raise StudyError(f"{where} {state}: expected a study file (.toml), an output folder or a warehouse (.duckdb)")


def find_record(where: str | Path | None) -> StorePath:
    """The folder whose record `where` means: what a study names as its `record`, else its output folder.

    Args:
        where: as for `find_warehouse`, or the URL of a folder that holds a record.

    Raises:
        StudyError: as `find_output`.
        StorageError: a URL of no known protocol, or its driver is not installed.
    """
    if isinstance(where, str) and is_url(where):
        return as_store_path(where)
    where = Path(where) if where else default_location()
    if where.suffix == ".toml":
        record = _content(where).get("record")
        if isinstance(record, str) and record:
            return as_store_path(record, where.parent)
    return find_output(where)


def default_location() -> Path:
    """What is meant where nothing is named: study.toml, else warehouse.duckdb, in the current folder.

    Raises:
        StudyError: neither is there.
    """
    for name in (STUDY_FILE, WAREHOUSE_FILE):
        if Path(name).is_file():
            return Path(name)
    raise StudyError(
        f"no {STUDY_FILE} or {WAREHOUSE_FILE} in the current folder: name a study file, an output folder or a .duckdb"
    )


def _output_of_study(study: Path) -> Path:
    output = _content(study).get("output")
    if not isinstance(output, str) or not output:
        raise StudyError(f'study {study} names no output folder: add a line such as output = "runs/mine" at its top')
    return study.parent / output


def _content(study: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(study.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StudyError(f"study {study} does not exist: name a study file (.toml)") from error
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"study {study} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"study {study} is not valid TOML: {error}") from error
