"""Measures of pairs of evaluations: on which images of a cell each is right, and how often they predict the same."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.warehouse.measures.columns import OTHER, Row


class CellAnswers(NamedTuple):
    """What one evaluation answered in one cell, by image_id.

    Attributes:
        image_ids_md5: hash of the image_ids.
        correct: (N,) bool.
        predicted: (N,) int16; OTHER for no class of the data set.
    """

    image_ids_md5: str
    correct: NDArray[np.bool_]
    predicted: NDArray[np.int16]


def count_pairs(answers: Mapping[str, CellAnswers], due: Sequence[str]) -> Iterator[Row]:
    """Counts of one cell for every pair of evaluations of which one is due; rows of pair_cells without the cell.

    Args:
        answers: by evaluation_id.
        due: evaluations whose answers are new.

    Raises:
        ValueError: two evaluations answered for different images.
    """
    names = sorted(answers)
    if len({answers[name].image_ids_md5 for name in names}) > 1:
        raise ValueError("the evaluations are not of the same images")
    right = np.stack([answers[name].correct for name in names]).astype(np.float32)  # whole numbers up to 2^24
    both = (right @ right.T).astype(np.int64)
    counts = right.sum(axis=1).astype(np.int64)
    for (i, a), (j, b) in combinations(enumerate(names), 2):
        if a not in due and b not in due:
            continue
        predicted_a, predicted_b = answers[a].predicted, answers[b].predicted
        yield {
            "evaluation_id_a": a,
            "evaluation_id_b": b,
            "image_count": right.shape[1],
            "both_right_count": int(both[i, j]),
            "only_a_right_count": int(counts[i] - both[i, j]),
            "only_b_right_count": int(counts[j] - both[i, j]),
            "both_wrong_count": int(right.shape[1] - counts[i] - counts[j] + both[i, j]),
            "agree_count": int(((predicted_a == predicted_b) & (predicted_a != OTHER)).sum()),
        }
