"""Warehouses that a stranger changed with plain DuckDB, so that whoever reads them tells what a canary file holds."""

import shutil
import struct
from pathlib import Path

import duckdb
from warehouse_files import change_file

from failmodes.warehouse.database_schema import TABLES

HEADER_BYTES = 4096
CANARY = "canary-5c1f"  # the text of a file that no command may show
READ = "(select content from read_text('{canary}') limit 1)"


def table_as_view(name: str) -> str:
    """A table of the contract replaced by a view that puts the canary into its first text."""
    text = next(column.name for column in TABLES[name].columns if column.type == "string")
    return (
        f"alter table {name} rename to {name}_stored; "
        f"create view {name} as select * replace ({READ} as {text}) from {name}_stored"
    )


def view_as_theirs(name: str) -> str:
    """A view of ours replaced by one that tells the canary."""
    return f"create or replace view {name} as select {READ} as model_label, {READ} as evaluation_id, 1 as accuracy"


# What is refused in one line: the file is not as this program writes it.
REFUSED = {
    **{f"{name} is a view": table_as_view(name) for name in ("models", "warehouse_info", "cell_metrics")},
    "a generated column": "alter table models rename to stored; create table models as select * exclude (model_label) "
    "from stored; alter table models rename to other; "
    "create table models (model_id varchar, model_label varchar generated always as ('x' || model_id))",
    "a missing table": "drop table shards",
    "another type": "alter table prediction_facts alter confidence type varchar",
    "a struct for a text": "alter table models alter model_label type struct(a varchar) using {{'a': model_label}}",
    "a null version": "update warehouse_info set schema_version = null",
    "a version with controls": "update warehouse_info set schema_version = chr(27) || ']0;x' || chr(10) || '9'",
    "a long version": "update warehouse_info set schema_version = repeat('9', 30000000)",
    "nulls where none may be": "update models set model_label = null; update datasets set dataset_label = null",
}

# What does no harm, and is not refused: everything is answered from what is ours.
ACCEPTED = {
    **{f"their {name}": view_as_theirs(name) for name in ("evaluation_labels", "accuracy_by_severity")},
    "their macros": "; ".join(
        f"create macro {name} as {READ}"
        for name in ("count(x)", "max(x)", "avg(x)", "sum(x)", "concat_ws(a, b)", "starts_with(a, b)", "round(x)")
    ),
    "their table macros": "create macro duckdb_tables() as table select {canary_text} as table_name; "
    "create macro pragma_table_info(x) as table select {canary_text} as name",
    "their schemas": "create schema other; create table other.prediction_facts as select 1 as a; "
    "create view other.models as select " + READ + " as model_label; create schema temporary",
    "their tables": """create table "a""; drop table models; --" as select 1 as "b""c"; create sequence s""",
    "a view without end": "create view endless as select * from range(1000000000) a, range(1000000000) b",
    "enums for texts": "create type labels as enum (select distinct model_label from models); "
    "alter table models alter model_label type labels",
    "a column more": "alter table models add column note varchar; update models set note = {canary_text}",
    "names with controls": "update models set model_label = chr(27) || '[2J' || chr(27) || ']0;x' || chr(7) || "
    "chr(10) || chr(0) || chr(8238) || 'net'",
}

# What would run as soon as somebody writes into the file; `newer` storage alone can hold it.
RUN_BY_WRITERS = {
    "triggers": "; ".join(
        f"create trigger {event}_{name} after {event} on {name} update models set model_label = {{canary_text}}"
        for name in ("shapes", "shards", "warehouse_info")
        for event in ("insert", "delete")
    ),
    "a trigger without end": "create table sink (a bigint); create trigger t after delete on shapes insert into sink "
    "from range(1000000000000); create trigger u after delete on warehouse_info insert into sink "
    "from range(1000000000000)",
}
HELD_BY_TABLES = {
    "macros": "; ".join(f"create macro {name} as {READ}" for name in ("count(x)", "round(x)", "now()", "len(x)")),
    "a check": "create table kept as from shapes; drop table shapes; create table shapes as from kept; "
    "alter table shapes alter corruption set not null",
    "an index of an expression": "create index u on shards ((evaluation_id || corruption || severity))",
    "a type and a sequence": "create type labels as enum (select distinct model_label from models); create sequence s; "
    "alter table models alter model_label type labels",
    "a schema": "create schema other; create table other.models as select 1 as a",
    "a generated column of theirs": "create table theirs (a bigint, b bigint generated always as (a + 1))",
    "a table called as a view of ours": "drop view outcomes; create table outcomes as select 1 as a",
    "a column more": "alter table models add column theirs varchar",
}


def newer_copy(sound: Path, path: Path, statements: str) -> Path:
    """A changed copy in the newest storage, which alone holds triggers, whose header calls it a file of DuckDB 1.2."""
    with duckdb.connect() as con:
        con.execute(f"attach '{sound}' as sound (read_only); attach '{path}' as newer (storage_version 'latest')")
        con.execute("copy from database sound to newer; use newer")
        con.execute(statements.format(canary_text=f"'{CANARY}'"))
    content = bytearray(path.read_bytes())
    content[12:20] = (65).to_bytes(8, "little")
    content[:8] = _checksum(bytes(content[8:HEADER_BYTES])).to_bytes(8, "little")
    path.write_bytes(content)
    return path


def _checksum(block: bytes) -> int:
    """DuckDB's checksum of a block of whole words."""
    found = 5381
    for (word,) in struct.iter_unpack("<Q", block):
        found ^= word * 0xBF58476D1CE4E5B9 % 2**64
    return found


def malformed_copy(sound: Path, folder: Path, statements: str) -> Path:
    """A changed copy of a sound warehouse in `folder`, beside the canary file."""
    canary = folder / "canary.txt"
    canary.write_text(CANARY)
    path = Path(shutil.copy(sound, folder / "warehouse.duckdb"))
    change_file(path, statements.format(canary=canary, canary_text=f"'{CANARY}'"))
    return path
