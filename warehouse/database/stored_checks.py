"""Checks of facts, run as these are loaded: of each evaluation whose rows, dimensions or definitions have changed."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

from failmodes.warehouse.database.checks import check_hash, checks_of_facts
from failmodes.warehouse.database.connection import fetch_first
from failmodes.warehouse.database.own_tables import COMPUTED
from failmodes.warehouse.database.tables import upsert
from failmodes.warehouse.hashing import identity_of
from failmodes.warehouse.schema import FACTS


def update_checks(con: duckdb.DuckDBPyConnection) -> None:
    """Run the checks of facts on every evaluation for which what they found is not there, or is out of date.

    Args:
        con: a connection that may write; its views are installed.
    """
    inputs = _inputs(con)
    current = {
        (name, evaluation_id): found
        for name, evaluation_id, *found in con.execute(
            "select name, evaluation_id, definition, input_hash from computed where breaking_rows is not null"
        ).fetchall()
    }
    rows: list[dict[str, Any]] = []
    for name, sql in checks_of_facts(con).items():
        definition = check_hash(sql)
        due = [e for e, made_from in inputs.items() if current.get((name, e)) != [definition, made_from]]
        if not due:
            continue
        with _only(con, due if len(due) < len(inputs) else None):
            found = dict(
                con.execute(
                    f"select evaluation_id, count(*) from ({sql}\n) where evaluation_id = any(?) group by all", [due]
                ).fetchall()
            )
        rows += [
            {
                "name": name,
                "evaluation_id": evaluation_id,
                "definition": definition,
                "input_hash": inputs[evaluation_id],
                "breaking_rows": found.get(evaluation_id, 0),
            }
            for evaluation_id in due
        ]
    upsert(con, COMPUTED, pa.Table.from_pylist(rows, schema=COMPUTED.arrow()))


def _inputs(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Hash of what is checked of each evaluation that has shards: these, and its rows of the dimensions."""
    shards: dict[str, list[Any]] = defaultdict(list)
    for evaluation_id, *shard in con.execute(
        "select evaluation_id, table_name, corruption, severity::varchar, content_hash from shards order by all"
    ).fetchall():
        shards[evaluation_id].append(shard)
    dimensions = {
        evaluation_id: hashes
        for evaluation_id, *hashes in con.execute(
            "select evaluations.evaluation_id, own.content_hash, images.content_hash, datasets.content_hash "
            "from evaluations "
            "left join loaded_dimensions as own "
            "on own.table_name = 'evaluations' and own.file_key = evaluations.evaluation_id "
            "left join loaded_dimensions as images "
            "on images.table_name = 'images' and images.file_key = evaluations.dataset_id "
            "left join loaded_dimensions as datasets "
            "on datasets.table_name = 'datasets' and datasets.file_key = evaluations.dataset_id"
        ).fetchall()
    }
    return {name: identity_of([found, dimensions.get(name)]) for name, found in shards.items()}


@contextmanager
def _only(con: duckdb.DuckDBPyConnection, evaluations: list[str] | None) -> Iterator[None]:
    """Within it, tables of facts hold these evaluations alone, so that a check costs what they cost; None: all."""
    if evaluations is None:
        yield
        return
    (database,) = fetch_first(con, "select current_database()") or ("",)
    listed = ", ".join(f"'{evaluation_id}'" for evaluation_id in evaluations)
    for table in FACTS:
        con.execute(
            f'create temp view {table.name} as from "{database}".main.{table.name} where evaluation_id in ({listed})'
        )
    try:
        yield
    finally:
        for table in FACTS:
            con.execute(f"drop view temp.{table.name}")
