"""Measures of one cell, from the rows of its shards.

Values that are null or NaN take part in no mean and no quantile.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from failmodes.warehouse.measures.calibration import Floats, measure_calibration
from failmodes.warehouse.measures.cell_texts import pattern_of
from failmodes.warehouse.measures.columns import (
    BINS,
    OTHER,
    Row,
    Values,
    bins_of,
    flags,
    mean,
    numbers,
    places_of,
    quantiles,
    whole_numbers,
)
from failmodes.warehouse.measures.ranking import Keys
from failmodes.warehouse.measures.scores import rankings_of_outcomes
from failmodes.warehouse.measures.temperature import CellLogits, read_logits
from failmodes.warehouse.measures.tenths import tenths_of

MOST_COUNTED = 16  # counters an image


class CellOutcomes(NamedTuple):
    """The outcomes of one cell, by image_id, and the rows of its own measures (without the key).

    Attributes:
        image_ids: (N,) int32, rising.
        labels: (N,) int16.
        correct: (N,) bool.
        predicted: (N,) int16; OTHER for no class of the data set.
        outputs: (N,) int32, the prediction among all outputs where these take part, else `predicted`.
        margins: (N,) float32; NaN for none.
        rmse: (N,) float32; NaN for none.
        has_repeats: whether an image has several rows.
        measures: the row of cell_measures.
        bins: rows of cell_confidence_bins.
        calibration: the row of cell_calibration, or none.
        confusion: columns of cell_confusion.
        distortion: the columns of cell_distortion that need no other cell.
        rankings: its images by each score of the logits.
        tenths: (N,) the tenth of the images that each is in by its confidence.
        logits: all logits of its images; None where these are not on record, or were let go of.
    """

    image_ids: NDArray[np.int32]
    labels: NDArray[np.int16]
    correct: NDArray[np.bool_]
    predicted: NDArray[np.int16]
    outputs: NDArray[np.int32]
    margins: Values
    rmse: Values
    has_repeats: bool
    measures: Row
    bins: list[Row]
    calibration: list[Row]
    confusion: dict[str, pa.Array]
    distortion: Row
    rankings: dict[str, Keys]
    tenths: NDArray[np.uint8]
    logits: CellLogits | None

    def predictions(self, image_ids_md5: str) -> dict[str, pa.Array]:
        """Columns of cell_predictions, one row."""
        count = len(self.image_ids)
        predictions = pa.array(self.predicted, pa.int16(), mask=self.predicted == OTHER)
        return {
            "row_count": pa.array([count]),
            "image_count": pa.array([len(np.unique(self.image_ids)) if self.has_repeats else count]),
            "image_ids_md5": pa.array([image_ids_md5]),
            "correct_images": pa.array([pattern_of(self.correct)]),
            "predictions": pa.ListArray.from_arrays(pa.array([0, count], pa.int32()), predictions),
        }


def measure_outcomes(rows: pa.Table) -> CellOutcomes:
    """Measure the predictions of one cell.

    Args:
        rows: the columns of `predictions`, logits may be missing.
    """
    image_ids = whole_numbers(rows, "image_id", np.int32)
    if (image_ids[1:] < image_ids[:-1]).any():
        order = np.argsort(image_ids, kind="stable")
        rows, image_ids = rows.take(pa.array(order)), image_ids[order]
    labels, predicted = whole_numbers(rows, "label", np.int16), whole_numbers(rows, "predicted", np.int16)
    finite, correct = flags(rows, "finite"), predicted == labels
    confidence, rmse, ssim = numbers(rows, "confidence"), numbers(rows, "rmse"), numbers(rows, "ssim")
    loss, logits = numbers(rows, "loss_nats"), read_logits(rows, correct)
    count, correct_count = len(image_ids), int(correct.sum())
    known, rankings = places_of(~np.isnan(confidence)), rankings_of_outcomes(rows, correct, logits)
    exact = confidence[known].astype(np.float64)
    measures = {
        "image_count": count,
        "correct_count": correct_count,
        "accuracy": correct_count / count,
        "mean_confidence": mean(confidence),
        "mean_entropy_nats": mean(numbers(rows, "entropy_nats")),
        "mean_loss_nats": mean(loss),
        "non_finite_count": int((~finite).sum()),
        "mean_rmse": mean(rmse),
        "mean_ssim": mean(ssim),
    }
    return CellOutcomes(
        image_ids=image_ids,
        labels=labels,
        correct=correct,
        predicted=predicted,
        outputs=_outputs(rows, predicted),
        margins=numbers(rows, "margin"),
        rmse=rmse,
        has_repeats=bool((image_ids[1:] == image_ids[:-1]).any()),
        measures=measures,
        bins=_bins(
            exact,
            correct[known],
            numbers(rows, "sum_p2")[known],
            numbers(rows, "label_probability")[known],
            loss[known],
        ),
        calibration=measure_calibration(exact, correct[known], rankings["confidence"][: len(exact)]),
        confusion=_confusion(labels, predicted, finite),
        distortion={
            "image_count": count,
            "mean_rmse": measures["mean_rmse"],
            **quantiles(rmse, {"rmse_q05": 0.05, "rmse_q95": 0.95}),
            "mean_ssim": measures["mean_ssim"],
            **quantiles(ssim, {"ssim_q05": 0.05, "ssim_q95": 0.95}),
        },
        rankings=rankings,
        tenths=tenths_of(confidence, rankings["confidence"]),
        logits=logits,
    )


def _outputs(rows: pa.Table, predicted: NDArray[np.int16]) -> NDArray[np.int32]:
    if rows["predicted_output"].null_count == rows.num_rows:
        return predicted.astype(np.int32)
    outputs = whole_numbers(rows, "predicted_output", np.int32)
    return np.where(outputs == OTHER, predicted, outputs)


def _bins(
    confidence: Floats, correct: NDArray[np.bool_], sum_p2: Values, label_probability: Values, loss: Values
) -> list[Row]:
    index = bins_of(confidence)
    sums = {
        "confidence_sum": np.bincount(index, confidence),
        "brier_sum": np.bincount(index, sum_p2 - 2 * label_probability.astype(np.float64) + 1),
        "loss_nats_sum": np.bincount(index, loss),
    }
    counts, correct_counts = np.bincount(index), np.bincount(index, correct)
    return [
        {
            "bin_count": BINS,
            "bin_index": place,
            "image_count": int(counts[place]),
            "correct_count": int(correct_counts[place]),
            **{name: float(values[place]) for name, values in sums.items()},
        }
        for place in np.flatnonzero(counts).tolist()
    ]


def _confusion(
    labels: NDArray[np.int16], predicted: NDArray[np.int16], finite: NDArray[np.bool_]
) -> dict[str, pa.Array]:
    shifted = predicted.astype(np.int64) + 1  # no class is 0
    base = int(shifted.max()) + 1
    keys = (labels.astype(np.int64) * base + shifted) * 2 + finite
    if int(keys.min()) >= 0 and int(keys.max()) < MOST_COUNTED * len(keys):  # counting is faster than sorting
        counts = np.bincount(keys)
        found = np.flatnonzero(counts)
        counts = counts[found]
    else:
        found, counts = np.unique(keys, return_counts=True)
    prediction = found // 2 % base
    return {
        "label": pa.array(found // 2 // base),
        "predicted": pa.array(prediction - 1, mask=prediction == 0),
        "finite": pa.array(found % 2 == 1),
        "image_count": pa.array(counts),
    }
