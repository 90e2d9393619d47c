"""Rows of derived tables: what they were derived from, and how they are replaced."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from failmodes.runtime.hashing import identity_of
from failmodes.warehouse.database.connection import read_once
from failmodes.warehouse.database.tables import insert_rows
from failmodes.warehouse.database_schema import COMPUTED, COMPUTED_TABLES
from failmodes.warehouse.schema import Table

UNFIT = "unfit "  # before the hash of input from which a load could derive nothing; readers get the reason

# Derived rows of an evaluation depend on its labels, classes, corruptions, levels, and on what a load computed
_INPUTS = """
select
    labels.evaluation_id, {labels},
    (select md5(string_agg({classes}, '' order by class_index)) from classes
     where classes.dataset_id = labels.dataset_id),
    (select md5(string_agg({corruptions}, '' order by corruption)) from corruptions
     where corruption in (select corruption from shards where shards.evaluation_id = labels.evaluation_id)),
    (select md5(string_agg({levels}, '' order by corruption, severity)) from levels
     where levels.source_id = labels.source_id),
    (select string_agg(concat_ws(' ', name, definition, input_hash), ', ' order by name) from computed
     where computed.evaluation_id = labels.evaluation_id and list_contains($1, name))
from evaluation_labels as labels
semi join (from shards where table_name = 'prediction_facts') as shards on shards.evaluation_id = labels.evaluation_id
order by labels.evaluation_id
"""


class DerivedTable(NamedTuple):
    """The code and inputs of derived rows.

    Attributes:
        name: of the table or set of tables.
        definition: hash of the source code that derives them.
        inputs: hash of their inputs by evaluation; empty if there is nothing to derive. The key is "" for rows of the
            whole warehouse.
    """

    name: str
    definition: str
    inputs: Mapping[str, str]

    def due(self, con: duckdb.DuckDBPyConnection) -> list[str]:
        """Keys whose rows are missing, or come from other inputs or code; not those that a load could not derive."""
        known = {
            key: made_from.removeprefix(UNFIT)
            for key, made_from in con.execute(
                "select evaluation_id, input_hash from computed where name = ? and definition = ?",
                [self.name, self.definition],
            ).fetchall()
        }
        return [key for key, made_from in self.inputs.items() if known.get(key) != made_from]

    def record(self, con: duckdb.DuckDBPyConnection, unfit: Collection[str] = ()) -> None:
        """Record in `computed` that all rows are current and that `unfit` keys have none; `con` may write."""
        con.execute("delete from computed where name = ?", [self.name])
        rows = [
            (self.name, key, self.definition, UNFIT * (key in unfit) + made_from, None)
            for key, made_from in self.inputs.items()
        ]
        names = [column.name for column in COMPUTED.columns]
        replace_rows(con, COMPUTED, (dict(zip(names, row, strict=True)) for row in rows), [])


@read_once
def evaluation_inputs(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Hash of the inputs of each evaluation that has predictions, in order."""
    texts = {}
    relations = {"labels": "evaluation_labels", "classes": "classes", "corruptions": "corruptions", "levels": "levels"}
    for name, relation in relations.items():
        columns = sorted(con.sql(f"from {relation}").columns)  # readers see another order than writers
        texts[name] = f"row({', '.join(f'{name}.{column}' for column in columns)})::varchar"
    rows = con.execute(_INPUTS.format(**texts), [[table.name for table in COMPUTED_TABLES]]).fetchall()
    return {key: identity_of(facts) for key, *facts in rows}


def replace_rows(
    con: duckdb.DuckDBPyConnection, table: Table, rows: Iterable[Mapping[str, Any]], keys: Sequence[str] | None = None
) -> None:
    """Replace the rows of evaluations in a table; missing values are null.

    Args:
        con: the warehouse, which may be written.
        table: the table.
        rows: its new rows, by column.
        keys: evaluations whose old rows are deleted. Default: all rows.
    """
    if keys is None:
        con.execute(f"delete from {table.name}")
    else:
        con.execute(f"delete from {table.name} where list_contains($1, evaluation_id)", [keys])
    insert_rows(con, table, pa.Table.from_pylist(list(rows), schema=table.arrow()))
