"""Stored measures kept current by a load: of each evaluation whose rows or whose definitions have changed.

Beside the measures stands what they were made from, an evaluation and table at a time: a hash of the shards, and one of
the definition. Where both are those of now nothing is computed. A changed shard redoes its evaluation, whose curves it
may change as a whole, and its pairs. An evaluation that is loaded whole is measured from the rows at hand; one that is
loaded in part, from the rows in the database. What NumPy cannot tell as the SQL would (cells of different images, or
images that repeat) is computed by the SQL.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from typing import Any, NamedTuple, Self

import duckdb
import numpy as np
import pyarrow as pa

from failmodes.warehouse.database.own_tables import COMPUTED
from failmodes.warehouse.database.relations import definition_hash
from failmodes.warehouse.database.stored_pairs import replace_pairs
from failmodes.warehouse.database.tables import insert_by_definition, insert_rows, upsert
from failmodes.warehouse.errors import WarehouseError
from failmodes.warehouse.hashing import identity_of
from failmodes.warehouse.measures import tables
from failmodes.warehouse.measures.cells import measure_outcomes
from failmodes.warehouse.measures.columns import Values
from failmodes.warehouse.measures.curves import CellKey
from failmodes.warehouse.measures.evaluation import MeasuredEvaluation
from failmodes.warehouse.schema import ATTENTION, FACTS, PREDICTION_FACTS, Table
from failmodes.warehouse.shards.inventory import FileKey, ResultsFile
from failmodes.warehouse.stages import counted

MOST_IMAGES = 10**8  # of a data set; a mask area of each takes 4 bytes

Key = tuple[str, str]  # table and evaluation


class Inputs(NamedTuple):
    """What the measures of an evaluation are made from: hashes of its shards of each kind, and what it belongs to."""

    predictions: str
    attention: str
    paired: bool
    dataset_id: str

    def hash_of(self, table: Table) -> str:
        """The hash of what one of its tables is made from."""
        return self.attention if table in tables.OF_ATTENTION else self.predictions


class Measuring:
    """Measures evaluations as a load reads them, of those all of whose shards it reads.

    Cells are measured in the threads that read them, what spans cells in one of its own, so that DuckDB waits for
    neither; when its `with` ends, all is measured.

    Args:
        con: a connection that has the dimensions.
        files: the files of the record that the load reads.
        loaded: keys of the shards that the warehouse holds.
    """

    def __init__(
        self, con: duckdb.DuckDBPyConnection, files: Sequence[ResultsFile], loaded: Collection[FileKey]
    ) -> None:
        reads = {file.key for file in files if file.table in FACTS}
        kept = {key[1] for key in loaded if len(key) > 2 and key not in reads}
        datasets = dict(con.execute("select evaluation_id, dataset_id from evaluations").fetchall())
        areas = {dataset_id: mask_areas_of(con, dataset_id) for dataset_id in set(datasets.values())}
        self.evaluations = {
            evaluation_id: MeasuredEvaluation(evaluation_id, areas.get(datasets.get(evaluation_id, "")))
            for evaluation_id in sorted({key[1] for key in reads} - kept)
        }
        self._results: dict[FileKey, Any] = {}
        self._finishing = ThreadPoolExecutor(1)
        self._finished: dict[Key, Future[None]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: object, *_: object) -> None:
        self._finishing.shutdown(cancel_futures=error is not None)
        for finished in self._finished.values() if error is None else ():
            finished.result()

    def measure(self, file: ResultsFile, rows: pa.Table) -> None:
        """Measure one shard; in any thread."""
        evaluation = self.evaluations.get(file.key[1])
        if evaluation is None or not rows.num_rows:
            return
        if file.table is PREDICTION_FACTS:
            self._results[file.key] = measure_outcomes(rows)
        else:
            if outcomes := self._finished.get((PREDICTION_FACTS.name, evaluation.evaluation_id)):
                outcomes.result()
            self._results[file.key] = evaluation.measure_maps(_cell_of(file), rows)

    def take(self, files: Sequence[ResultsFile], verified: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Take what was measured of each shard, as its rows pass by in order."""
        last: MeasuredEvaluation | None = None
        for file, rows in zip(files, verified, strict=False):  # verified rows end at the first damage
            evaluation = self.evaluations.get(file.key[1])
            result = self._results.pop(file.key, None)
            if last is not evaluation:
                self._finish(last, file.table)
            if evaluation is not None and result is not None:
                if file.table is PREDICTION_FACTS:
                    evaluation.add_outcomes(_cell_of(file), result)
                else:
                    evaluation.add_maps(_cell_of(file), result)
            last = evaluation
            yield rows
        if files:
            self._finish(last, files[0].table)

    def _finish(self, evaluation: MeasuredEvaluation | None, table: Table) -> None:
        if evaluation is not None:
            finished = self._finishing.submit(evaluation.finish, table)
            self._finished[table.name, evaluation.evaluation_id] = finished


def _cell_of(file: ResultsFile) -> CellKey:
    return file.key[2], Decimal(file.key[3])


def update_measures(con: duckdb.DuckDBPyConnection, measured: Mapping[str, MeasuredEvaluation]) -> list[str]:
    """Bring all measures up to date, once the rows and the views are there.

    Args:
        con: a connection that may write.
        measured: evaluations that were measured as they were loaded whole, by identity.

    Returns:
        The evaluations of which something was computed.
    """
    inputs = read_inputs(con)
    due = due_measures(con, inputs)
    for evaluation_id in counted("measuring", sorted({evaluation_id for _, evaluation_id in due})):
        mine = [table for table in tables.MEASURES if (table.name, evaluation_id) in due]
        kept = [table for table in mine if table is not tables.PAIR_CELLS]
        found = measured.get(evaluation_id)
        if found is None and kept:
            found = _measured_from_database(con, evaluation_id, inputs[evaluation_id])
        for table in kept:
            assert found is not None
            _replace(con, table, found, inputs[evaluation_id])
    replace_pairs(con, {evaluation_id for name, evaluation_id in due if name == tables.PAIR_CELLS.name}, inputs.keys())
    _record(con, due, inputs)
    return sorted({evaluation_id for _, evaluation_id in due})


def read_shard_hashes(con: duckdb.DuckDBPyConnection) -> dict[str, dict[str, list[Any]]]:
    """Corruption, severity and content hash of all shards, by evaluation and table, in order."""
    shards: dict[str, dict[str, list[Any]]] = defaultdict(lambda: {PREDICTION_FACTS.name: [], ATTENTION.name: []})
    for evaluation_id, table_name, *shard in con.execute(
        "select evaluation_id, table_name, corruption, severity::varchar, content_hash from shards order by all"
    ).fetchall():
        shards[evaluation_id][table_name].append(shard)
    return shards


def read_inputs(con: duckdb.DuckDBPyConnection) -> dict[str, Inputs]:
    """What the measures of each evaluation that has shards are made from."""
    facts = {
        evaluation_id: row
        for evaluation_id, *row in con.execute(
            "select evaluation_id, paired, dataset_id, source_id, subset_id, loaded_dimensions.content_hash "
            "from evaluations left join loaded_dimensions on table_name = 'images' and file_key = dataset_id"
        ).fetchall()
    }
    found = {}
    for evaluation_id, kinds in read_shard_hashes(con).items():
        paired, dataset_id, source_id, subset_id, images_hash = facts.get(evaluation_id) or [False, "", "", "", None]
        predictions = identity_of([kinds[PREDICTION_FACTS.name], paired, dataset_id, source_id, subset_id])
        attention = identity_of([predictions, kinds[ATTENTION.name], images_hash])
        found[evaluation_id] = Inputs(predictions, attention, paired, dataset_id)
    return found


def due_measures(con: duckdb.DuckDBPyConnection, inputs: Mapping[str, Inputs]) -> set[Key]:
    """Tables and evaluations whose measures are missing, or were made from other rows or by another definition."""
    current = {
        (name, evaluation_id): (definition, input_hash)
        for name, evaluation_id, definition, input_hash in con.execute(
            "select name, evaluation_id, definition, input_hash from computed"
        ).fetchall()
    }
    return {
        (table.name, evaluation_id)
        for evaluation_id, made_from in inputs.items()
        for table in tables.MEASURES
        if current.get((table.name, evaluation_id)) != (definition_hash(table.name), made_from.hash_of(table))
    }


def mask_areas_of(con: duckdb.DuckDBPyConnection, dataset_id: str) -> Values | None:
    """Share of each image that its object mask covers, by image_id; None where no image has a mask."""
    found = con.execute(
        "select image_id, mask_area from images where dataset_id = ? and mask_area is not null", [dataset_id]
    ).fetchnumpy()
    image_ids = np.asarray(found["image_id"], np.int64)
    if not len(image_ids):
        return None
    if image_ids.min() < 0 or image_ids.max() >= MOST_IMAGES:
        raise WarehouseError(
            f"images.image_id goes from {image_ids.min():,} to {image_ids.max():,}, expected 0 to {MOST_IMAGES - 1:,}: "
            "make the warehouse anew with `failmodes load STUDY --rebuild`"
        )
    areas = np.full(int(image_ids[np.argmax(image_ids)]) + 1, np.nan, np.float32)
    areas[image_ids] = found["mask_area"]
    return areas


def _measured_from_database(con: duckdb.DuckDBPyConnection, evaluation_id: str, inputs: Inputs) -> MeasuredEvaluation:
    """The measures of an evaluation whose rows are in the database."""
    found = MeasuredEvaluation(evaluation_id, mask_areas_of(con, inputs.dataset_id))
    cells: dict[str, list[CellKey]] = {PREDICTION_FACTS.name: [], ATTENTION.name: []}
    for table_name, corruption, severity in con.execute(
        "select table_name, corruption, severity from shards where evaluation_id = ? order by severity, corruption",
        [evaluation_id],
    ).fetchall():
        cells[table_name].append((corruption, severity))

    def rows_of(table: Table, cell: CellKey) -> pa.Table:
        return con.sql(
            f"select * exclude (evaluation_id) from {table.name} "
            "where evaluation_id = ? and corruption = ? and severity = ? order by image_id",
            params=[evaluation_id, *cell],
        ).to_arrow_table()

    for cell in cells[PREDICTION_FACTS.name]:
        if (rows := rows_of(PREDICTION_FACTS, cell)).num_rows:
            found.add_outcomes(cell, measure_outcomes(rows))
    found.finish_curves()
    for cell in cells[ATTENTION.name]:
        if (rows := rows_of(ATTENTION, cell)).num_rows:
            found.add_maps(cell, found.measure_maps(cell, rows))
    found.finish_maps()
    return found


def _replace(con: duckdb.DuckDBPyConnection, table: Table, found: MeasuredEvaluation, inputs: Inputs) -> None:
    con.execute(f"delete from {table.name} where evaluation_id = ?", [found.evaluation_id])
    if table in tables.OF_PAIRED and not inputs.paired:
        return
    if table.name in found.by_sql:
        insert_by_definition(con, table, "evaluation_id = ?", [found.evaluation_id])
    else:
        insert_rows(con, table, found.arrow(table))


def _record(con: duckdb.DuckDBPyConnection, due: Collection[Key], inputs: Mapping[str, Inputs]) -> None:
    by_name = {table.name: table for table in tables.MEASURES}
    rows = [
        {
            "name": name,
            "evaluation_id": evaluation_id,
            "definition": definition_hash(name),
            "input_hash": inputs[evaluation_id].hash_of(by_name[name]),
        }
        for name, evaluation_id in sorted(due)
    ]
    upsert(con, COMPUTED, pa.Table.from_pylist(rows, schema=COMPUTED.arrow()))
