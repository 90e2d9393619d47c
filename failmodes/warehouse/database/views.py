"""Views of the warehouse from this program's own SQL: their sources, and the meaning of their columns.

Every file of `sql/staging` and `sql/marts` is a view. The meaning of a column is the comment behind it in the last
select of its file (`accuracy, -- share of images that are correct, 0-1`; following comment lines continue it); without
one, the meaning of that column in the first of the view's sources that has it. DuckDB stores meanings as comments.
"""

import re
from collections.abc import Callable, Iterable
from functools import cache

import duckdb

from failmodes.runtime.errors import QueryError, did_you_mean, shown
from failmodes.sql import MARTS, STAGING, first_comment, read_sql, sql_identifier, sql_literal
from failmodes.warehouse.database_schema import TABLES
from failmodes.warehouse.schema import IMAGES, METADATA

_COLUMN = re.compile(r"(?:^|[\s.])(\w+),?\s+--\s+(\S.*)$")
_READ: dict[str, set[str]] = {}  # sources of each view: DuckDB needs a tenth of a second to parse them all


@cache
def view_definitions() -> dict[str, str]:
    """SQL of every view by name; no name is in both folders."""
    staging, marts = read_sql(STAGING), read_sql(MARTS)
    assert not staging.keys() & marts.keys(), "a view is in both folders"
    return staging | marts


def relation_names() -> list[str]:
    """Every table and view of a connection, tables first."""
    return [*sorted(TABLES), *sorted(view_definitions())]


def check_known(name: object, metrics: Callable[[], Iterable[str]] | None = None) -> None:
    """Check that a name is that of a table or view.

    Args:
        name: any value.
        metrics: names that the command also knows, for the message.

    Raises:
        QueryError: it is not; the message has the nearest names.
    """
    if not isinstance(name, str):
        raise QueryError(f"the name of a table or view is a string, such as 'models' (given: {shown(name)})")
    names = relation_names()
    if name not in names:
        kinds, others = ("table or view", ()) if metrics is None else ("table, view or metric", metrics())
        hint = did_you_mean(name, [*names, *others], "`failmodes schema` lists them", most=2)
        raise QueryError(f"no {kinds} {name!r}: {hint}")


def with_sources(con: duckdb.DuckDBPyConnection, names: Iterable[str]) -> list[str]:
    """The known ones of the named tables and views with their sources, each after its sources.

    Args:
        con: a connection without these views, since DuckDB would resolve them.
        names: in any case.
    """
    definitions = view_definitions()
    ordered = dict[str, None]()

    def add(name: str) -> None:
        if name in definitions and name not in ordered:
            if name not in _READ:
                _READ[name] = con.get_table_names(definitions[name])
            for source in sorted(_READ[name]):
                add(source)
        if name in definitions or name in TABLES:
            ordered[name] = None

    for name in names:
        add(name.lower())
    return list(ordered)


def install_views(con: duckdb.DuckDBPyConnection) -> None:
    """Replace all views of a database by the current ones, with meanings as COMMENT."""
    for (name,) in con.execute(
        "select view_name from duckdb_views() "
        "where not internal and schema_name = 'main' and database_name = current_database()"
    ).fetchall():
        con.execute(f"drop view {sql_identifier(name)}")
    meanings = {name: {column.name: column.meaning for column in table.columns} for name, table in TABLES.items()}
    meanings[IMAGES.name] = dict.fromkeys(con.table(IMAGES.name).columns, METADATA) | meanings[IMAGES.name]
    for name in with_sources(con, view_definitions()):
        if (sql := view_definitions().get(name)) is None:
            continue
        con.execute(f"create view {name} as {sql}")
        meanings[name] = _own_meanings(sql)
        for word in re.findall(r"\w+", sql.partition("-- Source:")[2]):  # the first source in the line has priority
            if word in _READ[name]:
                meanings[name] = meanings[word] | meanings[name]
        con.execute(comments("view", name, first_comment(sql), con.table(name).columns, meanings[name]))


def comments(kind: str, name: str, meaning: str, columns: Iterable[str], meanings: dict[str, str]) -> str:
    """Statements that store the meaning of a table or view and its columns."""
    of_columns = [
        f"comment on column {name}.{sql_identifier(column)} is {sql_literal(meanings[column])}" for column in columns
    ]
    return "; ".join([f"comment on {kind} {name} is {sql_literal(meaning)}", *of_columns])


def _own_meanings(sql: str) -> dict[str, str]:
    """Meanings of columns in a view's file."""
    meanings: dict[str, str] = {}
    name = ""
    for line in sql[sql.rfind("\nselect") :].partition("\nfrom ")[0].splitlines():
        if line.strip().startswith("--"):
            if name:
                meanings[name] += f" {line.strip().removeprefix('--').strip()}"
        elif match := _COLUMN.search(line):
            name = match[1]
            meanings[match[1]] = match[2]
        else:
            name = ""
    return meanings
