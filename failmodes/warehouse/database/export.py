"""Export the predictions of chosen evaluations as a small warehouse of their own.

It contains only what comparisons and checks read: no images, no names of image files, no attention, no logits. What is
known of images is kept, since rules may be about some of them.
Metrics, checks and derived tables are computed again. Identities stay; hashes of shards differ, so that a load of the
full results into the file replaces them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import duckdb

from failmodes.runtime.errors import StudyError, WarehouseError
from failmodes.warehouse.database.checks import read_checks
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.subset import subset
from failmodes.warehouse.database.updates import Derivation, writer_lock
from failmodes.warehouse.database_schema import PUBLISHED_ACCURACY, STATED_CLAIMS, STATED_MODELS, THRESHOLDS
from failmodes.warehouse.output_files import check_output
from failmodes.warehouse.schema import (
    ATTENTION,
    EVALUATION_NOTES,
    EXEMPLARS,
    IMAGES,
    PARTITIONS,
    PREDICTION_FACTS,
    THUMBNAILS,
)

# Inputs of metrics of predictions, calibration and scores, and of checks
KEPT_COLUMNS = (
    "image_id", "label", "predicted", "confidence", "label_probability", "margin", "entropy_nats", "loss_nats",
    "sum_p2", "log_sum_exp", "finite", "rmse", "predicted_output",
)  # fmt: skip

_EMPTY = (
    ATTENTION, EVALUATION_NOTES, EXEMPLARS, PUBLISHED_ACCURACY, STATED_CLAIMS, STATED_MODELS, THRESHOLDS, THUMBNAILS,
)  # fmt: skip
_LEFT_OUT = {
    **{table.name: () for table in _EMPTY},
    IMAGES.name: ("file", "mask_area"),
    PREDICTION_FACTS.name: tuple(
        column.name for column in PREDICTION_FACTS.columns if column.name not in (*PARTITIONS, *KEPT_COLUMNS)
    ),
}

# Evaluations of the same models under natural shifts, and of the clean images that these are compared with
_OF_SHIFTS = """
with chosen as (from evaluations where evaluation_id = any($1))
select shifts.evaluation_id, shifts.clean_evaluation_id
from shifts
inner join evaluations as shifted on shifts.evaluation_id = shifted.evaluation_id
inner join evaluations as clean on shifts.clean_evaluation_id = clean.evaluation_id
inner join sources on clean.source_id = sources.source_id
where shifted.model_id in (select model_id from chosen)
    and shifts.dataset_id in (select dataset_id from chosen)
    and (clean.evaluation_id = any($1) or sources.source_kind = 'none')
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
    with open_warehouse(warehouse, ["evaluations", "shifts", "sources"]) as con:
        of_shifts = con.execute(_OF_SHIFTS, [list(evaluation_ids)]).fetchall()
    with (
        writer_lock(target),
        subset(
            warehouse,
            target,
            {*evaluation_ids}.union(*of_shifts),
            left_out=_LEFT_OUT,
            measures=True,
            derivation=derivation,
        ) as new,
    ):
        _refuse_broken(new, warehouse)
        ((cell_count, row_count),) = new.execute("select count(*), sum(row_count)::bigint from shards").fetchall()
    return ExportReport(cell_count, row_count, target.stat().st_size)


def _refuse_broken(new: duckdb.DuckDBPyConnection, warehouse: Path) -> None:
    broken = [f"{check.invariant} ({check.row_count:,} rows)" for check in read_checks(new) if not check.passed]
    if broken:
        raise WarehouseError(
            f"{warehouse} breaks checks, so nothing was written: {'; '.join(broken)}; see `failmodes status --full`"
        )
