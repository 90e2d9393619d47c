"""What every result that Python gets back can do: print, show in notebooks, and be saved in any format."""

import os
from abc import ABC, abstractmethod
from pathlib import Path

from failmodes.analysis.render.blocks import Document
from failmodes.analysis.render.documents import USUAL_WIDTH, render, write


class Rendered(ABC):
    """A result that makes a document of itself; everything else follows from that."""

    @property
    @abstractmethod
    def document(self) -> Document:
        """The result as blocks, data and test cases."""

    def to_text(self, width: int = USUAL_WIDTH) -> str:
        """Plain text in lines of at most `width` letters."""
        return render(self.document, "text", width)

    def to_markdown(self) -> str:
        """Markdown for a pull request; labels and names in it are never markup."""
        return render(self.document, "markdown")

    def to_json(self) -> str:
        """All figures as JSON."""
        return render(self.document, "json")

    def to_junit(self) -> str:
        """JUnit XML.

        Raises:
            StudyError: the result has no test cases.
        """
        return render(self.document, "junit")

    def save(self, path: "str | os.PathLike[str]", *, force: bool = False) -> Path:
        """Write it in the format of the file's suffix: .html, .json, .md, .txt or .xml (JUnit).

        Args:
            path: the file.
            force: replace even a study, warehouse or results shard that has one of these suffixes.

        Raises:
            StudyError: another suffix, a file that must not be replaced, or JUnit of a result without test cases.
            StorageError: the file could not be written.
        """
        return write(self.document, Path(path), force=force)

    def __str__(self) -> str:
        return self.to_text().rstrip("\n")

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        from failmodes.analysis.render.formats.html import render_blocks

        return f"<div>{render_blocks(self.document.blocks)}</div>"
