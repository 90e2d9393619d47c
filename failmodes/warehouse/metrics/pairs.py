"""Pairs of evaluations: on which images of a cell each is correct, and how often they predict the same."""

from collections.abc import Collection, Iterator, Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.warehouse.metrics.columns import OTHER, Row


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
