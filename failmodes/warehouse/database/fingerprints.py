"""Of what input the derived tables were made, which hold what the analysis made from the warehouse.

A fingerprint has two halves, `<shards>-<settings>`: with the settings both are compared, and a change of shards shows
without them.
"""

from collections.abc import Mapping
from typing import Any

import duckdb

from failmodes.warehouse.database.own_tables import DERIVED
from failmodes.warehouse.hashing import identity_of
from failmodes.warehouse.metrics.registry import definitions_hash
from failmodes.warehouse.metrics.tables import COMPUTED_TABLES


def input_fingerprint(con: duckdb.DuckDBPyConnection, settings: Mapping[str, Any]) -> str:
    """Fingerprint of the loaded predictions and of `settings` (JSON-like), for `input_fingerprint` columns."""
    return f"{shards_fingerprint(con)}-{identity_of(dict(settings))}"


def shards_fingerprint(con: duckdb.DuckDBPyConnection) -> str:
    """Hash of the keys and content hashes of all loaded shards of predictions."""
    rows = con.execute(
        "select evaluation_id, corruption, severity::varchar, content_hash from shards "
        "where table_name = 'prediction_facts' order by all"
    ).fetchall()
    return identity_of(rows)


def stale_tables(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Names of tables that hold what was made from other shards than those loaded now, or by other definitions."""
    found = con.execute(
        "select distinct name from computed where list_contains(?, name) and definition <> ?",
        [[table.name for table in COMPUTED_TABLES], definitions_hash()],
    ).fetchall()
    current = f"{shards_fingerprint(con)}-"
    query = "select 1 from {} where not starts_with(input_fingerprint, ?) limit 1"
    computed = sorted(name for (name,) in found)
    return computed + [t.name for t in DERIVED if con.execute(query.format(t.name), [current]).fetchall()]
