"""Notes on an evaluation: its assumptions and likely mistakes, one line each, with the option that fixes it.

Images and models are checked before the first batch, and predictions after the clean images, which are evaluated first.
Notes are stored with the evaluation, so that a second call, the report and `failmodes status` show them too.
"""

import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.evaluation_data import EvaluationData
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.models.preprocessing import UNIT_RANGE
from failmodes.evaluate.models.trial import NEAR_0, NEAR_1
from failmodes.evaluate.notes import Note
from failmodes.runtime.errors import EvaluationWarning
from failmodes.runtime.storage.files import StorePath
from failmodes.warehouse.metrics.accuracy import accuracy
from failmodes.warehouse.metrics.cell_rows import OTHER, Array, CellRows, column_of
from failmodes.warehouse.metrics.class_order import far_better_order
from failmodes.warehouse.schema import CLEAN, PREDICTION_FACTS
from failmodes.warehouse.shards.format import (
    Cell,
    ShardKey,
    read_footer,
    shard_path,
)

CHECKED_IMAGES = 512  # images whose pixels are checked before a run
NARROW = 64  # gray levels, a quarter of the range: images with a smaller range were probably scaled by mistake
MAX_COPIES = 0.05  # share of duplicate images above which they are unlikely to belong to the dataset
FAR = 2.0  # standard deviations between the mean of the normalization and the mean pixel, in each channel
FEWEST_IMAGES = 10  # for which shares of predictions are meaningful
ONE_CLASS, MAX_OF_CLASS = 0.99, 0.9  # share of predictions of one class, and share of labels that would explain it
LOW_CONFIDENCE = 0.5  # accuracy − confidence of outputs in -1 to 1 above which they may be unscaled cosine similarities
SHOWN = 4  # reordered classes listed by name
SMALLEST_LOGIT = "smallest_logit"
NOT_FINITE_ROWS = "not_finite_rows"  # fact of a shard


def clean_rows(batches: Sequence[pa.RecordBatch], smallest_logits: Array) -> CellRows:
    """The stored rows of the clean cell, of which metrics are computed, with the (N,) smallest logit of each image."""
    table = pa.Table.from_batches(batches)
    return CellRows(CLEAN, 0.0, len(table), partial(column_of, table), {SMALLEST_LOGIT: smallest_logits})


def settings_notes(evaluations: Sequence[Evaluation]) -> list[list[Note]]:
    """Notes before the first batch, for each evaluation of the same clean images.

    Those about the images come first, then warnings about the model, then its assumptions.
    """
    data = evaluations[0].data
    if data.shift is not None:  # its models are those of the study, whose notes say the rest
        warnings_of_images = image_warnings(data, _sample(data)) if data.is_shifted else ()
        of_shift = [note._replace(text=f"shift {data.shift.label}: {note.text}") for note in warnings_of_images]
        of_shift[:0] = [Note("shift", data.shift.describe(), level="note")] * data.is_shifted
        return [of_shift for _ in evaluations]
    pixels = _sample(data)
    of_images = [
        *image_warnings(data, pixels),
        *(
            Note(source_note.topic, source_note.text, level="warning" if source_note.is_warning else "note")
            for source_note in data.source.notes
        ),
    ]
    return [
        [
            *of_images,
            *model_warnings(evaluation.model, pixels),
            *(Note(topic, text, evaluation.model.label, "note") for topic, text in evaluation.assumptions().items()),
        ]
        for evaluation in evaluations
    ]


def _sample(data: EvaluationData) -> NDArray[np.uint8]:
    """At most CHECKED_IMAGES of the evaluated images (n, H, W, 3), evenly spaced."""
    ids = data.subset.clean_ids
    places = np.linspace(0, len(ids) - 1, min(CHECKED_IMAGES, len(ids))).astype(int)
    return np.asarray(data.dataset.images[ids[places]])


def image_warnings(data: EvaluationData, pixels: NDArray[np.uint8]) -> Iterator[Note]:
    """Warnings about images: pixels within a fraction of the range, skipped images and duplicates.

    Args:
        data: the images.
        pixels: (n, H, W, 3), a sample of them.
    """
    least, greatest = int(pixels.min()), int(pixels.max())
    if greatest < NARROW:
        scaled = ", as if they had been divided by 255" if greatest <= 1 else ""
        yield Note("pixel_range", f"no pixel of {len(pixels):,} images is above {greatest} of 255{scaled}: {_RESCALE}")
    elif greatest - least < NARROW:
        yield Note("pixel_range", f"all pixels of {len(pixels):,} images are {least} to {greatest} of 255: {_RESCALE}")
    if data.dataset.left_out:
        yield Note("left_out", data.dataset.left_out)
    hashes = data.dataset.pixel_hashes[data.subset.clean_ids]
    copies = len(hashes) - len(np.unique(hashes))
    if copies > MAX_COPIES * len(hashes):
        yield Note(
            "repeated_images",
            f"{copies:,} of {len(hashes):,} images are exact duplicates: intervals and findings count each image "
            "once; remove the duplicates, or check that the dataset does not return the same image twice",
        )


_RESCALE = (
    "corruptions and normalization expect values from 0 to 255; rescale the images to 8 bits before evaluating them"
)


def model_warnings(model: Model, pixels: NDArray[np.uint8]) -> Iterator[Note]:
    """Warnings about the input of a model, given some images (n, H, W, 3)."""
    preprocessing = model.preprocessing
    label = model.label
    if preprocessing.is_assumed:
        yield Note(
            "normalization",
            'no normalization was given, so the model gets values in [0, 1]: set normalization="imagenet", another '
            'name or (mean, std) if it was trained with one, "none" if not',
            label,
        )
    elif preprocessing.normalization not in (None, UNIT_RANGE):
        mean = pixels.mean((0, 1, 2)) / 255
        nearest = np.abs((mean - preprocessing.normalization.mean) / np.asarray(preprocessing.normalization.std)).min()
        if nearest > FAR:
            yield Note(
                "mean_pixel",
                f"the mean pixel, {'/'.join(f'{value:.2f}' for value in mean)}, is {nearest:.1f} or more standard "
                "deviations from the mean of the normalization: check that `normalization` is the one used in "
                "training, and that the images are not inverted",
                label,
            )
    height, width = pixels.shape[1:3]
    side = preprocessing.input_side_px
    if side is not None and height != width and not preprocessing.description:
        yield Note(
            "aspect_ratio",
            f"images of {width}×{height} px are squashed to {side}×{side} for the model: set `image_size` (and "
            "`resize`) to crop them to squares instead",
            label,
        )
    if preprocessing.crops and (side is None or min(height, width) <= side):  # a library crops larger images on purpose
        fix = (
            "remove Resize and CenterCrop from it, or pass uncropped images"
            if side is None
            else f"set `input_side_px = {side}` to resize them without a crop, or use larger images"
        )
        yield Note(
            "cropping",
            f"{preprocessing.description} crops: the model does not see the border of images of {width}×{height} px; "
            f"{fix}",
            label,
        )


def clean_notes(evaluation: Evaluation, rows: CellRows) -> list[Note]:
    """Notes after the clean images: the accuracy of the model with its class protocol, and warnings.

    Mismatched outputs or images give wrong numbers that look plausible. Of a shift, the order of its classes and
    logits that are not finite are checked: under a shift, accuracy below chance may be what is measured.

    Args:
        evaluation: the evaluation.
        rows: from `clean_rows`.
    """
    shift = evaluation.data.shift
    not_finite = _not_finite(evaluation, int((~rows["finite"]).sum()), len(rows), "clean")
    if shift is not None:
        warnings_of_shift = (
            [*not_finite, *_order_warnings(evaluation, rows)] if evaluation.data.is_shifted else not_finite
        )
        return [note._replace(text=f"shift {shift.label}: {note.text}") for note in warnings_of_shift]
    return [
        *_accuracy_notes(evaluation, rows),
        *not_finite,
        *_class_warnings(evaluation, rows),
        *_output_warnings(evaluation, rows),
    ]


def corrupted_notes(output: StorePath, evaluation: Evaluation, cells: Iterable[Cell]) -> list[Note]:
    """Notes after the corrupted images, from the footers of their published cells."""
    keys = [ShardKey(evaluation.evaluation_id, cell) for cell in cells if not cell.is_clean]
    footers = [read_footer(shard_path(output, PREDICTION_FACTS, key)) for key in keys]
    count = sum(footer["facts"].get(NOT_FINITE_ROWS, 0) for footer in footers)
    return _not_finite(evaluation, count, sum(footer["row_count"] for footer in footers), "corrupted")


def _not_finite(evaluation: Evaluation, count: int, total: int, kind: str) -> list[Note]:
    """A warning if some logits are not finite."""
    if not count:
        return []
    text = (
        f"logits of {count:,} of {total:,} {kind} images are NaN or infinite; these count as incorrect, without "
        "confidence: check the model for overflow and division by 0"
        + ("" if evaluation.model.precision in ("float32", "as imported") else ', or set `precision = "float32"`')
    )
    return [Note("not_finite", text, evaluation.model.label)]


def _accuracy_notes(evaluation: Evaluation, rows: CellRows) -> Iterator[Note]:
    model = evaluation.model
    count = len(evaluation.data.dataset.class_names)
    correct = float(np.mean(accuracy(rows)))
    total = f"n = {len(rows):,}"
    protocol = model.output_map.protocol
    predicting = ""
    if protocol is not None:
        among = {"all": f"all {model.output_map.count:,} outputs", "subset": f"the {count:,} classes of the dataset"}
        (other,) = among.keys() - {protocol}
        predicting = (
            f', predicting among {among[protocol]} (`classes = "{protocol}"`; "{other}" is among {among[other]})'
        )
    yield Note("clean_accuracy", f"clean accuracy {correct:.1%} ({total}){predicting}", model.label, "note")


def _class_warnings(evaluation: Evaluation, rows: CellRows) -> Iterator[Note]:
    names = evaluation.data.dataset.class_names
    correct = accuracy(rows)
    finite = rows["finite"]
    chance = 1 / len(names)
    if finite.any() and float(np.mean(correct[finite])) <= chance:
        yield Note(
            "chance",
            f"clean accuracy is {float(np.mean(correct)):.1%}, at or below chance ({chance:.1%}; n = {len(rows):,}): "
            "check the order of its outputs (`class_names`), its normalization and the labels",
            evaluation.model.label,
        )
    predicted = _largest_share(rows["predicted"])
    of_class = _largest_share(rows["label"])
    if len(rows) >= FEWEST_IMAGES and predicted[1] >= ONE_CLASS and of_class[1] < MAX_OF_CLASS:
        yield Note(
            "one_class",
            f"{predicted[1]:.1%} of clean images are predicted as {names[predicted[0]]} (n = {len(rows):,}): "
            "check its normalization, and that its weights were loaded",
            evaluation.model.label,
        )
    yield from _order_warnings(evaluation, rows)


def _order_warnings(evaluation: Evaluation, rows: CellRows) -> Iterator[Note]:
    names = evaluation.data.dataset.class_names
    if better := far_better_order(rows["label"].astype(np.int64), rows["predicted"].astype(np.int64), len(names)):
        outputs = evaluation.model.output_map.classes
        moved = [f"{names[i]} = {outputs[j]}" for i, j in enumerate(better.outputs) if i != j]
        more = ", …" if len(moved) > SHOWN else ""
        measured = "clean accuracy" if evaluation.data.shift is None else "accuracy"
        yield Note(
            "class_order",
            f"with its outputs in another order ({', '.join(moved[:SHOWN])}{more}) {measured} would be "
            f"{better.matched:.1%} instead of {better.actual:.1%} (n = {better.images:,} images not used to find the "
            "order): if that order is correct, set `class_names` or `class_map`",
            evaluation.model.label,
        )


def _output_warnings(evaluation: Evaluation, rows: CellRows) -> Iterator[Note]:
    label = evaluation.model.label
    finite = rows["finite"]
    total = f"n = {len(rows):,}"
    if not finite.any():
        return
    least, greatest = float(rows[SMALLEST_LOGIT][finite].min()), float(rows["max_logit"][finite].max())
    confidence = float(rows["confidence"][finite].mean())
    correct = float(np.mean(accuracy(rows)))
    if 0 <= least <= NEAR_0 and NEAR_1 <= greatest <= 1:
        yield Note(
            "outputs_range",
            f"all outputs are between {least:.2g} and {greatest:.2g} ({total}), like probabilities "
            'or sigmoid outputs: expected logits; set `output_kind = "probabilities"`, or use the layer before the '
            "sigmoid",
            label,
        )
    elif least >= -1 and greatest <= 1 and correct - confidence > LOW_CONFIDENCE:
        yield Note(
            "outputs_scale",
            f"all outputs are between {least:.2g} and {greatest:.2g}, and mean confidence is {confidence:.1%} at a "
            f"clean accuracy of {correct:.1%} ({total}): they may be unscaled cosine "
            "similarities; multiply them by the logit scale",
            label,
        )


def warn(notes: Iterable[Note]) -> None:
    """Issue warnings with Python's `warnings`, attributed to the line that called failmodes."""
    depth = 1
    frame = sys._getframe(1)
    outermost = 1
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] == "failmodes":
            outermost = depth
        depth, frame = depth + 1, frame.f_back  # type: ignore[assignment]
    for note in notes:
        if note.level == "warning":
            warnings.warn(note.line.removeprefix("warning: "), EvaluationWarning, stacklevel=outermost + 2)


def _largest_share(classes: Array) -> tuple[int, float]:
    """The most frequent class of (N,), of which OTHER is none, and its share; (0, 0) without one."""
    counts = np.bincount(classes[classes != OTHER].astype(np.int64), minlength=1)
    return int(counts.argmax()), float(counts.max() / len(classes))
