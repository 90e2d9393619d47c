"""Stored counts of pairs of evaluations: on which images of a cell each is correct, how often they predict the same."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Set
from itertools import combinations, groupby
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from failmodes.warehouse.database.connection import arrow_reader
from failmodes.warehouse.database.tables import insert_rows, keyed_rows
from failmodes.warehouse.database_schema import PAIR_CELLS
from failmodes.warehouse.metrics.cell_rows import OTHER, decode_pattern

CellKey = tuple[str, Any]  # corruption and severity
BATCH_ROWS = 100  # predictions of cells in memory at a time


class CellPredictions(NamedTuple):
    """What one evaluation predicted in one cell, by image_id.

    Attributes:
        correct: (N,) bool.
        predicted: (N,) int16; OTHER for no class of the data set.
    """

    correct: NDArray[np.bool_]
    predicted: NDArray[np.int16]


def replace_pairs(con: duckdb.DuckDBPyConnection, due: Set[str], evaluations: Collection[str]) -> None:
    """Count again every pair of which one is due, of evaluations of the same images and corrupted pixels.

    Args:
        con: a connection that may write; `cell_predictions` is up to date.
        due: evaluations whose predictions are new.
        evaluations: all that have shards.
    """
    if not due:
        return
    con.execute("delete from pair_cells where evaluation_id_a = any($1) or evaluation_id_b = any($1)", [list(due)])
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for evaluation_id, *group in con.execute(
        "select evaluation_id, dataset_id, source_id, subset_id from evaluations order by evaluation_id"
    ).fetchall():
        if evaluation_id in evaluations:
            groups[tuple(group)].append(evaluation_id)
    for members in groups.values():
        if len(members) > 1 and not due.isdisjoint(members):
            _count_group(con, members, due)


def _count_group(con: duckdb.DuckDBPyConnection, members: list[str], due: Set[str]) -> None:
    counted: list[pa.Table] = []
    others: list[CellKey] = []  # asked once the stream has ended, for a connection has one at a time
    for cell, predictions in _read_predictions(con, members):
        if predictions is None:
            others.append(cell)
        else:
            counted.append(_pairs_of_cell(cell, predictions, due))
    for cell in others:
        for pair in combinations(members, 2):  # not of the same images: by their image_id
            if not due.isdisjoint(pair) and (shared := _shared_predictions(con, pair, cell)):
                counted.append(_pairs_of_cell(cell, shared, due))
    if counted:
        insert_rows(con, PAIR_CELLS, pa.concat_tables(counted))


def _pairs_of_cell(cell: CellKey, predictions: Mapping[str, CellPredictions], due: Set[str]) -> pa.Table:
    """Rows of pair_cells of one cell, for every pair of evaluations of the same images of which one is due."""
    pairs = [pair for pair in combinations(sorted(predictions), 2) if not due.isdisjoint(pair)]
    names = ("image_count", "both_correct_count", "only_a_correct_count", "only_b_correct_count",
             "both_incorrect_count", "agree_count")  # fmt: skip
    counts = np.array([_counts(predictions[a], predictions[b]) for a, b in pairs], np.int64).reshape(-1, len(names))
    columns = {"evaluation_id_a": [a for a, _ in pairs], "evaluation_id_b": [b for _, b in pairs]}
    key = {"corruption": cell[0], "severity": cell[1]}
    return keyed_rows(PAIR_CELLS, key, columns | dict(zip(names, counts.T, strict=True)))


def _counts(one: CellPredictions, other: CellPredictions) -> tuple[int | np.integer[Any], ...]:
    count, a, b = len(one.correct), np.count_nonzero(one.correct), np.count_nonzero(other.correct)
    both = np.count_nonzero(one.correct & other.correct)
    agree = np.count_nonzero((one.predicted == other.predicted) & (one.predicted != OTHER))
    return count, both, a - both, b - both, count - a - b + both, agree


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
    return {name: CellPredictions(own == found["label"], own) for name, own in zip(pair, predicted, strict=True)}


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
        predictions, images = dict[str, CellPredictions](), set()
        for _, _, evaluation_id, is_whole, ids_hash, pattern, given in of_cell:
            predicted = np.asarray(given.values.fill_null(OTHER), dtype=np.int16)
            predictions[evaluation_id.as_py()] = CellPredictions(decode_pattern(pattern.as_py()), predicted)
            images.add((ids_hash.as_py(), is_whole.as_py()))
        yield cell, predictions if len(images) == 1 and all(is_whole for _, is_whole in images) else None
