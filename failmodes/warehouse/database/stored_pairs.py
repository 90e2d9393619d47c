"""Stored counts of pairs of evaluations, from what each predicted in every cell."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Set
from itertools import combinations, groupby
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from failmodes.warehouse.database.connection import arrow_reader
from failmodes.warehouse.database.tables import insert_rows
from failmodes.warehouse.database_schema import PAIR_CELLS
from failmodes.warehouse.metrics.cell_rows import OTHER, Row, decode_pattern

CellKey = tuple[str, Any]  # corruption and severity
BATCH_ROWS = 100  # predictions of cells in memory at a time


class CellPredictions(NamedTuple):
    """What one evaluation predicted in one cell, by image_id.

    Attributes:
        image_ids_md5: hash of the image_ids.
        correct: (N,) bool.
        predicted: (N,) int16; OTHER for no class of the data set.
    """

    image_ids_md5: str
    correct: NDArray[np.bool_]
    predicted: NDArray[np.int16]


def count_pairs(predictions: Mapping[str, CellPredictions], due: Collection[str]) -> Iterator[Row]:
    """Counts of one cell for every pair of evaluations of which one is due; rows of pair_cells without the cell.

    Args:
        predictions: by evaluation_id.
        due: evaluations whose predictions are new.

    Raises:
        ValueError: two evaluations are of different images.
    """
    names = sorted(predictions)
    if len({predictions[name].image_ids_md5 for name in names}) > 1:
        raise ValueError("the evaluations are not of the same images")
    count = len(predictions[names[0]].correct)
    correct = {name: np.count_nonzero(predictions[name].correct) for name in names}
    has_prediction = {name: predictions[name].predicted != OTHER for name in names}
    for a, b in combinations(names, 2):
        if a not in due and b not in due:
            continue
        one, other = predictions[a], predictions[b]
        both = np.count_nonzero(one.correct & other.correct)
        yield {
            "evaluation_id_a": a,
            "evaluation_id_b": b,
            "image_count": count,
            "both_correct_count": both,
            "only_a_correct_count": correct[a] - both,
            "only_b_correct_count": correct[b] - both,
            "both_incorrect_count": count - correct[a] - correct[b] + both,
            "agree_count": np.count_nonzero((one.predicted == other.predicted) & has_prediction[a]),
        }


def replace_pairs(con: duckdb.DuckDBPyConnection, due: Set[str], evaluations: Collection[str]) -> None:
    """Count again every pair of which one is due, of evaluations of the same images and corrupted pixels.

    Args:
        con: a connection that may write; `cell_predictions` is up to date.
        due: evaluations whose predictions are new.
        evaluations: all that have shards.
    """
    if not due:
        return
    listed = list(due)
    con.execute("delete from pair_cells where evaluation_id_a = any($1) or evaluation_id_b = any($1)", [listed])
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for evaluation_id, *group in con.execute(
        "select evaluation_id, dataset_id, source_id, subset_id from evaluations order by evaluation_id"
    ).fetchall():
        if evaluation_id in evaluations:
            groups[tuple(group)].append(evaluation_id)
    for members in groups.values():
        if len(members) > 1 and not set(members).isdisjoint(due):
            _count_group(con, members, due)


def _count_group(con: duckdb.DuckDBPyConnection, members: list[str], due: Set[str]) -> None:
    rows: list[Row] = []
    others: list[CellKey] = []  # asked once the stream has ended, for a connection has one at a time
    for cell, predictions in _read_predictions(con, members):
        if predictions is None:
            others.append(cell)
        else:
            rows += [{"corruption": cell[0], "severity": cell[1]} | row for row in count_pairs(predictions, due)]
    for cell in others:
        key = {"corruption": cell[0], "severity": cell[1]}
        for pair in combinations(members, 2):  # not of the same images: by their image_id
            if not due.isdisjoint(pair) and (shared := _shared_predictions(con, pair, cell)):
                rows += [key | row for row in count_pairs(shared, due)]
    insert_rows(con, PAIR_CELLS, pa.Table.from_pylist(rows, schema=PAIR_CELLS.arrow()))


def _shared_predictions(
    con: duckdb.DuckDBPyConnection, pair: tuple[str, str], cell: CellKey
) -> dict[str, CellPredictions]:
    """Predictions of two evaluations for the images of a cell that both have; nothing where there is none."""
    found = con.execute(
        "select image_id, one.label, one.predicted, other.predicted as others from prediction_facts as one "
        "inner join prediction_facts as other using (corruption, severity, image_id) "
        "where one.evaluation_id = ? and other.evaluation_id = ? and corruption = ? and severity = ?",
        [*pair, *cell],
    ).fetchnumpy()
    if not len(found["image_id"]):
        return {}
    predicted = (np.ma.filled(found[name], OTHER).astype(np.int16) for name in ("predicted", "others"))
    return {name: CellPredictions("", own == found["label"], own) for name, own in zip(pair, predicted, strict=True)}


def _read_predictions(
    con: duckdb.DuckDBPyConnection, members: list[str]
) -> Iterator[tuple[CellKey, dict[str, CellPredictions] | None]]:
    """Predictions of evaluations, by cell; None where their images differ or repeat.

    It is one question, for DuckDB decodes the predictions of many cells for each that it gives.
    """
    predictions_by_cell = con.sql(
        "select corruption, severity, evaluation_id, row_count = image_count, image_ids_md5, correct_images, "
        "predictions from cell_predictions where evaluation_id = any(?) order by corruption, severity, evaluation_id",
        params=[members],
    )
    rows = (row for batch in arrow_reader(predictions_by_cell, BATCH_ROWS) for row in zip(*batch.columns, strict=True))
    for cell, of_cell in groupby(rows, lambda row: (row[0].as_py(), row[1].as_py())):
        predictions, alike = dict[str, CellPredictions](), True
        for _, _, evaluation_id, is_whole, ids_hash, pattern, given in of_cell:
            predicted = np.asarray(given.values.fill_null(OTHER), dtype=np.int16)
            correct = decode_pattern(pattern.as_py())
            predictions[evaluation_id.as_py()] = CellPredictions(ids_hash.as_py(), correct, predicted)
            alike = alike and is_whole.as_py()
        hashes = {one.image_ids_md5 for one in predictions.values()}
        yield cell, predictions if alike and len(hashes) == 1 else None
