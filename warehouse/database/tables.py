"""Tables and views of the database: creating, documenting and filling the tables of the contract and its own.

The views are every file of `sql/staging` and `sql/marts`. They are stored in the file, so that plain DuckDB sees them,
and are replaced whenever the SQL has changed.
"""

import os
from graphlib import TopologicalSorter
from typing import Any

import duckdb
import pyarrow as pa

from failmodes.sql import MARTS, STAGING, first_comment, read_sql
from failmodes.warehouse.database.connection import fetch_first
from failmodes.warehouse.hashing import identity_of
from failmodes.warehouse.provenance import library_versions, now_utc
from failmodes.warehouse.schema import (
    _CELL,
    DIMENSIONS,
    FACTS,
    PARTITIONS,
    SCHEMA_VERSION,
    SEVERITY,
    Column,
    Table,
    double,
    int32,
    int64,
    moment,
    text,
)

WAREHOUSE_INFO = Table.of(
    "warehouse_info",
    "one row: what this file is",
    (),
    Column("schema_version", text, "version of the tables; another major version asks for a rebuild"),
    Column("failmodes_version", text, "failmodes that wrote the file last"),
    Column("created_at", moment, "when the file was first made, UTC"),
    Column("updated_at", moment, "when its content last changed, UTC"),
    Column("build_id", text, "another value for every file that took the place of the former"),
    Column("views_fingerprint", text, "hash of the SQL of its views"),
)

LOADED_DIMENSIONS = Table.of(
    "loaded_dimensions",
    "one row per file of a dimension that was loaded",
    ("table_name", "file_key"),
    Column("table_name", text, "dimension"),
    Column("file_key", text, "name of the file in the record, without suffix"),
    Column("content_hash", text, "hash of its rows, which the file's footer carries"),
)

_CURVE = (Column("evaluation_id", text, "evaluation"), Column("corruption", text, "corruption name"))
_INPUT_FINGERPRINT = Column("input_fingerprint", text, "hash of the shards and settings that these rows were made from")

SHAPES = Table.of(
    "shapes",
    "one row per evaluation and corruption: how accuracy falls from clean to the last severity",
    ("evaluation_id", "corruption"),
    *_CURVE,
    Column("shape", text, "flat, non_monotone, late_collapse, early_drop or near_linear"),
    Column("stability", double, "share of resamples that give the same shape, 0-1"),
    Column("total_drop", double, "clean minus last accuracy, 0-1"),
    Column("total_drop_low", double, "lower end of its interval"),
    Column("total_drop_high", double, "upper end of its interval"),
    Column("bow", double, "mean of (accuracy - chord) / total drop over the inner severities, weighted by the span "
           "each stands for; positive falls late; null where the curve is flat", True),
    Column("bow_low", double, "lower end of its interval", True),
    Column("bow_high", double, "upper end of its interval", True),
    Column("largest_step", double, "accuracy lost in the largest single step (where steps are shorter, within one "
           "severity), 0-1"),
    Column("largest_step_share", double, "its share of the total drop", True),
    Column("largest_step_from", SEVERITY, "severity where the largest step begins"),
    Column("largest_step_to", SEVERITY, "severity where the largest step ends"),
    Column("share_flat", double, "share of resamples classed flat, 0-1"),
    Column("share_non_monotone", double, "share of resamples classed non_monotone, 0-1"),
    Column("share_late_collapse", double, "share of resamples classed late_collapse, 0-1"),
    Column("share_early_drop", double, "share of resamples classed early_drop, 0-1"),
    Column("share_near_linear", double, "share of resamples classed near_linear, 0-1"),
    Column("image_count", int32, "images resampled"),
    Column("resamples", int32, "bootstrap resamples"),
    Column("bootstrap_seed", int64, "seed of the resampling"),
    Column("interval_level", double, "level of all intervals, such as 0.95"),
    Column("flat_below", double, "setting: a total drop below this is flat, 0-1"),
    Column("bow_threshold", double, "setting: bow at which a curve counts as late or early"),
    _INPUT_FINGERPRINT,
)  # fmt: skip

SHAPE_SWEEP = Table.of(
    "shape_sweep",
    "one row per evaluation, corruption and pair of thresholds: how the shape depends on the settings",
    ("evaluation_id", "corruption", "flat_below", "bow_threshold"),
    *_CURVE,
    Column("flat_below", double, "a total drop below this is flat, 0-1"),
    Column("bow_threshold", double, "bow at which a curve counts as late or early"),
    Column("shape", text, "the shape under these thresholds"),
    _INPUT_FINGERPRINT,
)

STEPS = Table.of(
    "steps",
    "one row per evaluation, corruption and adjacent pair of severities",
    ("evaluation_id", "corruption", "severity_from"),
    *_CURVE,
    Column("severity_from", SEVERITY, "severity where the step begins"),
    Column("severity_to", SEVERITY, "severity where the step ends"),
    Column("accuracy_change", double, "accuracy after minus before, -1 to 1"),
    Column("accuracy_change_low", double, "lower end of its paired interval"),
    Column("accuracy_change_high", double, "upper end of its paired interval"),
    _INPUT_FINGERPRINT,
)

DERIVED = (SHAPES, STEPS, SHAPE_SWEEP)

SHARDS = Table.of(
    "shards",
    "one row per stored fact shard",
    ("table_name", *PARTITIONS),
    *_CELL,
    Column("table_name", text, "predictions or attention"),
    Column("row_count", int64, "rows in the shard"),
    Column("content_hash", text, "hash of the rows, which the file's footer carries"),
    Column("path", text, "path within the output folder"),
    Column("created_at", moment, "when it was made, UTC"),
    Column("elapsed_s", double, "seconds from first image to last row", True),
    Column("images_per_s", double, "images a second, everything included", True),
    Column("device", text, "device of the forward pass", True),
    Column("batch_size", int32, "images per forward pass", True),
    Column("identity_error", double, "largest |map sum + bias - logit| relative to the logits' scale", True),
    Column("versions", text, "library versions, as JSON", True),
    Column(
        "changed_predictions",
        double,
        "share of clean predictions that float32 gives differently, 0-1; measured "
        "on up to 512 images of the clean cell at a lower precision",
        True,
    ),
)

ALL_TABLES = (*FACTS, *DIMENSIONS, SHARDS, *DERIVED, LOADED_DIMENSIONS, WAREHOUSE_INFO)


def create_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Create every table that is missing and every nullable column that an older minor version lacks; comment all.

    Tables have no primary key: it would slow down loads.
    """
    for table in ALL_TABLES:
        con.register("empty_rows", table.arrow().empty_table())
        con.execute(f"create table if not exists {table.name} as select * from empty_rows")
        present = {row[0] for row in con.execute(f"describe {table.name}").fetchall()}
        for name, kind, *_ in con.execute("describe empty_rows").fetchall():
            if name not in present:
                con.execute(f"alter table {table.name} add column {name} {kind}")
        con.unregister("empty_rows")
        con.execute(f"comment on table {table.name} is {sql_literal(table.grain)}")
        for column in table.columns:
            con.execute(f"comment on column {table.name}.{column.name} is {sql_literal(column.meaning)}")


def insert_rows(con: duckdb.DuckDBPyConnection, table: Table, rows: pa.Table | pa.RecordBatchReader) -> None:
    """Append Arrow rows to `table` by column name; a reader is drained as it goes."""
    con.register("incoming_rows", rows)
    con.execute(f"insert into {table.name} by name select * from incoming_rows")
    con.unregister("incoming_rows")


def delete_matching(con: duckdb.DuckDBPyConnection, table: Table, rows: pa.Table, columns: tuple[str, ...]) -> None:
    """Delete the rows of `table` that agree with one of the Arrow `rows` in all of `columns`."""
    con.register("incoming_rows", rows)
    same = " and ".join(f"{table.name}.{name} = incoming_rows.{name}" for name in columns)
    con.execute(f"delete from {table.name} using incoming_rows where {same}")
    con.unregister("incoming_rows")


def upsert(con: duckdb.DuckDBPyConnection, table: Table, rows: pa.Table, replaced_by: tuple[str, ...] = ()) -> None:
    """Put Arrow rows into `table`: rows with the same key replace those that are there; of several, the last counts.

    Args:
        con: a connection that may write.
        table: a table with a key.
        rows: rows with all columns of the table.
        replaced_by: columns that decide which former rows are replaced; by default the key of the table.
    """
    delete_matching(con, table, rows, replaced_by or table.key)
    con.register("incoming_rows", rows.append_column("position", pa.array(range(rows.num_rows), pa.int64())))
    con.execute(
        f"insert into {table.name} by name select * exclude (position) from incoming_rows "
        f"qualify row_number() over (partition by {', '.join(table.key)} order by position desc) = 1 order by position"
    )
    con.unregister("incoming_rows")


def write_info(con: duckdb.DuckDBPyConnection) -> None:
    """Install the views and write the row of `warehouse_info`."""
    install_views(con)
    former = fetch_first(con, "select created_at from warehouse_info")
    now = now_utc()
    row: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "failmodes_version": library_versions(("failmodes",)).get("failmodes", "unknown"),
        "created_at": former[0] if former else now,
        "updated_at": now,
        "build_id": os.urandom(8).hex(),
        "views_fingerprint": views_fingerprint(),
    }
    con.execute("delete from warehouse_info")
    insert_rows(con, WAREHOUSE_INFO, pa.Table.from_pylist([row], schema=WAREHOUSE_INFO.arrow()))


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
