"""Differences of two models class by class, with intervals that hold for all classes together."""

from collections.abc import Mapping
from functools import cache, partial

import duckdb
import numpy as np
from numpy.typing import NDArray

from failmodes.analysis.statistics.bootstrap import Float64Array
from failmodes.analysis.statistics.measured_pair import MeasuredPair
from failmodes.analysis.statistics.model_comparison import ClassComparison
from failmodes.analysis.statistics.run_rows import CellKey, RunRows
from failmodes.warehouse.metrics.registry import all_metrics


def class_differences(
    con: duckdb.DuckDBPyConnection, dataset_id: str, pair: MeasuredPair, cells: Mapping[CellKey, float], level: float
) -> list[ClassComparison]:
    """Mean accuracy over cells on the images of each class, the largest loss of the candidate first.

    None where cells are of different images, or the models' data sets differ: then a class is not the same thing.

    Args:
        con: the warehouse that has the names of the classes.
        dataset_id: of the images.
        pair: the second model as candidate, the first as baseline.
        cells: the weight of each cell.
        level: of the intervals, for all classes together.
    """
    assert pair.baseline is not None
    models = (pair.candidate, pair.baseline)
    if not all(model.shares_images for model in models) or models[0].dataset_id != models[1].dataset_id:
        return []
    first = next(iter(cells))
    labels = {id(run): run.rows(first)["label"] for model in models for run in model.runs}
    means = cache(partial(_mean_correct, cells=cells))
    rows = pair.images.rows_b
    own = labels[id(pair.candidate.runs[0])]
    classes, numbers = np.unique(own if rows is None else own[rows], return_counts=True)
    others = labels[id(pair.baseline.runs[0])]
    kept = np.isin(classes, others if pair.images.rows_a is None else others[pair.images.rows_a])
    counts = dict(zip(classes[kept].tolist(), numbers[kept].tolist(), strict=True))
    names = dict(
        con.execute("select class_index, class_name from classes where dataset_id = ?", [dataset_id]).fetchall()
    )
    found = []
    for index, count in counts.items():

        def of_class(run: RunRows, index: int = index) -> NDArray[np.bool_]:
            return np.asarray(labels[id(run)] == index)

        value, a, b = pair.difference_of(all_metrics()["accuracy"], means, of_class)
        interval = value.interval(level, comparisons=len(counts))
        found.append(ClassComparison(index, names.get(index, str(index)), count, a, b, interval))
    return sorted(found, key=lambda one: (one.difference.value, one.class_index))


def _mean_correct(run: RunRows, cells: Mapping[CellKey, float]) -> Float64Array:
    """(N,) how often each image is right, over weighted cells."""
    correct = run.correctness.correct
    found = np.zeros(run.image_count)
    for cell, weight in cells.items():
        found += weight * correct[:, run.places[cell]]
    return found
