"""Render documents as text or files, and the base class of results in Python."""

import os
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

from failmodes.analysis.render import formats
from failmodes.analysis.render.blocks import Document
from failmodes.runtime.errors import StudyError, did_you_mean
from failmodes.runtime.terminal import say, stdout_console
from failmodes.warehouse.output_files import NO_SUFFIX, check_output, write_output

USUAL_WIDTH = 110  # characters per line, in formats that wrap


def format_names() -> list[str]:
    """Names of the output formats, the modules of `render.formats`, without importing them."""
    return sorted(module.name for module in pkgutil.iter_modules(formats.__path__))


@cache
def output_formats() -> Mapping[str, ModuleType]:
    """The modules of all output formats by name, such as `markdown`; see `render.formats`."""
    return {name: import_module(f"{formats.__name__}.{name}") for name in format_names()}


def _format(name: str) -> ModuleType:
    known = output_formats()
    if name not in known:
        raise StudyError(f"no format {name!r}: {did_you_mean(name, known, 'choose ' + ', '.join(known))}")
    return known[name]


def render(document: Document, format: str = "text", width: int = USUAL_WIDTH) -> str:
    """The document as text.

    Args:
        document: the document.
        format: one of `output_formats`.
        width: characters per line.

    Raises:
        StudyError: unknown format.
    """
    return str(_format(format).render(document, width))


def suffixes_of(format: str | None) -> tuple[str, ...]:
    """The suffix of a format, or no suffix; without a format, all suffixes.

    Raises:
        StudyError: unknown format.
    """
    if format is None:
        return tuple(module.SUFFIX for module in output_formats().values())
    return _format(format).SUFFIX, NO_SUFFIX


def write(document: Document, path: Path, format: str | None = None, *, force: bool = False) -> Path:
    """Write a document to a file, atomically.

    Args:
        document: the document.
        path: the file.
        format: one of `output_formats`. Default: the format of the suffix.
        force: see `check_output`.

    Raises:
        StudyError: an unknown suffix, or a file that must not be replaced.
        StorageError: the file cannot be written.
    """
    suffixes = suffixes_of(format)
    check_output(path, suffixes, force=force)
    by_suffix = {module.SUFFIX: name for name, module in output_formats().items()}
    text = render(document, format or by_suffix[path.suffix.lower()])
    write_output(path, text.encode(), suffixes, force=force)
    return path


def print_document(document: Document, format: str = "text") -> None:
    """Print a document to stdout, as wide as the terminal, or USUAL_WIDTH if output goes to a file."""
    console = stdout_console()
    say(render(document, format, console.width if console.is_terminal else USUAL_WIDTH), end="")


class Rendered(ABC):
    """A result with a document, from which all output formats follow."""

    @property
    @abstractmethod
    def document(self) -> Document:
        """The result as blocks, data and test cases."""

    def to_text(self, width: int = USUAL_WIDTH) -> str:
        """Plain text in lines of at most `width` characters."""
        return render(self.document, "text", width)

    def to_markdown(self) -> str:
        """Markdown for a pull request; labels and names are escaped."""
        return render(self.document, "markdown")

    def to_json(self) -> str:
        """All data as JSON."""
        return render(self.document, "json")

    def to_junit(self) -> str:
        """JUnit XML.

        Raises:
            StudyError: the result has no test cases.
        """
        return render(self.document, "junit")

    def save(self, path: "str | os.PathLike[str]", *, force: bool = False) -> Path:
        """Write the result in the format of the suffix: .html, .json, .md, .txt or .xml (JUnit).

        Args:
            path: the file.
            force: replace even a study, warehouse or results shard with such a suffix.

        Raises:
            StudyError: an unknown suffix, a file that must not be replaced, or JUnit for a result without test cases.
            StorageError: the file cannot be written.
        """
        return write(self.document, Path(path), force=force)

    def __str__(self) -> str:
        return self.to_text().rstrip("\n")

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        from failmodes.analysis.render.formats.html import render_blocks

        return f"<div>{render_blocks(self.document.blocks)}</div>"
