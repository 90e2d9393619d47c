"""Removing evaluations: their files from the results, their rows and what is derived from them from the warehouse.

The new warehouse is complete before the first file goes, and takes the place of the old one after the last. So a
process that is killed in between leaves evaluations in both or in the warehouse alone, never in the results alone, from
where the next load would bring them back. An evaluation's own row is the last of its files: the same call finishes
what a killed one has left.
"""

from collections.abc import Collection, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.updates import Derivation, changed_database
from failmodes.warehouse.database_schema import ALL_TABLES, LOADED_DIMENSIONS
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.metrics.metric import Metric
from failmodes.warehouse.schema import (
    CLASSES,
    CLEAN_MAPS,
    DATASETS,
    EVALUATION_NOTES,
    EVALUATIONS,
    EXEMPLARS,
    IMAGES,
    MODELS,
    PREDICTION_FACTS,
    SHARDED,
    SOURCES,
    THUMBNAILS,
    Table,
)
from failmodes.warehouse.shards.format import RESULTS_FOLDER, dimension_path, list_results_files, read_footer
from failmodes.warehouse.shards.inventory import has_results, read_rows
from failmodes.warehouse.storage.files import (
    StorePath,
    delete,
    delete_folder,
    is_url,
    list_published,
    size_of,
)
from failmodes.warehouse.storage.locations import default_location, find_output, find_results, find_warehouse
from failmodes.warehouse.storage.locks import run_lock

_NAMED = (EVALUATION_NOTES, EXEMPLARS, CLEAN_MAPS)  # tables of files that an evaluation's identity begins the name of
_OWN = (*SHARDED, *_NAMED)
_SHARED = {  # what goes with the last evaluation that names it; the model last, whose label a second call looks for
    "dataset_id": (THUMBNAILS, IMAGES, CLASSES, DATASETS),
    "source_id": (SOURCES,),
    "model_id": (MODELS,),
}
_IDENTITIES = {"evaluation_id", "other_evaluation_id", "evaluation_id_a", "evaluation_id_b"}


class Place(NamedTuple):
    """Where evaluations are kept.

    Attributes:
        results: the folder that holds results; None without.
        warehouse: the DuckDB file; None without.
        output: the local folder whose lock a run holds; None of results that are named by their URL.
    """

    results: "StorePath | None"
    warehouse: Path | None
    output: Path | None


class StoredEvaluation(NamedTuple):
    """An evaluation that results, a warehouse or both hold.

    Attributes:
        facts: its row of `evaluation_labels`, with `evaluated_at` (UTC, the last cell); null where nothing says.
        cell_count: cells with predictions.
        file_count: files of the results that are its own.
        size_bytes: of these.
        in_results: whether the results hold it.
        in_warehouse: whether the warehouse does.
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
        """The model's name on charts; None where an interrupted removal has left none."""
        return self.facts["model_label"]

    @property
    def images(self) -> tuple[str, str]:
        """What evaluations of the same images share: dataset and subset."""
        return self.facts["dataset_id"], self.facts["subset_id"]


def find_place(where: str | Path | None) -> Place:
    """The results and the warehouse that a location means (see `find_warehouse`), or the URL of results.

    Raises:
        StudyError: the location is none of these; neither is there, or not the warehouse that is named.
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
        raise StudyError(f"{where} {state}: there is nothing to remove from")
    return found


def stored_evaluations(place: Place) -> list[StoredEvaluation]:
    """Every evaluation that results or warehouse hold.

    Raises:
        DamagedShardError, StorageError, WarehouseError: they cannot be read.
    """
    in_results = {} if place.results is None else _of_results(place.results)
    in_warehouse = {} if place.warehouse is None else _of_warehouse(place.warehouse)
    found = []
    for key in sorted(in_results | in_warehouse):
        own, loaded = in_results.get(key), in_warehouse.get(key)
        if own and loaded:  # of a removal that was interrupted the results no longer say all
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
    """Remove evaluations from results and warehouse, with what is derived from them and what no other one names.

    Args:
        place: where they are.
        identities: the evaluations.
        derivation: what is derived from the facts that stay; None leaves it as it is.
        metrics: the user's own, which claims may name.

    Raises:
        WarehouseError: a run evaluates into the folder, or another process writes the warehouse.
        DamagedShardError: a row that says what other evaluations need cannot be read.
        StorageError: a file cannot be removed, or the new warehouse cannot be written.
    """
    with nullcontext() if place.results is None or place.output is None else run_lock(place.output):
        loaded = set() if place.warehouse is None else _of_warehouse(place.warehouse).keys()
        if place.warehouse is None or loaded.isdisjoint(identities):
            _remove_files(place.results, identities)
            return
        with changed_database(place.warehouse) as con:
            _delete_rows(con, list(identities))
            if derivation is not None:
                derivation.store(con, metrics)
            _remove_files(place.results, identities)


def _of_results(results: StorePath) -> dict[str, StoredEvaluation]:
    rows = {table: _rows_by_key(results, table) for table in (EVALUATIONS, MODELS, DATASETS, SOURCES)}
    found = {}
    for key, evaluation in rows[EVALUATIONS].items():
        evaluation["evaluation_id"] = key  # never what a row says: folders are removed by it
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
    """Rows of a dimension of one row a file, by the name of the file."""
    files = list_results_files(results, table)
    return {path.stem: row for path in files for row in read_rows(path, table).to_pylist()}


def _files_of(results: StorePath, evaluation_id: str) -> list[tuple[Table, StorePath]]:
    """The files that an evaluation shares with no other, but for shards that are not published."""
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
    """Files of a dimension that are named by an identity, alone or with more behind a hyphen."""
    return [path for path in list_results_files(results, table) if path.stem.partition("-")[0] in identities]


def _remove_files(results: "StorePath | None", identities: Collection[str]) -> None:
    """Remove the files of evaluations; those of a dataset, source or model go with the last one that names it."""
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
    """The same in the warehouse, whose other evaluations may come from other folders."""
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
    """Let the next load take such files for new."""
    con.execute(
        f"delete from {LOADED_DIMENSIONS.name} where table_name = any($1) and split_part(file_key, '-', 1) = any($2)",
        [[table.name for table in tables], identities],
    )
