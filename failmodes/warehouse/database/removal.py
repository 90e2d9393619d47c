"""Remove evaluations: their files from the results, their rows and derived rows from the warehouse.

The new warehouse is complete before the first file is removed, and replaces the old one after the last. So a process
that is killed in between leaves evaluations in both or only in the warehouse, never only in the results, from where the
next load would restore them. An evaluation's own row is the last of its files: the same call completes a killed one.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

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
from failmodes.warehouse.database.connection import LOCKED, open_warehouse
from failmodes.warehouse.database.subset import subset
from failmodes.warehouse.database.tables import create_statement, insert_rows
from failmodes.warehouse.database.updates import Derivation, writer_lock
from failmodes.warehouse.database.views import view_definitions
from failmodes.warehouse.database_schema import SHARDS
from failmodes.warehouse.metrics.metric import Metric
from failmodes.warehouse.schema import (
    CLEAN_MAPS,
    DATASETS,
    EVALUATION_NOTES,
    EVALUATIONS,
    EXEMPLARS,
    LEVELS,
    MODELS,
    OF_DATASETS,
    PREDICTION_FACTS,
    SHARDED,
    SHIFTS,
    SOURCES,
    Table,
    as_moment,
)
from failmodes.warehouse.shards.format import RESULTS_FOLDER, dimension_path, list_results_files, read_footer
from failmodes.warehouse.shards.inventory import has_results, read_rows

_NAMED = (EVALUATION_NOTES, EXEMPLARS, CLEAN_MAPS, SHIFTS)  # file names begin with an evaluation's identity
_SHARED = {  # removed with the last evaluation that names them; the model last, whose label a second call needs
    "dataset_id": OF_DATASETS,
    "source_id": (LEVELS, SOURCES),
    "model_id": (MODELS,),
}

_EVALUATIONS = """
select evaluation_labels.*, cells.* exclude (evaluation_id)
from evaluation_labels
left join (
    select
        evaluation_id,
        max(created_utc) as evaluated_at,
        count(*) filter (table_name = 'prediction_facts') as cell_count
    from shards
    group by evaluation_id
) as cells using (evaluation_id)
order by evaluation_id
"""

_SHIFTS_OF = """
with labeled as (
    select evaluation_id, model_id, source_kind is not distinct from 'none' as is_shift
    from evaluations left join sources using (source_id)
)
select evaluation_id from labeled
where
    is_shift
    and model_id in (select model_id from labeled where evaluation_id = any($1))
    and model_id not in (select model_id from labeled where not is_shift and evaluation_id <> all($1))
union
select evaluation_id from shifts where clean_evaluation_id = any($1)
"""


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
    results = find_results(where)
    stored = results if has_results(results) else None
    if isinstance(where, str) and is_url(where):
        place = Place(stored, None, None)
    else:
        where = Path(where) if where else default_location()
        warehouse = find_warehouse(where)
        place = Place(stored, warehouse if warehouse.exists() else None, find_output(where))
        if warehouse == where and place.warehouse is None:
            raise StudyError(f"{where} does not exist: nothing can be removed")
    if place.results is None and place.warehouse is None:
        raise StudyError(f"{where} holds neither results nor a warehouse: nothing can be removed")
    return place


def stored_evaluations(place: Place) -> list[StoredEvaluation]:
    """Every evaluation in results or warehouse.

    Raises:
        DamagedShardError, StorageError, WarehouseError: they cannot be read.
    """
    evaluations = {} if place.results is None else _of_results(place.results)
    for key, loaded in ({} if place.warehouse is None else _of_warehouse(place.warehouse)).items():
        if stored := evaluations.get(key):  # after an interrupted removal the results are incomplete
            facts = stored.facts | {name: value for name, value in loaded.facts.items() if value is not None}
            cell_count = max(stored.cell_count, loaded.cell_count)
            loaded = stored._replace(facts=facts, cell_count=cell_count, in_warehouse=True)
        evaluations[key] = loaded
    return [evaluations[key] for key in sorted(evaluations)]


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
        derivation: recomputes derived tables; None leaves those empty that may name what is removed.
        metrics: the user's own, which claims may name.

    Raises:
        WarehouseError: a run evaluates into the folder, or another process writes the warehouse.
        DamagedShardError: a row that other evaluations need cannot be read.
        StorageError: a file cannot be removed, or the new warehouse cannot be written.
    """
    with nullcontext() if place.results is None or place.output is None else run_lock(place.output):
        if place.warehouse is None or _of_warehouse(place.warehouse).keys().isdisjoint(identities):
            _remove_files(place.results, identities)
            return
        warehouse = place.warehouse.resolve()  # the target of a link is replaced, not the link
        with writer_lock(warehouse):
            with open_warehouse(warehouse, ["evaluations", "sources", "shifts"]) as con:
                stored = {key for (key,) in con.execute("select evaluation_id from evaluations").fetchall()}
                kept = stored.difference(identities, _shifts_of(con, identities))
            with subset(warehouse, warehouse, kept, derivation=derivation, metrics=metrics):
                _remove_files(place.results, identities)


def _of_results(results: StorePath) -> dict[str, StoredEvaluation]:
    with _results_as_tables(results) as con:
        keys = [key for (key,) in con.execute("select evaluation_id from evaluation_labels").fetchall()]
        files = {key: _files_of(results, key) for key in keys}
        for key in keys:
            for path in (path for table, path in files[key] if table is PREDICTION_FACTS):
                created = datetime.fromisoformat(read_footer(path)["facts"]["created_at"])
                row = [PREDICTION_FACTS.name, key, as_moment(created)]
                con.execute("insert into shards (table_name, evaluation_id, created_utc) values (?, ?, ?)", row)
        return {
            key: stored._replace(
                file_count=len(files[key]), size_bytes=sum(size_of(path) for _, path in files[key]), in_results=True
            )
            for key, stored in _read_evaluations(con).items()
        }


def _of_warehouse(warehouse: Path) -> dict[str, StoredEvaluation]:
    with open_warehouse(warehouse, ["evaluation_labels", "shards"]) as con:
        return {key: stored._replace(in_warehouse=True) for key, stored in _read_evaluations(con).items()}


@contextmanager
def _results_as_tables(results: StorePath) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory with the dimensions of evaluations in results, so that the SQL for warehouses reads both."""
    with duckdb.connect(config=LOCKED) as con:
        con.execute(create_statement(SHARDS))
        for table in (EVALUATIONS, MODELS, DATASETS, SOURCES, SHIFTS):
            con.execute(create_statement(table))
            for path in list_results_files(results, table):
                rows = read_rows(path, table)
                if table is EVALUATIONS:  # by the file's name, never from a row: folders are removed by it
                    place = rows.schema.get_field_index("evaluation_id")
                    rows = rows.set_column(place, "evaluation_id", pa.array([path.stem] * rows.num_rows, pa.string()))
                insert_rows(con, table, rows)
        con.execute(f"create view evaluation_labels as {view_definitions()['evaluation_labels']}")
        yield con


def _read_evaluations(con: duckdb.DuckDBPyConnection) -> dict[str, StoredEvaluation]:
    relation = con.sql(_EVALUATIONS)
    rows = [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]
    return {row["evaluation_id"]: StoredEvaluation(row, row.pop("cell_count") or 0) for row in rows}


def _shifts_of(con: duckdb.DuckDBPyConnection, identities: Collection[str]) -> list[str]:
    """Evaluations of natural shifts that are removed with some evaluations."""
    return [key for (key,) in con.execute(_SHIFTS_OF, [list(identities)]).fetchall()]


def _files_of(results: StorePath, evaluation_id: str) -> list[tuple[Table, StorePath]]:
    """The published files of an evaluation that no other one uses."""
    files = [
        (table, path)
        for table in SHARDED
        for path in list_published(_folder(results, table, evaluation_id), ".parquet")
    ]
    files += [(table, path) for table in _NAMED for path in _named(results, table, {evaluation_id})]
    return [*files, (EVALUATIONS, dimension_path(results, EVALUATIONS, evaluation_id))]


def _folder(results: StorePath, table: Table, evaluation_id: str) -> StorePath:
    return results / RESULTS_FOLDER / table.name / f"evaluation_id={evaluation_id}"


def _named(results: StorePath, table: Table, identities: Collection[str]) -> list[StorePath]:
    """Files of a dimension named by an identity, or by one with a suffix after a hyphen."""
    return [path for path in list_results_files(results, table) if path.stem.partition("-")[0] in identities]


def _remove_files(results: "StorePath | None", identities: Collection[str]) -> None:
    """Remove the files of evaluations and of their shifts; those of a dataset, source or model with the last one."""
    if results is None:
        return
    with _results_as_tables(results) as con:
        for evaluation_ids in (_shifts_of(con, identities), identities):  # shifts first: only the others are listed
            _remove_files_of(results, con, evaluation_ids)
            con.execute("delete from evaluations where evaluation_id = any($1)", [list(evaluation_ids)])


def _remove_files_of(results: StorePath, con: duckdb.DuckDBPyConnection, identities: Collection[str]) -> None:
    stored = con.execute("select evaluation_id from evaluations where evaluation_id = any($1)", [list(identities)])
    for (key,) in stored.fetchall():
        for table in SHARDED:
            delete_folder(_folder(results, table, key))
    removed = [(table, identities) for table in _NAMED]
    for column, tables in _SHARED.items():
        of = f"select {column} from evaluations where evaluation_id"
        unused = con.execute(f"{of} = any($1) except {of} <> all($1)", [list(identities)]).fetchall()
        removed += [(table, [name for (name,) in unused]) for table in tables]
    for table, names in (*removed, (EVALUATIONS, identities)):
        for path in _named(results, table, names):
            delete(path)
