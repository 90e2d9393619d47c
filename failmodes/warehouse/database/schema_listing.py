"""List tables, views and columns with their meaning, from the schema created in memory.

DuckDB stores meanings as comments. A warehouse, which is untrusted, contributes only its row counts, the metrics of its
study, and the metadata of its images.
"""

import re
from collections.abc import Mapping
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import duckdb

from failmodes.runtime.errors import listed
from failmodes.warehouse.database.connection import LOCKED, NUMBERS, count_rows, open_warehouse, stored_type
from failmodes.warehouse.database.tables import create_tables
from failmodes.warehouse.database.views import check_known, install_views, relation_names
from failmodes.warehouse.database_schema import TABLES
from failmodes.warehouse.schema import IMAGES, MAX_SEVERITY, METADATA, SEVERITY

if TYPE_CHECKING:
    import polars as pl

_WITH_METADATA = (IMAGES.name, "predictions")
MAX_NAMED = 4  # relations that a hint names

# A range is written as 0-1, -1 to 1, 0 to infinity or `0 (clean) to 5`; a unit follows a comma, or comes first
_END = r"(-?\d+(?:\.\d+)?|infinity)(?: \([^)]*\))?"
_RANGE = re.compile(rf"(?<![\w./-]){_END}(?:-| to ){_END}(?![\w/])")
_UNIT = re.compile(
    r"(?:^|, (?:in )?)"
    r"(nats|pixels|bytes|image widths|image heights|seconds|images per second|accuracy per severity|logits)\b"
)
_ENDS = re.compile(r"(^|_)(low|high)$")  # of an interval, with the unit and range of the value


class RelationRow(NamedTuple):
    """A table or view: its name, 'table' or 'view', the meaning of a row, and its rows (None: not counted)."""

    name: str
    kind: str
    meaning: str
    row_count: int | None


class ColumnRow(NamedTuple):
    """A column: its table or view, name, type as DuckDB writes it, unit and range (empty: none), and meaning."""

    table: str
    column: str
    type: str
    unit: str
    range: str
    meaning: str


class Contract(NamedTuple):
    """Every table and view, tables first, and the columns of each by its name."""

    relations: list[RelationRow]
    columns: dict[str, list[ColumnRow]]


@cache
def contract() -> Contract:
    """The schema of every warehouse."""
    with duckdb.connect(config=LOCKED) as con:
        create_tables(con)
        install_views(con)
        relations = con.execute(
            "select table_name, 'table', comment, null from duckdb_tables() where not internal "
            "union all select view_name, 'view', comment, null from duckdb_views() where not internal"
        ).fetchall()
        columns_of_all = con.execute(
            "select table_name, column_name, data_type, comment from duckdb_columns() where not internal "
            "order by table_name, column_index"
        ).fetchall()
    columns: dict[str, list[ColumnRow]] = {}
    for table, of_table in groupby(columns_of_all, lambda row: row[0]):
        rows = list(of_table)
        meanings = {column: meaning for _, column, _, meaning in rows}
        columns[table] = [
            ColumnRow(table, column, kind, *measured(column, kind, meanings), meaning)
            for _, column, kind, meaning in rows
        ]
    order = relation_names()
    return Contract(sorted((RelationRow(*row) for row in relations), key=lambda row: order.index(row.name)), columns)


def measured(column: str, kind: str, meanings: Mapping[str, str]) -> tuple[str, str]:
    """Unit and range of a column, as its meaning states them, or empty; of the ends of an interval, those of the value.

    Args:
        column: its name.
        kind: its type in DuckDB.
        meanings: of all columns of its table or view.
    """
    if not kind.startswith(NUMBERS) or kind.endswith("[]"):
        return "", ""
    if kind == stored_type(SEVERITY):
        return "", f"0 to {MAX_SEVERITY}"
    text = meanings[column]
    if _ENDS.search(column) and not _RANGE.search(text):
        text = meanings.get(_ENDS.sub("", column) or "value", text)
    unit = "count" if column.endswith("_count") else found[1] if (found := _UNIT.search(text)) else ""
    if found := _RANGE.search(text):
        return unit, f"{found[1]} to {found[2]}"
    if "any number" in text:
        return unit, "-infinity to infinity"
    has_sign = not unit or unit == "accuracy per severity"
    is_positive = not has_sign or column.endswith("_error") or column.startswith("sd_")
    return unit, "0 to infinity" if is_positive else ""


def relation_rows(path: Path | None) -> list[RelationRow]:
    """Every table and view, tables first; rows of tables are counted if a warehouse is given.

    Raises:
        WarehouseError: the warehouse cannot be opened.
    """
    if path is None:
        return contract().relations
    with open_warehouse(path, TABLES) as con:
        counts = count_rows(con)
    return [row._replace(row_count=counts.get(row.name)) for row in contract().relations]


def _metric_names(path: Path | None) -> list[str]:
    """All metrics, with those of the warehouse's study."""
    from failmodes.warehouse.metrics.metric import all_metrics

    if path is None:
        return [*all_metrics()]
    with open_warehouse(path, ["metrics"]) as con:
        stored = con.execute("select metric from metrics").fetchall()
    return list(dict.fromkeys([*all_metrics(), *(name for (name,) in stored)]))


def column_rows(path: Path | None, name: str | None = None) -> list[ColumnRow]:
    """The columns of one table or view, or of all.

    Raises:
        QueryError: the table or view does not exist.
        WarehouseError: the warehouse `path` cannot be opened or has other columns.
    """
    if name is not None:
        check_known(name, partial(_metric_names, path))
    columns = contract().columns
    if path is not None:
        with open_warehouse(path, None if name is None else [name]) as con:
            shown = [relation for relation in _WITH_METADATA if name in (None, relation)]
            columns = columns | {relation: _with_metadata(con, relation, columns[relation]) for relation in shown}
    return columns[name] if name is not None else [row for rows in columns.values() for row in rows]


def _with_metadata(con: duckdb.DuckDBPyConnection, relation: str, ours: list[ColumnRow]) -> list[ColumnRow]:
    """The columns of a table or view of a warehouse in their order, with the metadata of its images."""
    known = {row.column: row for row in ours}
    table = con.table(relation)
    return [
        known.get(column) or ColumnRow(relation, column, str(kind), "", "", METADATA)
        for column, kind in zip(table.columns, table.types, strict=True)
    ]


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
        table, column, type (as DuckDB writes it), unit and range (empty if it has none), meaning.

    Raises:
        QueryError, WarehouseError: as `column_rows`.
    """
    import polars as pl

    return pl.DataFrame(column_rows(path, name), dict.fromkeys(ColumnRow._fields, pl.String), orient="row")


def relations_with(column: str) -> tuple[str, ...]:
    """Views, then tables, that have a column of this name."""
    names = (name for name, rows in contract().columns.items() if column.lower() in {row.column for row in rows})
    return tuple(sorted(names, key=lambda name: (name in TABLES, name)))


def where_columns_are(column: str) -> str:
    """A hint such as `'correct' is a column of outcomes, predictions`; empty if no table or view has it."""
    names = relations_with(column)
    return f"{column!r} is a column of {listed(names, MAX_NAMED)}" if names else ""


_DIRECTIONS = {True: "higher is better", False: "lower is better", None: "neither is better"}


def metric_facts(path: Path | None, name: str) -> list[tuple[str, str]]:
    """The definition of a metric, field by field; empty if the name is that of a table or view, or unknown.

    Raises:
        WarehouseError: the warehouse cannot be opened.
    """
    if name in relation_names():
        return []
    from failmodes.warehouse.database.stored_metrics import metric_row
    from failmodes.warehouse.metrics.metric import all_metrics

    own = all_metrics().get(name)
    row = None
    if own is not None:
        row = metric_row(own)
    elif path is not None:
        with open_warehouse(path, ["metrics"]) as con:
            row = next(iter(con.sql("from metrics where metric = ?", params=[name]).pl().to_dicts()), None)
    if row is None:
        return []
    least = "-infinity" if row["least"] is None else f"{row['least']:g}"
    most = "infinity" if row["most"] is None else f"{row['most']:g}"
    fields = {
        "title": row["title"],
        "formula": row["formula"],
        "unit": row["unit"],
        "range": f"{least} to {most}",
        "direction": _DIRECTIONS[row["higher_is_better"]],
        "source": row["source"] or ("" if own else "the study's own"),
        "scores": ", ".join(own.scores) if own else "",
        "in": ", ".join(["cell_metrics", *(view for view in relations_with(name) if own and view not in TABLES)]),
    }
    return [(field, text) for field, text in fields.items() if text]
