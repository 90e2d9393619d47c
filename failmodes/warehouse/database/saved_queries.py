"""The saved queries of `sql/queries` and their parameters.

Parameters are DuckDB's variables, `getvariable('model')`, null by default: the same file runs in DuckDB's own shell,
after `set variable model = ['ResNet-18']` or without it.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from failmodes.runtime.errors import QueryError, did_you_mean, shown
from failmodes.sql import QUERIES, first_comment, read_sql

if TYPE_CHECKING:
    import duckdb

# Parameters that are lists of names: noun, table, and query of the known names
_NAMES = {
    "model": ("model", "models", "select distinct model_label from models order by 1"),
    "corruption": (
        "corruption",
        "shards",
        "select distinct corruption from shards where table_name = 'prediction_facts' and corruption <> 'none' "
        "order by 1",
    ),
}
ROWS = "rows"  # the parameter for the maximum number of rows

_PARAMETER = re.compile(r"^-- Parameter (\w+): (.+)$", re.MULTILINE)


class SavedQuery(NamedTuple):
    """One saved query: its name, purpose, SQL, and the meaning of each optional parameter."""

    name: str
    purpose: str
    sql: str
    parameters: dict[str, str]


def saved_queries() -> dict[str, SavedQuery]:
    """Every saved query by name, in alphabetical order."""
    return {
        name: SavedQuery(name, first_comment(sql), sql, dict(_PARAMETER.findall(sql)))
        for name, sql in read_sql(QUERIES).items()
    }


def saved_query(name: str) -> SavedQuery:
    """The saved query `name`.

    Raises:
        QueryError: it does not exist; the message names the nearest, or all.
    """
    known = saved_queries()
    if name not in known:
        raise QueryError(f"unknown saved query @{name}: {did_you_mean(name, known)}")
    return known[name]


def relations_of_names(parameters: Mapping[str, object]) -> list[str]:
    """Tables that `give_parameters` reads."""
    return [table for name, (_, table, _) in _NAMES.items() if parameters.get(name) is not None]


def give_parameters(con: "duckdb.DuckDBPyConnection", query: SavedQuery, parameters: Mapping[str, object]) -> None:
    """Set the variables of a saved query; parameters that are None are skipped.

    Args:
        con: the connection for the query.
        query: the query.
        parameters: values by name; a name or a list of names for `model` and `corruption`.

    Raises:
        QueryError: the query has no such parameter, or the warehouse no such model or corruption.
    """
    for name, value in parameters.items():
        if name not in query.parameters:
            hint = did_you_mean(name, query.parameters)
            raise QueryError(f"@{query.name} has no parameter {shown(name)}: {hint}")
        if value is None:
            continue
        if name in _NAMES:
            value = value if isinstance(value, list | tuple | set | frozenset) else [value]
            value = [_known_name(con, name, item) for item in value]
        elif name == ROWS and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise QueryError(f"{ROWS} is {shown(value)}: expected a whole number from 1")
        con.execute(f"set variable {name} = $value", {"value": value})


def _known_name(con: "duckdb.DuckDBPyConnection", parameter: str, name: object) -> str:
    """Check that the warehouse has a name."""
    noun, _, query = _NAMES[parameter]
    known = [label for (label,) in con.execute(query).fetchall()]
    if name in known:
        return str(name)
    raise QueryError(f"no {noun} {shown(name)} here: {did_you_mean(str(name), known)}")
