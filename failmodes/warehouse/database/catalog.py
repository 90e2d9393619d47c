"""What tables and views a warehouse has, what their columns mean, and the rows of one of them that fit some values."""

import math
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from failmodes.sql import sql_identifier
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.query import bindable, query_errors, to_polars
from failmodes.warehouse.database.schema_listing import (
    check_known,
    column_rows,
    column_types,
    relation_rows,
    where_columns_are,
)
from failmodes.warehouse.errors import QueryError, did_you_mean

if TYPE_CHECKING:
    import polars as pl

_TEXT, _FLAG = ("VARCHAR", "ENUM"), ("BOOLEAN",)
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
            "FLOAT", "DOUBLE", "DECIMAL")  # fmt: skip

# Types of columns that say of what a row is: names, classes, images, severities; counts and metrics are longer
_IDENTIFYING = ("VARCHAR", "ENUM", "TINYINT", "SMALLINT", "INTEGER", "DECIMAL")
_UNSORTED = ("prediction_facts", "predictions", "outcomes", "attention")


def list_relations(path: Path) -> "pl.DataFrame":
    """Every table and view of the warehouse `path`, tables first.

    Returns:
        name; kind, 'table' or 'view'; meaning, in a sentence; row_count, null for a view.

    Raises:
        WarehouseError: the warehouse cannot be opened.
    """
    import polars as pl

    schema = {"name": pl.String, "kind": pl.String, "meaning": pl.String, "row_count": pl.Int64}
    return pl.DataFrame(relation_rows(path), schema, orient="row")


def list_columns(path: Path, name: str | None = None) -> "pl.DataFrame":
    """The columns of one table or view, or of all.

    Returns:
        table, column, type (as DuckDB writes it), unit and range (empty where it has none), meaning.

    Raises:
        QueryError: there is no table or view `name`.
        WarehouseError: the warehouse cannot be opened.
    """
    import polars as pl

    schema = {name: pl.String for name in ("table", "column", "type", "unit", "range", "meaning")}
    return pl.DataFrame(column_rows(path, name), schema, orient="row")


def read_rows(path: Path, name: str, filters: Mapping[str, object]) -> "pl.DataFrame":
    """The rows of a table or view that fit every filter, sorted by the columns that say of what they are.

    The two tables with a row for each image are not sorted: at their size it would take more memory than reading them.

    Args:
        path: the DuckDB file.
        name: a table or view.
        filters: by column: a value that its rows have, a list of values of which they have one, or None for null.

    Raises:
        QueryError: there is no such table, view or column, or a value is of another kind than its column.
        WarehouseError: the warehouse cannot be opened.
    """
    check_known(name)
    with open_warehouse(path, [name]) as con:
        types = {column: kind for _, column, kind in column_types(con, name)}
        conditions: list[str] = []
        values: dict[str, object] = {}
        for position, (column, value) in enumerate(filters.items()):
            if column not in types:
                every = f"{name} has the columns {', '.join(types)}"
                place = where_columns_are(column, besides=name)
                hint = did_you_mean(column, types, place or every)
                more = f" {place}" if place and hint != place else ""
                raise QueryError(f"{name} has no column {column!r}: {hint}{more}")
            wanted = value if isinstance(value, list | tuple | set | frozenset) else [value]
            known = [_fitting(item, types[column], f"{name}.{column}") for item in wanted if item is not None]
            quoted, parameter = sql_identifier(column), f"value_{position}"
            choices = [f"{quoted} = any(${parameter})"] if known else []
            choices += [f"{quoted} is null"] if None in wanted else []
            conditions.append(f"({' or '.join(choices) or 'false'})")
            values |= {parameter: known} if known else {}
        where = f" where {' and '.join(conditions)}" if conditions else ""
        with query_errors():
            rows = to_polars(con.sql(f"from {sql_identifier(name)}{where}", params=values or None))
    keys = [column for column, kind in types.items() if kind.startswith(_IDENTIFYING)]
    return rows if name in _UNSORTED else rows.sort(sorted(keys, key=lambda column: column != "model_label"))


def _fitting(value: object, kind: str, column: str) -> object:
    """A value as it is compared with a column of type `kind`: with decimals, by the digits that it was written with."""
    value, family = bindable(value), kind.partition("(")[0]
    is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    fits = {
        **dict.fromkeys(_TEXT, isinstance(value, str)),
        **dict.fromkeys(_FLAG, isinstance(value, bool)),
        **dict.fromkeys(_NUMBERS, is_number),
    }
    if not fits.get(family, True):
        raise QueryError(f"{column} is {kind}, and {value!r} is {type(value).__name__}: give a value of its kind")
    if family == "DECIMAL" and isinstance(value, float) and math.isfinite(value):
        return Decimal(repr(round(value, 9)))  # 0.1 + 0.2 is severity 0.3
    return value
