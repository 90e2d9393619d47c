"""Checks of facts, run as these are loaded: of each evaluation whose rows, dimensions or definitions have changed."""

from collections.abc import Mapping
from typing import Any

import duckdb
import pyarrow as pa

from failmodes.sql import sql_literal
from failmodes.warehouse.database.checks import check_hash, checks_of_facts, uniqueness_check
from failmodes.warehouse.database.connection import fetch_first
from failmodes.warehouse.database.own_tables import COMPUTED
from failmodes.warehouse.database.stored_metrics import ComputedEvaluation, read_shard_hashes
from failmodes.warehouse.database.tables import upsert
from failmodes.warehouse.hashing import identity_of
from failmodes.warehouse.progress import counted
from failmodes.warehouse.schema import CLEAN, FACTS

_UNIQUENESS = {uniqueness_check(table): table.name for table in FACTS}
_OF_IMAGES = {"images_resolve", "labels_agree_with_images"}  # of predictions these read image_id and label alone


def update_checks(con: duckdb.DuckDBPyConnection, measured: Mapping[str, ComputedEvaluation]) -> None:
    """Run the checks of facts on every evaluation for which what they found is not there, or is out of date.

    Args:
        con: a connection that may write; its views are installed.
        measured: evaluations whose tables were computed by this load, which has shown whether rows repeat, and
            whether all cells hold the same images, of which those of one are then checked.
    """
    checks = {name: (sql, check_hash(sql)) for name, sql in checks_of_facts(con).items()}
    current = {
        (name, evaluation_id): found
        for name, evaluation_id, *found in con.execute(
            "select name, evaluation_id, definition, input_hash from computed where breaking_rows is not null"
        ).fetchall()
    }
    rows: list[dict[str, Any]] = []
    for evaluation_id, made_from in counted("checking", list(_inputs(con).items())):
        due = {
            name: sql
            for name, (sql, definition) in checks.items()
            if current.get((name, evaluation_id)) != [definition, made_from]
        }
        rows += [
            {
                "name": name,
                "evaluation_id": evaluation_id,
                "definition": checks[name][1],
                "input_hash": made_from,
                "breaking_rows": count,
            }
            for name, count in _count_breaking(con, due, evaluation_id, measured.get(evaluation_id)).items()
        ]
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


def _count_breaking(
    con: duckdb.DuckDBPyConnection, checks: Mapping[str, str], evaluation_id: str, measured: ComputedEvaluation | None
) -> dict[str, int]:
    """Rows of one evaluation that break each check, which reads the facts of no other: cost and memory are its own."""
    found: dict[str, int] = {}
    if measured is not None:
        found = {name: 0 for name, table in _UNIQUENESS.items() if table not in measured.repeating and name in checks}
        if measured.has_same_images:
            clean = {name: sql for name, sql in checks.items() if name in _OF_IMAGES}
            counts = _count_rows(con, clean, evaluation_id, f"corruption = {sql_literal(CLEAN)}")
            found |= {name: count for name, count in counts.items() if not count}
    left = {name: sql for name, sql in checks.items() if name not in found}
    return found | _count_rows(con, left, evaluation_id)


def _count_rows(
    con: duckdb.DuckDBPyConnection, checks: Mapping[str, str], evaluation_id: str, condition: str = "true"
) -> dict[str, int]:
    """Rows that each check gives of the facts of one evaluation for which `condition` holds."""
    if not checks:
        return {}
    (database,) = fetch_first(con, "select current_database()") or ("",)
    own = f"evaluation_id = {sql_literal(evaluation_id)} and {condition}"
    for table in FACTS:  # a definition of a view takes no bound value; an identity is a name of a folder
        con.execute(f'create temp view {table.name} as from "{database}".main.{table.name} where {own}')
    try:
        counts = {
            name: con.execute(f"select count(*) from ({sql}\n) where evaluation_id = ?", [evaluation_id]).fetchall()
            for name, sql in checks.items()
        }
    finally:
        for table in FACTS:
            con.execute(f"drop view temp.{table.name}")
    return {name: int(count) for name, ((count,),) in counts.items()}
