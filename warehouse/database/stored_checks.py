"""Checks of facts, run as these are loaded: of each evaluation whose rows, dimensions or definitions have changed."""

from collections.abc import Mapping
from typing import Any

import duckdb
import pyarrow as pa

from failmodes.warehouse.database.checks import check_hash, checks_of_facts, uniqueness_check
from failmodes.warehouse.database.connection import fetch_first
from failmodes.warehouse.database.own_tables import COMPUTED
from failmodes.warehouse.database.stored_measures import read_shard_hashes
from failmodes.warehouse.database.tables import sql_literal, upsert
from failmodes.warehouse.hashing import identity_of
from failmodes.warehouse.measures.evaluation import MeasuredEvaluation
from failmodes.warehouse.schema import FACTS
from failmodes.warehouse.stages import counted


def update_checks(con: duckdb.DuckDBPyConnection, measured: Mapping[str, MeasuredEvaluation]) -> None:
    """Run the checks of facts on every evaluation for which what they found is not there, or is out of date.

    Args:
        con: a connection that may write; its views are installed.
        measured: evaluations that were measured as they were loaded whole, which has shown whether rows repeat.
    """
    inputs = _inputs(con)
    current = {
        (name, evaluation_id): found
        for name, evaluation_id, *found in con.execute(
            "select name, evaluation_id, definition, input_hash from computed where breaking_rows is not null"
        ).fetchall()
    }
    rows: list[dict[str, Any]] = []
    unique = {uniqueness_check(table): table.name for table in FACTS}
    for name, sql in counted("checking", list(checks_of_facts(con).items())):
        definition = check_hash(sql)
        for evaluation_id, made_from in inputs.items():
            if current.get((name, evaluation_id)) == [definition, made_from]:
                continue
            known = name in unique and evaluation_id in measured
            is_unique = known and unique[name] not in measured[evaluation_id].repeating
            rows.append({
                "name": name,
                "evaluation_id": evaluation_id,
                "definition": definition,
                "input_hash": made_from,
                "breaking_rows": 0 if is_unique else _count_breaking(con, sql, evaluation_id),
            })  # fmt: skip
    upsert(con, COMPUTED, pa.Table.from_pylist(rows, schema=COMPUTED.arrow()))


def _inputs(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Hash of what is checked of each evaluation that has shards: these, and its rows of the dimensions."""
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
    return {name: identity_of([found, dimensions.get(name)]) for name, found in read_shard_hashes(con).items()}


def _count_breaking(con: duckdb.DuckDBPyConnection, sql: str, evaluation_id: str) -> int:
    """Rows of one evaluation that break a check, which reads the facts of no other: cost and memory are its own."""
    (database,) = fetch_first(con, "select current_database()") or ("",)
    for table in FACTS:  # a definition of a view takes no bound value; an identity is a name of a folder
        own = f"evaluation_id = {sql_literal(evaluation_id)}"
        con.execute(f'create temp view {table.name} as from "{database}".main.{table.name} where {own}')
    try:
        row = fetch_first(con, f"select count(*) from ({sql}\n) where evaluation_id = ?", [evaluation_id])
    finally:
        for table in FACTS:
            con.execute(f"drop view temp.{table.name}")
    assert row is not None, "an aggregate without groups has one row"
    return int(row[0])
