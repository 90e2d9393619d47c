"""The views of the warehouse: every file of `sql/staging` and `sql/marts`, installed inside the database.

They are stored in the file, so that plain DuckDB sees them, and are replaced whenever the SQL has changed.
"""

from graphlib import TopologicalSorter

import duckdb

from failmodes.sql import MARTS, STAGING, first_comment, read_sql
from failmodes.warehouse.hashing import identity_of


def view_definitions() -> dict[str, str]:
    """SQL of every view by name; no name is in both folders."""
    staging, marts = read_sql(STAGING), read_sql(MARTS)
    assert not staging.keys() & marts.keys(), "a view is in both folders"
    return staging | marts


def views_fingerprint() -> str:
    """Hash of all view definitions, kept in the warehouse to see when they are out of date."""
    return identity_of(view_definitions())


def install_views(con: duckdb.DuckDBPyConnection) -> None:
    """Create or replace every view, each after those it reads, with its first comment as COMMENT."""
    definitions = view_definitions()
    for name in topological_order(con, definitions):
        con.execute(f"create or replace view {name} as {definitions[name]}")
        con.execute(f"comment on view {name} is {sql_literal(first_comment(definitions[name]))}")


def topological_order(con: duckdb.DuckDBPyConnection, definitions: dict[str, str]) -> list[str]:
    """Names of the views in such an order that each comes after those it selects from."""
    graph = {name: con.get_table_names(sql) & definitions.keys() for name, sql in definitions.items()}
    return list(TopologicalSorter(graph).static_order())


def sql_literal(text: str) -> str:
    """A SQL string literal; for COMMENT, which takes no bound values."""
    return "'" + text.replace("'", "''") + "'"
