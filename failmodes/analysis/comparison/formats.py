"""The formats that a comparison is written in."""

from collections.abc import Callable
from pathlib import Path

from failmodes.analysis.comparison.json_document import as_json
from failmodes.analysis.comparison.markdown import as_markdown
from failmodes.analysis.comparison.terminal_text import as_text
from failmodes.analysis.statistics.network_comparison import Comparison
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.storage.files import atomic_write_bytes

FORMATS: dict[str, Callable[[Comparison], str]] = {"text": as_text, "json": as_json, "markdown": as_markdown}
SUFFIXES = {".txt": "text", ".json": "json", ".md": "markdown"}


def format_of(path: Path) -> str:
    """The format that a file's suffix names.

    Raises:
        StudyError: it names none.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise StudyError(f"cannot save a comparison as {path.name!r}: name it with one of {', '.join(SUFFIXES)}")
    return SUFFIXES[path.suffix.lower()]


def write_comparison(comparison: Comparison, path: Path, format: str) -> Path:
    """Write a comparison to a file, which appears whole.

    Args:
        comparison: what was compared.
        path: the file.
        format: one of FORMATS.

    Raises:
        StorageError: it could not be written.
    """
    atomic_write_bytes(path, FORMATS[format](comparison).encode())
    return path
