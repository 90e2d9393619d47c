"""What tables and views there are, and their columns: of a warehouse, or, without one, of the contract."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import NamedTuple

import duckdb

from failmodes.sql import first_comment
from failmodes.warehouse.database.column_meanings import column_meanings, measured
from failmodes.warehouse.database.connection import LOCKED, fetch_first, open_warehouse
from failmodes.warehouse.database.relations import TABLES, relation_names, select_nothing, view_definitions
from failmodes.warehouse.errors import QueryError, did_you_mean, shown

_COLUMNS = """
select table_name, column_name, data_type from duckdb_columns()
where database_name = 'memory' and schema_name = 'main' and not internal and ($name is null or table_name = $name)
order by table_name, column_index
"""


MOST_NAMED = 4  # relations that a hint names


class RelationRow(NamedTuple):
    """A table or view: its name, 'table' or 'view', what a row of it is, and its rows (None: not counted)."""

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


def relation_rows(path: Path | None) -> list[RelationRow]:
    """Every table and view, tables first; rows are counted where a warehouse is given, and of tables alone.

    Raises:
        WarehouseError: the warehouse cannot be opened.
    """
    counts: dict[str, int] = {}
    if path is not None:
        with open_warehouse(path, TABLES) as con:
            counts = {name: _count(con, name) for name in TABLES}
    tables = [RelationRow(name, "table", table.grain, counts.get(name)) for name, table in sorted(TABLES.items())]
    views = sorted(view_definitions().items())
    return [*tables, *(RelationRow(name, "view", first_comment(sql), None) for name, sql in views)]


def column_rows(path: Path | None, name: str | None = None) -> list[ColumnRow]:
    """The columns of one table or view, or of all: as a warehouse has them, or the contract where none is given.

    Raises:
        QueryError: there is no table or view `name`.
        WarehouseError: the warehouse cannot be opened.
    """
    if name is not None:
        check_known(name)
    names = None if name is None else [name]
    with open_contract(names) if path is None else open_warehouse(path, names) as con:
        found = column_types(con, name)
    return [
        ColumnRow(table, column, kind, *measured(table, column, kind), column_meanings(table)[column])
        for table, column, kind in found
    ]


def column_types(con: duckdb.DuckDBPyConnection, name: str | None) -> list[tuple[str, str, str]]:
    """Table, name and type of the columns of one of the connection's tables and views, or of all."""
    return con.execute(_COLUMNS, {"name": name}).fetchall()


def relations_with(column: str) -> tuple[str, ...]:
    """Views, then tables, that have a column of this name."""
    with open_contract() as con:
        found = [name for name, own, _ in column_types(con, None) if own == column.lower()]
    return tuple(sorted(found, key=lambda name: (name in TABLES, name)))


def where_columns_are(column: str, besides: str = "") -> str:
    """A hint such as `'correct' is a column of outcomes, predictions`; empty where no table or view has it."""
    names = [name for name in relations_with(column) if name != besides]
    if not names:
        return ""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{column!r} is a column of {', '.join(names[:MOST_NAMED])}{more}"


_DIRECTIONS = {True: "higher is better", False: "lower is better", None: "neither is better"}


def metric_facts(path: Path | None, name: str) -> list[tuple[str, str]]:
    """What a metric is, field by field; nothing where no metric is called so, or a table or view is.

    Raises:
        WarehouseError: the warehouse cannot be opened.
    """
    if name in relation_names():
        return []
    from failmodes.warehouse.metrics.registry import all_metrics

    if found := all_metrics().get(name):
        return _facts(
            found.title, found.formula, found.unit, found.range, _DIRECTIONS[found.higher_is_better], found.source,
            ", ".join(found.scores), _views_with(name),
        )  # fmt: skip
    if path is None:
        return []
    with open_warehouse(path, ["metrics"]) as con:
        row = fetch_first(
            con,
            "select title, formula, unit, least, most, higher_is_better, source from metrics where metric = ?",
            [name],
        )
    if row is None:
        return []
    title, formula, unit, least, most, higher, source = row
    ends = (-inf if least is None else least, inf if most is None else most)
    return _facts(
        title, formula or "", unit, ends, _DIRECTIONS[higher], source or "the study's own", "", "cell_metrics"
    )


def _facts(
    title: str, formula: str, unit: str, ends: tuple[float, float], direction: str, source: str, scores: str, views: str
) -> list[tuple[str, str]]:
    span = " to ".join("infinity" if end == inf else "-infinity" if end == -inf else f"{end:g}" for end in ends)
    fields = (("title", title), ("formula", formula), ("unit", unit), ("range", span), ("direction", direction),
              ("source", source), ("scores", scores), ("in", views))  # fmt: skip
    return [(field, text) for field, text in fields if text]


def _views_with(name: str) -> str:
    """Where a metric stands: `cell_metrics`, and views with a column of its name."""
    return ", ".join(["cell_metrics", *(one for one in relations_with(name) if one not in TABLES)])


@contextmanager
def open_contract(names: Iterable[str] | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the tables, empty, and the views of the contract; or with those named and what they read."""
    with duckdb.connect(config=LOCKED) as con:
        shown: set[str] = set()

        def show(name: str) -> None:
            if name in shown:
                return
            shown.add(name)
            sql = select_nothing(TABLES[name]) if name in TABLES else view_definitions()[name]
            for source in con.get_table_names(sql):
                show(source)
            con.execute(f"create view {name} as {sql}")

        for name in relation_names() if names is None else names:
            show(name)
        yield con


def check_known(name: object) -> None:
    """Refuse a name that is neither table nor view.

    Raises:
        QueryError: with the nearest name, or all.
    """
    if not isinstance(name, str):
        raise QueryError(f"a table or view is named by a text, such as 'models' (given: {shown(name)})")
    names = relation_names()
    if name not in names:
        every = f"there are {', '.join(names)}"
        raise QueryError(f"no table, view or metric {name!r}: {did_you_mean(name, names, every)}")


def _count(con: duckdb.DuckDBPyConnection, name: str) -> int:
    row = fetch_first(con, f'select count(*) from "{name}"')
    assert row is not None, "an aggregate without groups has one row"
    return int(row[0])
