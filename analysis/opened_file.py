"""A warehouse file that is open to read: where it is, what it says of itself, and how it is closed."""

import html
import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from failmodes.warehouse.errors import FailmodesError, WarehouseError

if TYPE_CHECKING:
    from failmodes.analysis.images.clean_images import OpenStudy


class OpenedFile:
    """What `Warehouse` stands on. Each call opens the file anew: nothing is held open between two calls."""

    def __init__(self, path: str | os.PathLike[str], *, open_study: "OpenStudy | None" = None) -> None:
        """Open a warehouse; `failmodes.open` also finds the one of a study or of an output folder.

        Args:
            path: the DuckDB file.
            open_study: opens the images of the study that is at hand, for pictures that the file has not got;
                `failmodes.open` gives it.

        Raises:
            WarehouseError: it is missing, no warehouse, of another schema version, or in use by a writer.
        """
        from failmodes.warehouse.database.connection import open_warehouse

        self._path = Path(path).absolute()
        self._closed = False
        self._open_study = open_study
        with open_warehouse(self._path, ()):
            pass  # it is a warehouse of our version

    @property
    def path(self) -> Path:
        """The DuckDB file, as an absolute path."""
        return self._path

    def close(self) -> None:
        """Refuse further use; nothing is held open between two calls, so this frees nothing."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        facts = self._facts()
        width = max(len(name) for name, _ in facts)
        return "\n".join([f"Warehouse {self._path}", *(f"  {name:{width}}  {value}" for name, value in facts)])

    def _repr_html_(self) -> str:
        rows = [("warehouse", str(self._path)), *self._facts()]
        cells = (f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in rows)
        return f"<table>{''.join(cells)}</table>"

    def _opened(self) -> Path:
        if self._closed:
            raise WarehouseError(f"this warehouse was closed: open it again with failmodes.open({str(self._path)!r})")
        return self._path

    def _facts(self) -> list[tuple[str, str]]:
        """What the warehouse holds, as names and values; describing it never raises."""
        try:
            path = self._opened()
            from failmodes.analysis.warehouse_description import describe_warehouse

            return describe_warehouse(path)
        except FailmodesError as error:
            return [("state", "closed" if self._closed else str(error))]
