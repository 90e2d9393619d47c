"""The formats that a comparison is written in."""

from collections.abc import Callable
from pathlib import Path

from failmodes.analysis.comparison.json_document import as_json
from failmodes.analysis.comparison.markdown import as_markdown
from failmodes.analysis.comparison.terminal_text import as_text
from failmodes.analysis.statistics.model_comparison import Comparison
from failmodes.warehouse.output_files import NO_SUFFIX, check_output, write_output

FORMATS: dict[str, Callable[[Comparison], str]] = {"text": as_text, "json": as_json, "markdown": as_markdown}
SUFFIXES = {".txt": "text", ".json": "json", ".md": "markdown"}


def suffixes_of(format: str | None) -> tuple[str, ...]:
    """The suffixes of a format; those of all where none was asked for."""
    if format is None:
        return tuple(SUFFIXES)
    return (*(suffix for suffix in SUFFIXES if SUFFIXES[suffix] == format), NO_SUFFIX)


def write_comparison(comparison: Comparison, path: Path, format: str | None = None, *, force: bool = False) -> Path:
    """Write a comparison to a file, which appears whole.

    Args:
        comparison: what was compared.
        path: the file.
        format: one of FORMATS; by default that of the suffix.
        force: see `check_output`.

    Raises:
        StudyError: another suffix, or a file that must not be replaced.
        StorageError: it could not be written.
    """
    suffixes = suffixes_of(format)
    check_output(path, suffixes, force=force)
    chosen = format or SUFFIXES[path.suffix.lower()]
    write_output(path, FORMATS[chosen](comparison).encode(), suffixes, force=force)
    return path
