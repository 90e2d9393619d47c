"""Images that one of two models gets right and the other wrong: how many, and which change in most cells."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from failmodes.analysis.statistics.measured_pair import MeasuredPair
from failmodes.analysis.statistics.model_comparison import ChangedImage, ChangedImages
from failmodes.analysis.statistics.opened_models import OpenedModel
from failmodes.analysis.statistics.run_rows import CellKey, RunRows
from failmodes.warehouse.metrics.columns import OTHER

MOST_SHOWN = 12
Flags = NDArray[np.bool_]


def changed_images(
    a: OpenedModel, b: OpenedModel, pair: MeasuredPair, cells: Sequence[CellKey]
) -> tuple[ChangedImages, ChangedImages] | tuple[None, None]:
    """Images that are newly wrong, right by the first and wrong by the second, and those that are newly right.

    None where cells are of different images.

    Args:
        a: the first.
        b: the second.
        pair: the second as candidate, the first as baseline; one training run each, on the same images.
        cells: those that are looked at.
    """
    assert pair.baseline is not None
    if not (pair.candidate.shares_images and pair.baseline.shares_images):
        return None, None
    one, other = pair.baseline.runs[0], pair.candidate.runs[0]
    rows_a, rows_b = (
        np.arange(run.image_count) if rows is None else rows
        for run, rows in ((one, pair.images.rows_a), (other, pair.images.rows_b))
    )
    correct_a, correct_b = _correct_of(one, cells)[rows_a], _correct_of(other, cells)[rows_b]
    names = dict(
        a.con.execute(
            "select class_index, class_name from classes where dataset_id = ?", [a.selection.shared["dataset_id"]]
        ).fetchall()
    )

    def described(changed: Flags) -> ChangedImages:
        counts = changed.sum(axis=1)
        shown = np.lexsort((one.image_ids[rows_a], -counts))[:MOST_SHOWN]
        corrupted = [place for place, cell in enumerate(cells) if cell[1]]
        clean = [place for place, cell in enumerate(cells) if not cell[1]]
        return ChangedImages(
            int(changed[:, clean].sum()),
            float(changed[:, corrupted].mean()) if corrupted else 0.0,
            tuple(image(int(place), changed) for place in shown if counts[place]),
        )

    def image(place: int, changed: Flags) -> ChangedImage:
        found = [cells[column] for column in np.flatnonzero(changed[place]).tolist()]
        most = {name: sum(cell[0] == name for cell in found) for name, _ in found}
        mildest = min(found, key=lambda cell: (cell[1], -most[cell[0]], cell[0]))
        label = int(one.rows(mildest)["label"][rows_a[place]])
        predictions = (
            int(run.rows(mildest)["predicted"][rows[place]]) for run, rows in ((one, rows_a), (other, rows_b))
        )
        predicted = [
            None if prediction == OTHER else names.get(prediction, str(prediction)) for prediction in predictions
        ]
        image_id = int(one.image_ids[rows_a[place]])
        return ChangedImage(image_id, label, names.get(label, str(label)), len(found), *mildest, *predicted)

    return described(correct_a & ~correct_b), described(correct_b & ~correct_a)


def _correct_of(run: RunRows, cells: Sequence[CellKey]) -> Flags:
    found: Flags = run.correctness.correct[:, [run.places[cell] for cell in cells]]
    return found
