"""The contents and check results of a warehouse, for `failmodes status`."""

from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import duckdb
import polars as pl

from failmodes.warehouse.database.checks import CheckResult, read_checks, run_checks
from failmodes.warehouse.database.connection import count_rows, open_warehouse
from failmodes.warehouse.database.updates import Derivation
from failmodes.warehouse.database_schema import COMPUTED_TABLES, TABLES
from failmodes.warehouse.evaluation_facts import read_facts, stated
from failmodes.warehouse.metrics.metric import definitions_hash


class WarehouseStatus(NamedTuple):
    """State of a warehouse: version, size, contents, check results, derived tables that are out of date.

    `row_counts` are of its tables.
    `evaluations` has one row per evaluation: evaluation_id, model_label, dataset_label, subset, precision,
    source_label, paired, protocol, deviations, cell_count (clean included), attention_cell_count, image_count (per
    cell),
    distinct_image_count (of the clean ones, by their pixels), latest_at (UTC).
    `shifts` has one row per evaluation of a natural shift: evaluation_id, shift, model_label, image_count, class_count,
    clean_class_count, restricted, protocol, deviations.
    `facts` has what is recorded of the model, in words by topic, by evaluation_id.
    `warnings` has one row per warning of their runs, and per note on their images: evaluation_id, model_label, subject,
    topic, level, note.
    """

    schema_version: str
    updated_at: datetime  # UTC
    size_bytes: int
    row_counts: dict[str, int]
    evaluations: pl.DataFrame
    shifts: pl.DataFrame
    warnings: pl.DataFrame
    facts: dict[str, dict[str, str]]
    checks: list[CheckResult]
    stale_derived: list[str]


_EVALUATIONS = """
with image_sets as ( -- evaluations of the same images have the same copies: one of each is read
    select dataset_id, subset_id, min(evaluation_id) as evaluation_id from evaluations group by all
),
copies as (
    select
        image_sets.dataset_id, image_sets.subset_id,
        count(images.pixel_hash) - count(distinct images.pixel_hash) as copy_count
    from image_sets
    inner join prediction_facts as facts on image_sets.evaluation_id = facts.evaluation_id
    inner join images on image_sets.dataset_id = images.dataset_id and facts.image_id = images.image_id
    where facts.corruption = 'none'
    group by all
)
select
    labels.evaluation_id, labels.model_label, labels.dataset_label, labels.subset, labels.precision,
    labels.source_label, labels.paired, labels.protocol, labels.deviations,
    count(*) filter (where shards.table_name = 'prediction_facts') as cell_count,
    count(*) filter (where shards.table_name = 'attention') as attention_cell_count,
    labels.image_count,
    (labels.image_count - coalesce(copies.copy_count, 0))::integer as distinct_image_count,
    max(shards.created_utc) as latest_at
from evaluation_labels as labels
left join shards on labels.evaluation_id = shards.evaluation_id
left join copies on labels.dataset_id = copies.dataset_id and labels.subset_id = copies.subset_id
group by all
order by labels.dataset_label, labels.model_label, labels.evaluation_id
"""


_SHIFTS = """
select
    shifts.evaluation_id, shifts.shift, models.model_label, evaluations.image_count, shifts.class_count,
    shifts.clean_class_count, shifts.restricted, evaluations.protocol, evaluations.deviations
from shifts
inner join evaluations on shifts.evaluation_id = evaluations.evaluation_id
left join models on evaluations.model_id = models.model_id
order by shifts.shift_order, shifts.shift, models.model_label, shifts.evaluation_id
"""

_WARNINGS = """
select
    notes.evaluation_id, models.model_label, notes.subject, notes.topic, notes.level, notes.note
from evaluation_notes as notes
inner join evaluations on notes.evaluation_id = evaluations.evaluation_id
left join models on evaluations.model_id = models.model_id
where notes.level = 'warning' or notes.subject = 'images'
order by notes.level desc, notes.subject, models.model_label, notes.evaluation_id, notes.step desc, notes.topic
"""


def warehouse_status(path: Path, *, full: bool = False, derivation: Derivation | None = None) -> WarehouseStatus:
    """Read the state of a warehouse, and the results of its data checks from the load.

    Args:
        path: the DuckDB file.
        full: run all checks again.
        derivation: finds derived tables that are out of date.

    Raises:
        WarehouseError: it is missing, not a warehouse, of another schema version, or in use by a writer.
    """
    with open_warehouse(path, None if full else [*TABLES, "evaluation_labels"]) as con:
        info = "select schema_version, updated_utc from warehouse_info"
        ((schema_version, updated_at),) = con.sql(info).fetchall()
        return WarehouseStatus(
            schema_version=schema_version,
            updated_at=updated_at,
            size_bytes=path.stat().st_size,
            row_counts=count_rows(con),
            evaluations=con.sql(_EVALUATIONS).pl(),
            shifts=con.sql(_SHIFTS).pl(),
            warnings=con.sql(_WARNINGS).pl(),
            facts={row["evaluation_id"]: stated(row) for row in read_facts(con)},
            checks=run_checks(con) if full else read_checks(con),
            stale_derived=_stale_metrics(con) + (derivation.due(con) if derivation else []),
        )


def _stale_metrics(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Names of computed tables with other definitions than the current ones."""
    rows = con.execute(
        "select distinct name from computed where list_contains(?, name) and definition <> ? order by name",
        [[table.name for table in COMPUTED_TABLES], definitions_hash()],
    ).fetchall()
    return [name for (name,) in rows]
