"""Remove evaluations: their files from the results, their rows and derived rows from the warehouse.

The new warehouse is complete before the first file is removed, and replaces the old one after the last. So a process
that is killed in between leaves evaluations in both or only in the warehouse, never only in the results, from where the
next load would restore them. An evaluation's own row is the last of its files: the same call completes a killed one.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from failmodes.runtime.errors import StudyError
from failmodes.runtime.storage.files import (
    StorePath,
    delete,
    delete_folder,
    is_url,
    list_published,
    size_of,
)
from failmodes.runtime.storage.locations import default_location, find_output, find_results, find_warehouse
from failmodes.runtime.storage.locks import run_lock
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.updates import Derivation, changed_database
from failmodes.warehouse.database_schema import ALL_TABLES, LOADED_DIMENSIONS
from failmodes.warehouse.metrics.metric import Metric
from failmodes.warehouse.schema import (
    CLASSES,
    CLEAN_MAPS,
    DATASETS,
    EVALUATION_NOTES,
    EVALUATIONS,
    EXEMPLARS,
    IMAGE_METADATA,
    IMAGES,
    MODELS,
    NO_CORRUPTION,
    PREDICTION_FACTS,
    SHARDED,
    SHIFTS,
    SOURCES,
    THUMBNAILS,
    Table,
)
from failmodes.warehouse.shards.format import RESULTS_FOLDER, dimension_path, list_results_files, read_footer
from failmodes.warehouse.shards.inventory import has_results, read_rows

_NAMED = (
    EVALUATION_NOTES,
    EXEMPLARS,
    CLEAN_MAPS,
    SHIFTS,
)  # tables whose file names begin with an evaluation's identity
_OWN = (*SHARDED, *_NAMED)
_SHARED = {  # removed with the last evaluation that names them; the model last, whose label a second call needs
    "dataset_id": (THUMBNAILS, IMAGE_METADATA, IMAGES, CLASSES, DATASETS),
    "source_id": (SOURCES,),
    "model_id": (MODELS,),
}
_IDENTITIES = {"evaluation_id", "other_evaluation_id", "evaluation_id_a", "evaluation_id_b", "clean_evaluation_id"}


class Place(NamedTuple):
    """The location of evaluations.

    Attributes:
        results: the folder with results; None without results.
        warehouse: the DuckDB file; None without a warehouse.
        output: the local folder that a run locks; None for results named by their URL.
    """

    results: "StorePath | None"
    warehouse: Path | None
    output: Path | None


class StoredEvaluation(NamedTuple):
    """An evaluation in results, a warehouse or both.

    Attributes:
        facts: its row of `evaluation_labels`, with `evaluated_at` (UTC, the last cell); null if unknown.
        cell_count: cells with predictions.
        file_count: its own files in the results.
        size_bytes: of these.
        in_results: whether it is in the results.
        in_warehouse: whether it is in the warehouse.
    """

    facts: dict[str, Any]
    cell_count: int
    file_count: int = 0
    size_bytes: int = 0
    in_results: bool = False
    in_warehouse: bool = False

    @property
    def evaluation_id(self) -> str:
        """Its identity."""
        return str(self.facts["evaluation_id"])

    @property
    def label(self) -> str | None:
        """The model's name on charts; None after an interrupted removal."""
        label: str | None = self.facts["model_label"]
        return label

    @property
    def images(self) -> tuple[str, str]:
        """Dataset and subset, common to evaluations of the same images."""
        return self.facts["dataset_id"], self.facts["subset_id"]


def find_place(where: str | Path | None) -> Place:
    """The results and the warehouse of a location (see `find_warehouse`), or the URL of results.

    Raises:
        StudyError: the location is none of these; neither exists, or the named warehouse does not.
    """
    if isinstance(where, str) and is_url(where):
        results, warehouse, output = find_results(where), None, None
    else:
        where = Path(where) if where else default_location()
        results, warehouse, output = find_results(where), find_warehouse(where), find_output(where)
    found = Place(
        results if has_results(results) else None, warehouse if warehouse and warehouse.exists() else None, output
    )
    is_missing = warehouse is not None and warehouse == where and found.warehouse is None
    if is_missing or (found.results is None and found.warehouse is None):
        state = "does not exist" if is_missing else "holds neither results nor a warehouse"
        raise StudyError(f"{where} {state}: nothing can be removed")
    return found


def stored_evaluations(place: Place) -> list[StoredEvaluation]:
    """Every evaluation in results or warehouse.

    Raises:
        DamagedShardError, StorageError, WarehouseError: they cannot be read.
    """
    in_results = {} if place.results is None else _of_results(place.results)
    in_warehouse = {} if place.warehouse is None else _of_warehouse(place.warehouse)
    found = []
    for key in sorted(in_results | in_warehouse):
        own, loaded = in_results.get(key), in_warehouse.get(key)
        if own and loaded:  # after an interrupted removal the results are incomplete
            facts = own.facts | {name: value for name, value in loaded.facts.items() if value is not None}
            own = own._replace(facts=facts, cell_count=max(own.cell_count, loaded.cell_count), in_warehouse=True)
        found.append(own or loaded)
    return [one for one in found if one]


def remove_evaluations(
    place: Place,
    identities: Collection[str],
    derivation: Derivation | None = None,
    metrics: Sequence[Metric] = (),
) -> None:
    """Remove evaluations from results and warehouse, with derived rows and dimensions that no other one names.

    Natural shifts that are compared with them are removed too; all of a model with its last evaluation.

    Args:
        place: their location.
        identities: the evaluations.
        derivation: recomputes the derived tables; None leaves them unchanged.
        metrics: the user's own, which claims may name.

    Raises:
        WarehouseError: a run evaluates into the folder, or another process writes the warehouse.
        DamagedShardError: a row that other evaluations need cannot be read.
        StorageError: a file cannot be removed, or the new warehouse cannot be written.
    """
    with nullcontext() if place.results is None or place.output is None else run_lock(place.output):
        loaded = set() if place.warehouse is None else _of_warehouse(place.warehouse).keys()
        shifted = _shifts_of_results(place.results, identities)
        if place.warehouse is None or loaded.isdisjoint(identities):
            _remove_files(place.results, shifted)
            _remove_files(place.results, identities)
            return
        with changed_database(place.warehouse) as con:
            _delete_rows(con, [*identities, *_shifts_of_warehouse(con, identities)])
            if derivation is not None:
                derivation.store(con, metrics)
            _remove_files(place.results, shifted)  # first, since only the evaluations themselves are listed
            _remove_files(place.results, identities)


def _shifts_of_results(results: "StorePath | None", identities: Collection[str]) -> set[str]:
    """Evaluations of shifts in the results that are removed with some evaluations."""
    if results is None:
        return set()
    sources = _rows_by_key(results, SOURCES)
    clean_only = {key for key, row in sources.items() if row["source_kind"] == NO_CORRUPTION}
    evaluations = {
        key: (row["model_id"], row["source_id"] in clean_only)
        for key, row in _rows_by_key(results, EVALUATIONS).items()
    }
    references = {key: row["clean_evaluation_id"] for key, row in _rows_by_key(results, SHIFTS).items()}
    return _shifts_of(evaluations, references, identities)


def _shifts_of_warehouse(con: duckdb.DuckDBPyConnection, identities: Collection[str]) -> set[str]:
    """Evaluations of shifts in a warehouse that are removed with some evaluations."""
    rows = con.execute(
        "select evaluation_id, model_id, source_kind = ? from evaluations inner join sources using (source_id)",
        [NO_CORRUPTION],
    ).fetchall()
    references = dict(con.execute("select evaluation_id, clean_evaluation_id from shifts").fetchall())
    return _shifts_of({key: (model, clean_only) for key, model, clean_only in rows}, references, identities)


def _shifts_of(
    evaluations: Mapping[str, tuple[str, bool]], references: Mapping[str, str], identities: Collection[str]
) -> set[str]:
    """Evaluations of shifts that are removed with some evaluations.

    Args:
        evaluations: model of each evaluation, and whether it has only clean images, as those of shifts.
        references: evaluation that each evaluation of a shift is compared with.
        identities: the evaluations to remove.
    """
    kept = {model for key, (model, clean_only) in evaluations.items() if not clean_only and key not in identities}
    gone = {evaluations[key][0] for key in identities if key in evaluations} - kept
    found = {key for key, (model, clean_only) in evaluations.items() if clean_only and model in gone}
    return found | {key for key, reference in references.items() if reference in identities}


def _of_results(results: StorePath) -> dict[str, StoredEvaluation]:
    rows = {table: _rows_by_key(results, table) for table in (EVALUATIONS, MODELS, DATASETS, SOURCES)}
    found = {}
    clean_only = {key for key, row in rows[SOURCES].items() if row["source_kind"] == NO_CORRUPTION}
    for key, evaluation in rows[EVALUATIONS].items():
        if evaluation["source_id"] in clean_only:
            continue  # of a shift
        evaluation["evaluation_id"] = key  # never from a row: folders are removed by it
        parts = [
            rows[table].get(evaluation[table.key[0]], dict.fromkeys(column.name for column in table.columns))
            for table in (DATASETS, SOURCES, MODELS)
        ]
        files = _files_of(results, key)
        cells = [path for table, path in files if table is PREDICTION_FACTS]
        made = [datetime.fromisoformat(read_footer(path)["facts"]["created_at"]) for path in cells]
        facts = {name: value for part in (*parts, evaluation) for name, value in part.items()}
        facts["evaluated_at"] = max(made).astimezone(UTC).replace(tzinfo=None) if made else None
        size = sum(size_of(path) for _, path in files)
        found[key] = StoredEvaluation(facts, len(cells), len(files), size, in_results=True)
    return found


def _of_warehouse(warehouse: Path) -> dict[str, StoredEvaluation]:
    with open_warehouse(warehouse, ["evaluation_labels", "shards"]) as con:
        rows = con.sql(
            "select evaluation_labels.*, cells.* exclude (evaluation_id) from evaluation_labels left join ("
            "select evaluation_id, max(created_at) at time zone 'UTC' as evaluated_at, "
            "count(*) filter (table_name = 'prediction_facts') as cell_count from shards group by evaluation_id"
            ") as cells using (evaluation_id)"
        ).pl()
    return {
        row["evaluation_id"]: StoredEvaluation(row, row.pop("cell_count") or 0, in_warehouse=True)
        for row in rows.iter_rows(named=True)
    }


def _rows_by_key(results: StorePath, table: Table) -> dict[str, dict[str, Any]]:
    """Rows of a dimension with one row per file, by file name."""
    files = list_results_files(results, table)
    return {path.stem: row for path in files for row in read_rows(path, table).to_pylist()}


def _files_of(results: StorePath, evaluation_id: str) -> list[tuple[Table, StorePath]]:
    """The published files of an evaluation that no other one uses."""
    found = [
        (table, path)
        for table in SHARDED
        for path in list_published(_folder(results, table, evaluation_id), ".parquet")
    ]
    found += [(table, path) for table in _NAMED for path in _named(results, table, {evaluation_id})]
    return [*found, (EVALUATIONS, dimension_path(results, EVALUATIONS, evaluation_id))]


def _folder(results: StorePath, table: Table, evaluation_id: str) -> StorePath:
    return results / RESULTS_FOLDER / table.name / f"evaluation_id={evaluation_id}"


def _named(results: StorePath, table: Table, identities: Collection[str]) -> list[StorePath]:
    """Files of a dimension named by an identity, or by one with a suffix after a hyphen."""
    return [path for path in list_results_files(results, table) if path.stem.partition("-")[0] in identities]


def _remove_files(results: "StorePath | None", identities: Collection[str]) -> None:
    """Remove the files of evaluations; those of a dataset, source or model with the last one that names them."""
    if results is None:
        return
    rows = _rows_by_key(results, EVALUATIONS)
    gone, kept = ([row for key, row in rows.items() if (key in identities) is is_gone] for is_gone in (True, False))
    for key in rows.keys() & set(identities):
        for table in SHARDED:
            delete_folder(_folder(results, table, key))
    unused = {name: {row[name] for row in gone} - {row[name] for row in kept} for name in _SHARED}
    removed = [(table, identities) for table in _NAMED]
    removed += [(table, unused[name]) for name, tables in _SHARED.items() for table in tables]
    for table, names in (*removed, (EVALUATIONS, identities)):
        for path in _named(results, table, names):
            delete(path)


def _delete_rows(con: duckdb.DuckDBPyConnection, identities: list[str]) -> None:
    """Delete the rows of evaluations in the warehouse, which may hold evaluations of other folders."""
    gone = "select {} from evaluations where evaluation_id = any($1)"
    unused = {
        name: con.execute(
            f"{gone.format(name)} except select {name} from evaluations where evaluation_id <> all($1)", [identities]
        ).fetchall()
        for name in _SHARED
    }
    for table in ALL_TABLES:
        for column in _IDENTITIES.intersection(column.name for column in table.columns):
            con.execute(f"delete from {table.name} where {column} = any($1)", [identities])
    _forget(con, (*_OWN, EVALUATIONS), identities)
    for name, tables in _SHARED.items():
        values = [value for (value,) in unused[name]]
        for table in tables:
            con.execute(f"delete from {table.name} where {name} = any($1)", [values])
        _forget(con, tables, values)


def _forget(con: duckdb.DuckDBPyConnection, tables: Sequence[Table], identities: list[str]) -> None:
    """Let the next load treat such files as new."""
    con.execute(
        f"delete from {LOADED_DIMENSIONS.name} where table_name = any($1) and split_part(file_key, '-', 1) = any($2)",
        [[table.name for table in tables], identities],
    )
