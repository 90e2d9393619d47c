"""Load evaluated cells into the warehouse: a new DuckDB file is written beside the old one, then replaces it.

Keys and hashes decide: a new shard is added, one whose hash differs replaces its rows, one that is loaded is not read
again. Of two folders with the same key the later one is used. Rows whose shard has disappeared from the results stay,
since the warehouse is complete without the results: `rebuild` loads only the given folders, and drops no such row
unless it is told to.
"""

import itertools
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute

from failmodes.runtime.errors import DamagedShardError, StorageError, WarehouseError, WarehouseInUseError, listed
from failmodes.runtime.progress import counted
from failmodes.runtime.storage.files import StorePath
from failmodes.warehouse.database.checks import update_checks
from failmodes.warehouse.database.connection import open_warehouse, was_warehouse
from failmodes.warehouse.database.image_metadata import drop_empty_metadata, insert_images
from failmodes.warehouse.database.stored_metrics import OF_USERS, update_metrics
from failmodes.warehouse.database.tables import (
    StatedClaim,
    claim_rows,
    create_tables,
    delete_matching,
    insert_rows,
    model_rows,
    stored_claims,
    stored_models,
    upsert,
    views_fingerprint,
    write_info,
)
from failmodes.warehouse.database.updates import Derivation, staged_database, writer_lock
from failmodes.warehouse.database_schema import LOADED_DIMENSIONS, SHARDS, STATED_CLAIMS, STATED_MODELS, TABLES
from failmodes.warehouse.metrics.metric import Metric
from failmodes.warehouse.output_files import check_output
from failmodes.warehouse.schema import (
    ATTENTION,
    DIMENSIONS,
    EVALUATION_NOTES,
    EXEMPLARS,
    FACTS,
    IMAGES,
    LEVELS,
    OF_DATASETS,
    OF_TABLE,
    PARTITIONS,
    PREDICTION_FACTS,
    THUMBNAILS,
    Table,
    as_moment,
)
from failmodes.warehouse.shards.format import FACTS_KEPT
from failmodes.warehouse.shards.inventory import (
    HEADER_BYTES,
    MAX_STORED_PIXELS,
    FileKey,
    LoadError,
    ResultsFile,
    png_size,
    read_verified_rows,
    scan_results,
)
from failmodes.warehouse.stated_models import StatedModel

pc: Any = pyarrow.compute  # its functions are made as it is imported: no checker knows them


MAX_NAMES = 6  # of models in an error


class LoadedState(NamedTuple):
    """The state of a warehouse: hashes of the loaded files by key, installed views, claims, users' metrics, models.

    `due` names derived tables that are out of date.
    """

    hashes: dict[FileKey, str]
    views_fingerprint: str
    claims: tuple[StatedClaim, ...] = ()
    metrics: frozenset[tuple[str, str]] = frozenset()
    due: tuple[str, ...] = ()
    models: tuple[StatedModel, ...] = ()


EMPTY_STATE = LoadedState({}, "")


class LoadReport(NamedTuple):
    """The result of a load: shards by outcome, inserted fact rows, whether the file was replaced, and seconds.

    `measured_evaluations` counts evaluations whose metrics were computed. `set_aside` is where the former file lies, if
    it could not be read.
    """

    new_shards: int
    replaced_shards: int
    kept_shards: int
    dropped_shards: int
    row_count: int
    swapped: bool
    elapsed_s: float
    measured_evaluations: int = 0
    set_aside: Path | None = None


def load(
    outputs: Sequence[StorePath],
    warehouse: Path,
    *,
    rebuild: bool = False,
    prunes: bool = False,
    claims: Sequence[StatedClaim] | None = None,
    models: Sequence[StatedModel] | None = None,
    adds_models: bool = False,
    metrics: Sequence[Metric] | None = None,
    derivation: Derivation | None = None,
) -> LoadReport:
    """Load the results of `outputs` into `warehouse`; without anything new the file is unchanged.

    Args:
        outputs: folders with results, local or remote; of two shards with one key, the later folder's is used.
        warehouse: the DuckDB file, created if missing.
        rebuild: start from an empty file, with default settings. A former file that cannot be read, or is of another
            version, is set aside.
        prunes: a rebuild drops rows whose results no folder holds.
        claims: the claims of the study, as text and JSON, in place of the stored ones; None keeps these.
        models: the models of the study in their order, in place of the stored ones; None keeps these.
        adds_models: put the models behind the stored ones instead.
        metrics: the user's own metrics, in place of the stored ones; None keeps their values, except for evaluations
            whose shards have changed.
        derivation: computes the derived tables of the new file; None leaves them unchanged.

    Raises:
        StudyError: the warehouse is a link, a folder or a device.
        DamagedShardError: files do not match their hash; all are named, nothing is loaded.
        WarehouseError: no results in a folder, another schema version, another load in progress, or a rebuild would
            drop rows.
        StorageError: the new file cannot be written, or remote results cannot be read.
    """
    start = time.monotonic()
    aside = None
    check_output(warehouse, (warehouse.suffix.lower(),), force=True)  # its content is checked when it is opened
    with writer_lock(warehouse):
        former = _read_loaded_state(warehouse, rebuild, derivation)
        is_unreadable = former is None
        former = former or EMPTY_STATE
        loaded = EMPTY_STATE if rebuild else former
        stored, damaged = scan_results(outputs)
        lost = _without_results(warehouse, stored) if rebuild and former.hashes else {}
        if lost and not (prunes or damaged):
            named = listed([f"{label} ({count:,} shards)" for label, count in lost.items()], MAX_NAMES)
            raise WarehouseError(
                f"{warehouse} holds {named} that no given folder holds, and a rebuild would drop: name their folders "
                "too, or drop them with --prune (prunes=True in Python)"
            )
        files = [
            stored[key] for key in sorted(stored, key=_place) if loaded.hashes.get(key) != stored[key].content_hash
        ]
        measured: list[str] = []
        restated = claims is not None and tuple(dict.fromkeys(claims)) != loaded.claims
        if models is not None and adds_models:
            models = [*former.models, *(m for m in models if m.label not in {other.label for other in former.models})]
        reordered = models is not None and tuple(dict.fromkeys(models)) != loaded.models
        remeasured = metrics is not None and {(metric.name, metric.version) for metric in metrics} != loaded.metrics
        changed = bool(files or damaged or loaded.due) or restated or reordered or remeasured
        swap = changed or loaded.views_fingerprint != views_fingerprint()
        if swap:
            with (
                _set_aside(warehouse, is_unreadable) as aside,
                staged_database(warehouse, empty=rebuild or not warehouse.exists(), copies=True) as con,
            ):
                measured = _fill(con, files, loaded, [*damaged], metrics, outputs)
                if claims is not None and restated:
                    _state(con, STATED_CLAIMS, claim_rows(claims))
                if models is not None and reordered:
                    _state(con, STATED_MODELS, model_rows(models))
                if derivation is not None:
                    derivation.store(con, metrics or ())
    shards = [file for file in files if file.table in FACTS]
    replaced = sum(file.key in loaded.hashes for file in shards)
    return LoadReport(
        new_shards=len(shards) - replaced,
        replaced_shards=replaced,
        kept_shards=_count_shards(stored.keys()) - len(shards),
        dropped_shards=sum(lost.values()),
        row_count=sum(file.row_count for file in shards),
        swapped=swap,
        elapsed_s=time.monotonic() - start,
        measured_evaluations=len(measured),
        set_aside=aside,
    )


def lost_shards(outputs: Sequence[StorePath], warehouse: Path) -> dict[str, int]:
    """Shards that a rebuild from these folders drops, by label of their model; none of a file that cannot be read.

    Raises:
        WarehouseError: no results in a folder.
        StorageError: remote results cannot be read.
    """
    stored = scan_results(outputs)[0]
    try:
        return _without_results(warehouse, stored) if warehouse.exists() else {}
    except WarehouseError:
        return {}


def _without_results(warehouse: Path, stored: Collection[FileKey]) -> dict[str, int]:
    with open_warehouse(warehouse, ["shards", "evaluations", "models"]) as con:
        keys = ", ".join(f"{name}::varchar" for name in PARTITIONS)
        rows = con.execute(
            f"select model_label, table_name, {keys} from shards left join evaluations using (evaluation_id) "
            "left join models using (model_id) order by all"
        ).fetchall()
    return dict(Counter(label for label, *key in rows if tuple(key) not in stored and _count_shards([tuple(key)])))


@contextmanager
def _set_aside(warehouse: Path, is_wanted: bool) -> Iterator[Path | None]:
    """A copy of a file that is about to be replaced, under a free name beside it; gone if it is not replaced."""
    if not is_wanted:
        yield None
        return
    numbers = itertools.count(1)
    aside = next(path for n in numbers if not (path := warehouse.with_suffix(f".{n}.unreadable")).exists())
    try:
        os.link(warehouse, aside)
    except OSError:  # not every file system has links
        shutil.copyfile(warehouse, aside)
    try:
        yield aside
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def _read_loaded_state(warehouse: Path, rebuild: bool, derivation: Derivation | None) -> LoadedState | None:
    """The state of the file; empty if it is missing, None if `rebuild` replaces one that cannot be read."""
    if not warehouse.exists():
        return EMPTY_STATE
    try:
        return _loaded_state(warehouse, derivation)
    except WarehouseInUseError:
        raise
    except WarehouseError:
        if rebuild and was_warehouse(warehouse):
            return None
        raise


def _loaded_state(warehouse: Path, derivation: Derivation | None) -> LoadedState:
    with open_warehouse(warehouse, [*TABLES, "evaluation_labels"]) as con:
        fingerprint: str
        ((fingerprint,),) = con.execute("select views_fingerprint from warehouse_info").fetchall()
        keys = ", ".join(f"{name}::varchar" for name in PARTITIONS)
        shards = con.execute(f"select table_name, {keys}, content_hash from shards").fetchall()
        files = con.execute("select table_name, file_key, content_hash from loaded_dimensions").fetchall()
        claims = tuple(stored_claims(con))
        models = tuple(stored_models(con))
        stored = con.execute(
            "select name, definition, count(*) = (select count(distinct evaluation_id) from shards) from computed "
            "where starts_with(name, ?) group by name, definition",
            [OF_USERS],
        ).fetchall()
        due = tuple(derivation.due(con)) if derivation else ()
    metrics = frozenset(
        (name.removeprefix(OF_USERS), version if is_whole else "") for name, version, is_whole in stored
    )
    return LoadedState({row[:-1]: row[-1] for row in (*shards, *files)}, fingerprint, claims, metrics, due, models)


def _place(key: FileKey) -> tuple[str | Decimal, ...]:
    """The order of a table's rows: cells of one severity together, since most queries read the last one."""
    if len(key) != len(SHARDS.key):
        return key
    table, evaluation_id, corruption, severity = key
    return table, evaluation_id, Decimal(severity), corruption


def _count_shards(keys: Iterable[FileKey]) -> int:
    return sum(key[0] in (PREDICTION_FACTS.name, ATTENTION.name) for key in keys)


def _fill(
    con: duckdb.DuckDBPyConnection,
    files: list[ResultsFile],
    loaded: LoadedState,
    errors: list[LoadError],
    metrics: Sequence[Metric] | None,
    outputs: Sequence[StorePath],
) -> list[str]:
    """Insert all files and update metrics; returns the evaluations whose metrics were computed."""
    create_tables(con)
    for table in DIMENSIONS:
        _insert_dimension(con, table, [file for file in files if file.table is table], errors)
    _drop_superseded(con)
    drop_empty_metadata(con)
    for table in FACTS:
        _insert_shards(con, table, [file for file in files if file.table is table], loaded, errors)
    for error in errors:
        if isinstance(error, StorageError):  # an unreadable file need not be damaged
            raise error
    if errors:
        listing = "; ".join(map(str, errors))
        hint = "`failmodes evaluate STUDY --redo-damaged` recomputes them (`failmodes import` for imported predictions)"
        raise DamagedShardError(f"{len(errors)} damaged file(s), so nothing was loaded; {hint}: {listing}")
    write_info(con)
    measured = update_metrics(con, metrics, outputs)
    update_checks(con)
    return measured


def _state(con: duckdb.DuckDBPyConnection, table: Table, rows: pa.Table) -> None:
    """Replace what the study states."""
    con.execute(f"delete from {table.name}")
    insert_rows(con, table, rows)


# Common columns of files that are replaced as a whole; other dimensions are a union of rows
_MADE_AS_A_WHOLE = {
    EXEMPLARS: ("evaluation_id", "corruption"), EVALUATION_NOTES: ("evaluation_id", "step"), LEVELS: ("source_id",),
}  # fmt: skip


def _insert_shards(
    con: duckdb.DuckDBPyConnection,
    table: Table,
    files: list[ResultsFile],
    loaded: LoadedState,
    errors: list[LoadError],
) -> None:
    if stale := [_shard_row(file) for file in files if file.key in loaded.hashes]:
        delete_matching(con, table, pa.Table.from_pylist(stale, schema=SHARDS.arrow()), PARTITIONS)
    read = counted(f"reading {table.name}", read_verified_rows(files, errors), len(files))
    batches = (batch for rows in read for batch in rows.to_batches())
    insert_rows(con, table, pa.RecordBatchReader.from_batches(table.arrow(), batches))
    upsert(con, SHARDS, pa.Table.from_pylist([_shard_row(file) for file in files], schema=SHARDS.arrow()))


def _insert_dimension(
    con: duckdb.DuckDBPyConnection, table: Table, files: list[ResultsFile], errors: list[LoadError]
) -> None:
    rows = list(read_verified_rows(files, errors))
    if table in (EXEMPLARS, THUMBNAILS) and not errors:
        for file, content in zip(files, rows, strict=True):
            _check_images(con, file, content)
    if rows:
        if table is IMAGES:
            for content in rows:
                insert_images(con, content)
        else:
            upsert(con, table, pa.concat_tables(rows), _MADE_AS_A_WHOLE.get(table, table.key))
        names = [{"table_name": f.key[0], "file_key": f.key[1], "content_hash": f.content_hash} for f in files]
        upsert(con, LOADED_DIMENSIONS, pa.Table.from_pylist(names, schema=LOADED_DIMENSIONS.arrow()))


def _drop_superseded(con: duckdb.DuckDBPyConnection) -> None:
    """Remove datasets of tables that a later import has extended, so that no evaluation is of them any more."""
    superseded = con.execute(
        "select dataset_id from datasets where dataset_name = ? and dataset_id not in (select dataset_id from "
        "evaluations)",
        [OF_TABLE],
    ).fetchall()
    ids = [dataset_id for (dataset_id,) in superseded]
    for table in OF_DATASETS if ids else ():
        con.execute(f"delete from {table.name} where dataset_id = any(?)", [ids])
        con.execute("delete from loaded_dimensions where table_name = ? and file_key = any(?)", [table.name, ids])


def _check_images(con: duckdb.DuckDBPyConnection, file: ResultsFile, rows: pa.Table) -> None:
    """Refuse stored images whose size differs from that of the dataset, by their headers only.

    Raises:
        DamagedShardError: one is not a PNG, is too large, or has another size than its dataset or row states.
    """
    if file.table is THUMBNAILS:
        sizes = list(zip(rows["height_px"].to_pylist(), rows["width_px"].to_pylist(), strict=True))
    else:
        known = {
            evaluation_id: size
            for evaluation_id, *size in con.execute(
                "select evaluation_id, height_px, width_px from evaluations inner join datasets using (dataset_id)"
            ).fetchall()
        }
        sizes = [tuple(known.get(evaluation_id, (0, 0))) for evaluation_id in rows["evaluation_id"].to_pylist()]
    headers = pc.binary_slice(rows["png"], 0, HEADER_BYTES).to_pylist()
    for header, size, image_id in zip(headers, sizes, rows["image_id"].to_pylist(), strict=True):
        stated = png_size(header)
        if stated is None or stated != size or stated[0] * stated[1] > MAX_STORED_PIXELS:
            what = "is not a PNG" if stated is None else f"has {stated[1]:,}×{stated[0]:,} pixels"
            raise DamagedShardError(
                f"{file.path}: stored image {image_id} {what}, expected {size[1]:,}×{size[0]:,}, at most "
                f"{MAX_STORED_PIXELS:,} in all: remove the file and run `failmodes evaluate STUDY` again"
            )


def _shard_row(file: ResultsFile) -> dict[str, Any]:
    facts = file.facts
    versions = facts.get("versions")
    return {
        **dict(zip(SHARDS.key, file.key, strict=True)),
        "severity": Decimal(file.key[3]),
        "row_count": file.row_count,
        "content_hash": file.content_hash,
        "path": "/".join(file.path.parts[len(file.output.parts) :]),
        "created_utc": as_moment(datetime.fromisoformat(facts["created_at"])),
        **{name: facts.get(name) for name in FACTS_KEPT},
        "versions": None if versions is None else json.dumps(versions, sort_keys=True),
    }
