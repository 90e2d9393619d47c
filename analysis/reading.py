"""Small reads from the warehouse."""

from collections.abc import Sequence
from typing import Any

import duckdb


def first_row(con: duckdb.DuckDBPyConnection, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
    """First row of a query with bound values, or None; nothing is left unread, so the connection stays free."""
    rows = con.execute(sql, list(values)).fetchall()
    return rows[0] if rows else None
