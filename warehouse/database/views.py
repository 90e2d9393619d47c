"""The views of the warehouse: every file of `sql/staging` and `sql/marts`, installed inside the database.

They live in the file, so that a bare DuckDB sees them; they are replaced whenever the SQL has changed.
"""

from graphlib import TopologicalSorter

import duckdb

from failmodes.sql import MARTS, STAGING, first_comment, read_sql
from failmodes.warehouse.hashing import identity_of


def view_definitions() -> dict[str, str]:
    """SQL of every view by name; a name stands in one folder only."""
    staging, marts = read_sql(STAGING), read_sql(MARTS)
    assert not staging.keys() & marts.keys(), "a view stands in both folders"
    return staging | marts


def views_fingerprint() -> str:
    """Hash of all view definitions, kept in the warehouse to see when they are out of date."""
    return identity_of(view_definitions())


def install_views(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Create or replace every view, each after those it reads, with its first comment as COMMENT; returns the names."""
    texts = view_definitions()
    order = topological_order(con, texts)
    for name in order:
        con.execute(f"create or replace view {name} as {texts[name]}")
        con.execute(f"comment on view {name} is {sql_literal(first_comment(texts[name]))}")
    return order


def topological_order(con: duckdb.DuckDBPyConnection, texts: dict[str, str]) -> list[str]:
    """Names of `texts` so that each comes after those it selects from."""
    graph = {name: con.get_table_names(sql) & texts.keys() for name, sql in texts.items()}
    return list(TopologicalSorter(graph).static_order())


def sql_literal(text: str) -> str:
    """A SQL string literal; for COMMENT, which takes no bound values."""
    return "'" + text.replace("'", "''") + "'"
