"""One connection for as long as a page is open: opening one takes longer than what a click asks of it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import duckdb

from failmodes.warehouse.database.connection import open_warehouse, reading_errors


class KeptConnection:
    """A connection of a page's own, which its one thread uses.

    It can only read, and goes on showing the file that it opened where a load puts another in its place: a page that is
    opened anew shows that one.
    """

    def __init__(self, path: Path) -> None:
        """Open the warehouse `path`, with all its tables and views.

        Raises:
            WarehouseError: it cannot be read.
        """
        self._path = path
        self._open = ExitStack()
        self._con = self._open.enter_context(open_warehouse(path))

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The connection; what DuckDB raises meanwhile is an error of one line.

        Raises:
            LimitError: memory ran out.
            WarehouseError: the file is damaged.
        """
        with reading_errors(self._path):
            yield self._con

    def close(self) -> None:
        """Close it; a page that is gone does so by itself."""
        self._open.close()
