"""Copy a warehouse to a compact file that is only read: all rows or those of some models, without some columns."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import duckdb

from failmodes.sql import sql_literal
from failmodes.warehouse.database.checks import update_checks
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.export import SMALL_BLOCK_BYTES
from failmodes.warehouse.database.removal import IDENTITIES, delete_evaluations
from failmodes.warehouse.database.tables import write_info
from failmodes.warehouse.database.updates import BLOCK_BYTES, Derivation, staged_database
from failmodes.warehouse.database_schema import TABLES
from failmodes.warehouse.metrics.metric import Metric
from failmodes.warehouse.schema import ATTENTION, EVALUATIONS, EXEMPLARS, PREDICTION_FACTS, SHIFTS, THUMBNAILS, Table

# Columns by table that become null; a table without columns has no rows
PARTS: dict[str, Mapping[str, Collection[str]]] = {
    "attention": {ATTENTION.name: (), EXEMPLARS.name: ("map_f16", "map_height", "map_width")},
    "logits": {PREDICTION_FACTS.name: ("logits", "logit_classes", "scaled_log_sum_exp")},
    "thumbnails": {THUMBNAILS.name: ()},
}
_FORGET_ATTENTION = """
delete from shards where table_name = 'attention';
update evaluations set
    attention_note = if(attention_method = 'none', attention_note, 'left out of this file'),
    attention_method = 'none',
    attention_layer = null
"""
LARGE_ROWS = 100_000  # of a fact table, which fill the larger blocks; below, most blocks would be empty


def copy_warehouse(
    warehouse: Path,
    target: Path,
    *,
    removed: Sequence[str] = (),
    without: Collection[str] = (),
    derivation: Derivation,
    metrics: Sequence[Metric] = (),
) -> None:
    """Write a compact copy of a warehouse, completely or not at all.

    Args:
        warehouse: the DuckDB file.
        target: the new file.
        removed: evaluations to leave out; what is derived from several models is derived again without them.
        without: keys of PARTS to leave out. Metrics that were computed from them are kept.
        derivation: computes derived tables.
        metrics: the user's own.

    Raises:
        WarehouseError: the warehouse is damaged, of another version, changed, or in use by a writer.
        StorageError: the file cannot be written.
    """
    left_out = _left_out(without)

    def narrowed(table: Table, rows: str) -> str | None:
        columns = left_out.get(table.name)
        if columns is not None and not columns:
            return None
        conditions = [
            f"coalesce({column} not in ({', '.join(map(sql_literal, removed))}), true)"
            for column in sorted(IDENTITIES.intersection(column.name for column in table.columns))
            if removed and table not in (EVALUATIONS, SHIFTS)  # `delete_evaluations` finds by them what else goes
        ]
        exclude = f" exclude ({', '.join(columns)})" if columns else ""
        where = f" where {' and '.join(conditions)}" if conditions else ""
        return f"select *{exclude} from ({rows}){where}"

    with open_warehouse(warehouse, [PREDICTION_FACTS.name]) as con:
        (row_count,) = con.execute("select count(*) from prediction_facts").fetchall()[0]
    blocks = BLOCK_BYTES if row_count > LARGE_ROWS else SMALL_BLOCK_BYTES
    with staged_database(target, source=warehouse, narrowed=narrowed, block_bytes=blocks) as con:
        write_info(con)
        if "attention" in without:
            con.execute(_FORGET_ATTENTION)
        if removed:
            delete_evaluations(con, removed)
            derivation.store(con, metrics)
        if removed or without:
            update_checks(con)


def table_sizes(con: duckdb.DuckDBPyConnection, without: Collection[str] = ()) -> dict[str, int]:
    """Bytes of the blocks of each table of the file attached as `warehouse`, largest first.

    Args:
        con: a connection to the warehouse.
        without: keys of PARTS whose rows and columns are not counted.
    """
    left_out = _left_out(without)
    (block_bytes,) = con.execute(
        "select block_size from pragma_database_size() where database_name = 'warehouse'"
    ).fetchall()[0]
    counted = (
        "select count(distinct block_id) from pragma_storage_info('warehouse.main.{}') "
        "where persistent and column_name <> all($1)"
    )
    sizes = {
        name: con.execute(counted.format(name), [list(left_out.get(name, ()))]).fetchall()[0][0] * block_bytes
        for name in TABLES
        if left_out.get(name, True)
    }
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))


def _left_out(without: Collection[str]) -> dict[str, Collection[str]]:
    return {name: columns for part in without for name, columns in PARTS[part].items()}
