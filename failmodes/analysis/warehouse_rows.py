"""What is asked of an open warehouse as rows: SQL, tables, and what their columns mean."""

from pathlib import Path
from typing import TYPE_CHECKING

from failmodes.warehouse.errors import WarehouseError

if TYPE_CHECKING:
    import polars as pl


class WarehouseRows:
    """The rows of a warehouse: the part of `Warehouse` that needs no analysis."""

    _path: Path
    _closed: bool

    @property
    def path(self) -> Path:
        """The DuckDB file, as an absolute path."""
        return self._path

    def sql(self, query: str, /, *, timeout_s: float | None = 60, **parameters: object) -> "pl.DataFrame":
        """Answer one SQL statement; it can only read.

        Args:
            query: one statement in DuckDB's dialect, or the name of a saved query, such as "@worst_cells"
                (`failmodes query --list` has them, and what they take).
            timeout_s: seconds after which it is stopped; None waits.
            **parameters: the value of each `$name` in the statement; of a saved query, of those parameters that are
                given. Values are bound, never written into the text.

        Raises:
            QueryError: it is no valid SQL, more than one statement, not a reading one, or lacks the value of a
                parameter.
            LimitError: time or memory ran out.

        Examples:
            >>> w.sql("select * from accuracy_by_severity where accuracy < $floor order by accuracy", floor=0.5)
            >>> w.sql("from hardest_images where model_label = any($models)", models=["ResNet-18", "ViT"])
            >>> w.sql("@worst_cells", corruption="fog", rows=5)
        """
        path = self._opened()
        from failmodes.warehouse.database.query import run_query

        return run_query(path, query, parameters, timeout_s=timeout_s)

    def table(self, name: str, /, **filters: object) -> "pl.DataFrame":
        """The rows of a table or view that fit every filter, sorted by what they are of: model, corruption, severity.

        `predictions` and `attention`, which have a row for each image, come as they are stored.

        Args:
            name: a table or view, as `tables` lists them.
            **filters: by column: a value (its rows have it), a list or tuple (they have one of these), or None (they
                have none). A severity may be given as int, float or Decimal.

        Raises:
            QueryError: there is no such table, view or column, or a value is of another kind than its column.

        Examples:
            >>> w.table("accuracy_by_severity", model_label="ResNet-18", corruption=["fog", "snow"])
            >>> w.table("predictions", corruption="fog", severity=2.5, predicted=None)
        """
        path = self._opened()
        from failmodes.warehouse.database.query import read_rows

        return read_rows(path, name, filters)

    def tables(self) -> "pl.DataFrame":
        """Every table and view: name, kind ('table' or 'view'), meaning in a sentence, row_count (null for views)."""
        path = self._opened()
        from failmodes.warehouse.database.schema_listing import list_relations

        return list_relations(path)

    def schema(self, name: str | None = None) -> "pl.DataFrame":
        """The columns of one table or view, or of all: table, column, type, meaning.

        The meaning has range and unit, of views as of tables.

        Raises:
            QueryError: there is no table or view `name`.
        """
        path = self._opened()
        from failmodes.warehouse.database.schema_listing import list_columns

        return list_columns(path, name)

    def _opened(self) -> Path:
        if self._closed:
            raise WarehouseError(f"this warehouse was closed: open it again with failmodes.open({str(self._path)!r})")
        return self._path
