"""Export the predictions of chosen evaluations as a small warehouse of their own.

It contains only what comparisons and checks read: no images, no names of image files, no attention, no logits. What is
known of images is kept, since rules may be about some of them.
Metrics, checks and derived tables are computed again. Identities stay; hashes of shards are of the exported rows, so
that a load of the full results into the file replaces them.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa

from failmodes.runtime.errors import StudyError, WarehouseError
from failmodes.warehouse.database.checks import read_checks, update_checks
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.image_metadata import drop_empty_metadata, insert_images
from failmodes.warehouse.database.stored_metrics import update_metrics
from failmodes.warehouse.database.tables import create_tables, insert_rows, write_info
from failmodes.warehouse.database.updates import Derivation, staged_database, writer_lock
from failmodes.warehouse.database_schema import SHARDS
from failmodes.warehouse.output_files import check_output
from failmodes.warehouse.schema import (
    CLASSES,
    CORRUPTIONS,
    DATASETS,
    EVALUATIONS,
    IMAGES,
    LEVELS,
    MODELS,
    PARTITIONS,
    PREDICTION_FACTS,
    SHIFTS,
    SOURCES,
)
from failmodes.warehouse.shards.format import content_hash
from failmodes.warehouse.shards.inventory import cast_to_table

# Most tables have few rows and take at least one block: DuckDB's default of 256 KiB makes small files 4 times larger
SMALL_BLOCK_BYTES = 32_768

# Inputs of metrics of predictions, calibration and scores, and of checks
KEPT_COLUMNS = (
    "image_id", "label", "predicted", "confidence", "label_probability", "margin", "entropy_nats", "loss_nats",
    "sum_p2", "log_sum_exp", "finite", "rmse", "predicted_output",
)  # fmt: skip

_WITHOUT_ATTENTION = """
select * replace (
    'none' as attention_method,
    null::varchar as attention_layer,
    if(attention_method = 'none', attention_note, 'left out of this file by failmodes export') as attention_note
) from evaluations where evaluation_id = any($1) order by evaluation_id
"""

_OWN = "(select {} from evaluations where evaluation_id = any($1))"

# Rows of the dimensions of evaluations $1; missing columns become null.
_DIMENSION_ROWS = {
    EVALUATIONS: _WITHOUT_ATTENTION,
    MODELS: f"from models where model_id in {_OWN.format('model_id')} order by model_id",
    DATASETS: f"from datasets where dataset_id in {_OWN.format('dataset_id')} order by dataset_id",
    CLASSES: f"from classes where dataset_id in {_OWN.format('dataset_id')} order by all",
    SHIFTS: "from shifts where evaluation_id = any($1) order by evaluation_id",
    SOURCES: f"from sources where source_id in {_OWN.format('source_id')} order by source_id",
    LEVELS: f"from levels where source_id in {_OWN.format('source_id')} order by all",
    CORRUPTIONS: "from corruptions where corruption in (select corruption from shards where evaluation_id = any($1)) "
    "order by corruption_order, corruption",
    IMAGES: "select * replace (null::varchar as file, null::float as mask_area) from images "
    f"where dataset_id in {_OWN.format('dataset_id')} "
    "and image_id in (select image_id from prediction_facts where evaluation_id = any($1)) order by all",
}

# Evaluations of the same models under natural shifts, and of the clean images that these are compared with
_OF_SHIFTS = f"""
select shifts.evaluation_id, shifts.clean_evaluation_id
from shifts
inner join evaluations as shifted on shifts.evaluation_id = shifted.evaluation_id
inner join evaluations as clean on shifts.clean_evaluation_id = clean.evaluation_id
inner join sources on clean.source_id = sources.source_id
where shifted.model_id in {_OWN.format("model_id")}
    and shifts.dataset_id in {_OWN.format("dataset_id")}
    and (clean.evaluation_id = any($1) or sources.source_kind = 'none')
"""

_SHARDS = """
select distinct on (evaluation_id, severity, corruption) * from shards
where evaluation_id = any($1) and table_name = 'prediction_facts'
order by evaluation_id, severity, corruption
"""

_CELL_ROWS = f"""
select {", ".join((*PARTITIONS, *KEPT_COLUMNS))} from prediction_facts
where evaluation_id = $1 and corruption = $2 and severity = $3 order by image_id
"""


class ExportReport(NamedTuple):
    """The result of an export: cells, predictions, and the bytes of the file."""

    cell_count: int
    row_count: int
    size_bytes: int


def check_target(warehouse: Path, target: Path, *, force: bool = False) -> None:
    """Refuse a file that an export must not write.

    Raises:
        StudyError: it is the warehouse itself, not a .duckdb file, or exists and `force` is not set.
    """
    check_output(target, (".duckdb",), force=True)
    if not target.exists():
        return
    if not force:
        raise StudyError(f"{target} exists: choose another file, or replace it with --force (force=True in Python)")
    if warehouse.exists() and target.samefile(warehouse):
        raise StudyError(f"{target} is the exported warehouse itself: choose another file")


def export_evaluations(
    warehouse: Path,
    evaluation_ids: Sequence[str],
    target: Path,
    *,
    force: bool = False,
    derivation: Derivation | None = None,
) -> ExportReport:
    """Write the predictions of some evaluations to a warehouse of their own, completely or not at all.

    Evaluations of their models under natural shifts are included.

    Args:
        warehouse: the DuckDB file that holds them.
        evaluation_ids: their identities, whole.
        target: the file to write, FILE.duckdb.
        force: replace an existing file.
        derivation: computes the derived tables of the file; None leaves them empty.

    Raises:
        StudyError: see `check_target`.
        WarehouseError: the warehouse is missing, of another schema version, in use by a writer or changed by another
            program, or the exported rows break a check.
        StorageError: the file cannot be written.
    """
    check_target(warehouse, target, force=force)
    names = [table.name for table in (*_DIMENSION_ROWS, SHARDS, PREDICTION_FACTS)]
    with (
        open_warehouse(warehouse, names) as con,
        writer_lock(target),
        staged_database(target, empty=True, block_bytes=SMALL_BLOCK_BYTES) as new,
    ):
        of_shifts = con.execute(_OF_SHIFTS, [list(evaluation_ids)]).fetchall()
        evaluation_ids = list(dict.fromkeys([*evaluation_ids, *(key for row in of_shifts for key in row)]))
        create_tables(new)
        for table, sql in _DIMENSION_ROWS.items():
            rows = con.sql(sql, params=[list(evaluation_ids)]).to_arrow_table()
            insert = insert_images if table is IMAGES else partial(insert_rows, table=table)
            insert(new, rows=cast_to_table(rows, table, warehouse))
        drop_empty_metadata(new)
        cell_count, row_count = _copy_predictions(con, new, evaluation_ids, warehouse)
        write_info(new)
        update_metrics(new)
        update_checks(new)
        _refuse_broken(new, warehouse)
        if derivation is not None:
            derivation.store(new, ())
    return ExportReport(cell_count, row_count, target.stat().st_size)


def _copy_predictions(
    con: duckdb.DuckDBPyConnection, new: duckdb.DuckDBPyConnection, evaluation_ids: Sequence[str], warehouse: Path
) -> tuple[int, int]:
    """Copy cell by cell, in the order of a load; returns the number of cells and rows."""
    shards = cast_to_table(con.sql(_SHARDS, params=[list(evaluation_ids)]).to_arrow_table(), SHARDS, warehouse)
    hashes = []
    row_count = 0
    for cell in zip(*(shards[name].to_pylist() for name in PARTITIONS), strict=True):
        rows = cast_to_table(con.sql(_CELL_ROWS, params=list(cell)).to_arrow_table(), PREDICTION_FACTS, warehouse)
        insert_rows(new, PREDICTION_FACTS, rows)
        hashes.append(content_hash(rows.select(KEPT_COLUMNS)))
        row_count += rows.num_rows
    place = shards.schema.get_field_index("content_hash")
    insert_rows(new, SHARDS, shards.set_column(place, "content_hash", pa.array(hashes, pa.string())))
    return len(hashes), row_count


def _refuse_broken(new: duckdb.DuckDBPyConnection, warehouse: Path) -> None:
    broken = [f"{check.invariant} ({check.row_count:,} rows)" for check in read_checks(new) if not check.passed]
    if broken:
        raise WarehouseError(
            f"{warehouse} breaks checks, so nothing was written: {'; '.join(broken)}; see `failmodes status --full`"
        )
