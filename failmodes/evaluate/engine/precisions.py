"""A lower precision beside float32, on clean images: the predictions that it changes, and the time that it takes.

A run in bfloat16 or float16 says what that changes. A long run in float32 is offered bfloat16, in one line, where the
device computes in it natively, it is faster and it changes few predictions.
"""

import dataclasses
import time
from statistics import median
from typing import NamedTuple

import numpy as np

from failmodes.evaluate.devices import runs_bfloat16
from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.models.model import Model

COMPARED_IMAGES = 512  # clean images that go through the model at both precisions
OFFER_SHARE = 0.02  # of the images of a run that comparing may cost
MOST_CHANGED, MOST_TIME = 0.005, 0.9  # beyond these a lower precision is not offered


class PrecisionComparison(NamedTuple):
    """A model at a lower precision, beside float32.

    Attributes:
        image_count: clean images that were compared.
        changed: share of them whose predicted class is another, 0–1.
        time_share: seconds of a forward pass at the lower precision, of those in float32; the median over batches, the
            first left out. None of a single batch.
    """

    image_count: int
    changed: float
    time_share: float | None


def compare_precisions(evaluation: Evaluation, batch_size: int) -> PrecisionComparison:
    """Put up to COMPARED_IMAGES clean images through a model at its lower precision and in float32.

    Args:
        evaluation: its model and clean images; of a model in float32 the lower precision is bfloat16.
        batch_size: images at once at the lower precision; both take half, since float32's numbers are twice as long.
    """
    at_once = max(1, batch_size // 2)
    prepared = evaluation.model
    lower = prepared if prepared.precision != "float32" else dataclasses.replace(prepared, precision="bfloat16")
    full = dataclasses.replace(prepared, precision="float32")
    ids = evaluation.data.subset.clean_ids[:COMPARED_IMAGES]
    changed, shares = 0, []
    for start in range(0, len(ids), at_once):
        images = evaluation.data.dataset.images[ids[start : start + at_once]]
        predictions, seconds = zip(*(_timed_predictions(one, images) for one in (lower, full)), strict=True)
        changed += int((predictions[0] != predictions[1]).sum())
        shares.append(seconds[0] / seconds[1])
    return PrecisionComparison(len(ids), changed / len(ids), median(shares[1:]) if len(shares) > 1 else None)


def offer_bfloat16(evaluation: Evaluation, batch_size: int, images_to_run: int) -> str | None:
    """What `precision = "bfloat16"` would gain, in one line; None where it is not to be offered.

    Args:
        evaluation: a model in float32, which gives the same in each pass.
        batch_size: images at once.
        images_to_run: images of its run, of which comparing may take OFFER_SHARE.
    """
    if evaluation.model.precision != "float32" or not runs_bfloat16(evaluation.model.device):
        return None
    if OFFER_SHARE * images_to_run < 2 * COMPARED_IMAGES or not evaluation.model.spec.deterministic:
        return None  # a model that draws random numbers would draw others from here on
    try:
        found = compare_precisions(evaluation, batch_size)
    except Exception:  # whatever a user's model raises at a precision that nobody asked of it
        return None
    if found.time_share is None or found.time_share > MOST_TIME or found.changed >= MOST_CHANGED:
        return None
    return (
        f'{evaluation.model.label}: with `precision = "bfloat16"` in [evaluation] a forward pass takes '
        f"{found.time_share:.0%} of the time here, and {found.changed:.1%} of {found.image_count} clean predictions "
        "change"
    )


def _timed_predictions(prepared: Model, images: np.ndarray) -> tuple[np.ndarray, float]:
    """(N,) predicted classes, and the seconds that they took."""
    started = time.perf_counter()
    predictions = prepared.predict(images).argmax(1).cpu().numpy()
    return predictions, time.perf_counter() - started
