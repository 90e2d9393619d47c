"""Notes on an evaluation: its assumptions and likely mistakes, one line each, with the option that fixes it.

Images and models are checked before the first batch, and predictions after the clean images, which are evaluated first.
Notes are stored with the evaluation, so that a second call, the report and `failmodes status` show them too.
"""

import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray

from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.evaluation_data import EvaluationData
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.models.outputs import NEAR_0, NEAR_1
from failmodes.evaluate.models.preprocessing import UNIT_RANGE
from failmodes.warehouse.errors import EvaluationWarning, IncompleteRunError
from failmodes.warehouse.metrics.class_order import far_better_order
from failmodes.warehouse.schema import EVALUATION_NOTES
from failmodes.warehouse.shards.format import dimension_path, write_dimension
from failmodes.warehouse.shards.inventory import read_rows
from failmodes.warehouse.storage.files import StorePath, exists

Step = Literal["settings", "clean"]

CHECKED_IMAGES = 512  # images whose pixels are checked before a run
NARROW = 64  # gray levels, a quarter of the range: images with a smaller range were probably scaled by mistake
MOST_COPIES = 0.05  # share of duplicate images above which they are unlikely to belong to the dataset
MOST_UNREAD = 0.01  # share of skipped images in a folder above which they matter
FAR = 2.0  # standard deviations between the mean of the normalization and the mean pixel, in each channel
FEWEST_IMAGES = 10  # for which shares of predictions are meaningful
ONE_CLASS, MOST_OF_CLASS = 0.99, 0.9  # share of predictions of one class, and share of labels that would explain it
LOW_CONFIDENCE = 0.5  # accuracy − confidence of outputs in -1 to 1 above which they may be unscaled cosine similarities
SHOWN = 4  # reordered classes listed by name


class Note(NamedTuple):
    """One line about an evaluation.

    Attributes:
        topic: the subject, such as normalization; one line per topic and step.
        text: the line.
        label: the model; empty if the note is about the images.
        level: a warning is a likely mistake; a note is an assumption that options can change, or a figure.
    """

    topic: str
    text: str
    label: str = ""
    level: Literal["note", "warning"] = "warning"

    @property
    def line(self) -> str:
        """The note as printed."""
        return f"{'warning: ' * (self.level == 'warning')}{self.label}{self.label and ': '}{self.text}"


class CleanResults(NamedTuple):
    """Predictions of a model on the clean images.

    Attributes:
        labels: (N,) class indices.
        predictions: (N,) the class of the largest logit among the dataset's classes.
        correct_among_all: (N,) whether the label's logit is the largest among all outputs of the model.
        confidence: (N,) largest softmax probability, 0–1; NaN if logits are not finite.
        least: (N,) smallest logit.
        greatest: (N,) largest logit.
    """

    labels: NDArray[Any]
    predictions: NDArray[Any]
    correct_among_all: NDArray[Any]
    confidence: NDArray[Any]
    least: NDArray[Any]
    greatest: NDArray[Any]

    @classmethod
    def of(
        cls,
        labels: NDArray[Any],
        logits: torch.Tensor,
        statistics: Mapping[str, torch.Tensor],
        class_count: int,
        largest_other: torch.Tensor | None = None,
    ) -> Self:
        """The results of a batch.

        Args:
            labels: (N,) class indices.
            logits: (N, C), the first `class_count` of which belong to the dataset's classes.
            statistics: their `prediction_statistics`.
            class_count: number of classes of the dataset.
            largest_other: (N,) largest of the excluded outputs; None if there are none.
        """
        correct = statistics["finite"] & (statistics["label_rank"] == 1)
        if largest_other is not None:
            correct &= statistics["max_logit"] > largest_other
        predictions = logits[:, :class_count].argmax(1)
        found = (predictions, correct, statistics["confidence"], logits.amin(1), statistics["max_logit"])
        return cls(labels, *(column.cpu().numpy() for column in found))

    @property
    def accuracy(self) -> float:
        """Share of correct predictions among the dataset's classes, 0–1."""
        return float(np.mean(self.predictions == self.labels))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The results of all batches."""
        return cls(*map(np.concatenate, zip(*parts, strict=True)))


def settings_notes(evaluations: Sequence[Evaluation]) -> list[list[Note]]:
    """Notes before the first batch, for each evaluation of the same clean images.

    Those about the images come first, then warnings about the model, then its assumptions.
    """
    data = evaluations[0].data
    if data.shift is not None:  # its models are those of the study, whose notes say the rest
        found = image_warnings(data, _sample(data)) if data.is_shifted else ()
        of_shift = [note._replace(text=f"shift {data.shift.label}: {note.text}") for note in found]
        return [of_shift for _ in evaluations]
    pixels = _sample(data)
    of_images = [
        *image_warnings(data, pixels),
        *(Note(one.topic, one.text, level="warning" if one.is_warning else "note") for one in data.source.notes),
    ]
    return [
        [
            *of_images,
            *model_warnings(one.model, pixels),
            *(Note(topic, text, one.model.label, "note") for topic, text in one.assumptions().items()),
        ]
        for one in evaluations
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
    unread, read = data.dataset.unread, len(data.dataset.labels)
    if unread > MOST_UNREAD * (unread + read):
        yield Note(
            "left_out",
            f"{unread:,} of {unread + read:,} images are skipped, because they are in subfolders of classes or in "
            "an unsupported format: move them directly into the folders of their classes, as .png or .jpg",
        )
    hashes = data.dataset.pixel_hashes[data.subset.clean_ids]
    copies = len(hashes) - len(np.unique(hashes))
    if copies > MOST_COPIES * len(hashes):
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
    given, label = model.preprocessing, model.label
    if given.is_assumed:
        yield Note(
            "normalization",
            'no normalization was given, so the model gets values in [0, 1]: set normalization="imagenet", another '
            'name or (mean, std) if it was trained with one, "none" if not',
            label,
        )
    elif given.normalization not in (None, UNIT_RANGE):
        mean = pixels.mean((0, 1, 2)) / 255
        nearest = np.abs((mean - given.normalization.mean) / np.asarray(given.normalization.std)).min()
        if nearest > FAR:
            yield Note(
                "mean_pixel",
                f"the mean pixel, {'/'.join(f'{value:.2f}' for value in mean)}, is {nearest:.1f} or more standard "
                "deviations from the mean of the normalization: check that `normalization` is the one used in "
                "training, and that the images are not inverted",
                label,
            )
    height, width = pixels.shape[1:3]
    side = given.input_side_px
    if side is not None and height != width and not given.description:
        yield Note(
            "aspect_ratio",
            f"images of {width}×{height} px are squashed to {side}×{side} for the model: set `image_size` (and "
            "`resize`) to crop them to squares instead",
            label,
        )
    if given.crops and (side is None or min(height, width) <= side):  # a library crops larger images on purpose
        fix = (
            "remove Resize and CenterCrop from it, or pass uncropped images"
            if side is None
            else f"set `input_side_px = {side}` to resize them without a crop, or use larger images"
        )
        yield Note(
            "cropping",
            f"{given.description} crops: the model does not see the border of images of {width}×{height} px; {fix}",
            label,
        )


def clean_notes(evaluation: Evaluation, found: CleanResults) -> list[Note]:
    """Notes after the clean images: the accuracy of the model, under both class protocols if it has two, and warnings.

    Mismatched outputs or images give wrong numbers that look plausible. Of a shift, only the order of its classes is
    checked: under a shift, accuracy below chance may be what is measured.
    """
    shift = evaluation.data.shift
    if shift is not None:
        found_order = _order_warnings(evaluation, found) if evaluation.data.is_shifted else ()
        return [note._replace(text=f"shift {shift.label}: {note.text}") for note in found_order]
    return [
        *_accuracy_notes(evaluation, found),
        *_class_warnings(evaluation, found),
        *_output_warnings(evaluation, found),
    ]


def _accuracy_notes(evaluation: Evaluation, found: CleanResults) -> Iterator[Note]:
    model, count = evaluation.model, len(evaluation.data.dataset.class_names)
    accuracy, chance = found.accuracy, 1 / count
    text = f"clean accuracy {accuracy:.1%} (n = {len(found.labels):,})"
    if model.protocol is not None:
        other = "subset" if model.protocol == "all" else "all"
        text = (
            f"clean accuracy {accuracy:.1%} among the {count:,} classes of the dataset, "
            f"{found.correct_among_all.mean():.1%} among all {model.output_count:,} outputs; "
            f'this evaluation uses `classes = "{model.protocol}"`, set "{other}" for the other'
        )
    yield Note("clean_accuracy", text, model.label, "note")
    if accuracy <= chance:
        yield Note(
            "chance",
            f"clean accuracy is {accuracy:.1%}, at or below chance ({chance:.1%}; n = {len(found.labels):,}): "
            "check the order of its outputs (`class_names`), its normalization and the labels",
            model.label,
        )


def _class_warnings(evaluation: Evaluation, found: CleanResults) -> Iterator[Note]:
    model, names = evaluation.model, evaluation.data.dataset.class_names
    predicted, of_class = _largest_share(found.predictions), _largest_share(found.labels)
    if len(found.labels) >= FEWEST_IMAGES and predicted[1] >= ONE_CLASS and of_class[1] < MOST_OF_CLASS:
        yield Note(
            "one_class",
            f"{predicted[1]:.1%} of clean images are predicted as {names[predicted[0]]} (n = {len(found.labels):,}): "
            "check its normalization, and that its weights were loaded",
            model.label,
        )
    yield from _order_warnings(evaluation, found)


def _order_warnings(evaluation: Evaluation, found: CleanResults) -> Iterator[Note]:
    model, names = evaluation.model, evaluation.data.dataset.class_names
    if better := far_better_order(found.labels, found.predictions, len(names)):
        outputs = model.class_outputs or range(len(names))
        moved = [f"{names[i]} = {outputs[j]}" for i, j in enumerate(better.outputs) if i != j]
        more = ", …" if len(moved) > SHOWN else ""
        accuracy = "clean accuracy" if evaluation.data.shift is None else "accuracy"
        yield Note(
            "class_order",
            f"with its outputs in another order ({', '.join(moved[:SHOWN])}{more}) {accuracy} would be "
            f"{better.matched:.1%} instead of {better.actual:.1%} (n = {better.images:,} images not used to find the "
            "order): if that order is correct, set `class_names` or `class_map`",
            model.label,
        )


def _output_warnings(evaluation: Evaluation, found: CleanResults) -> Iterator[Note]:
    label, finite = evaluation.model.label, np.isfinite(found.least) & np.isfinite(found.greatest)
    if not finite.any():
        return
    least, greatest = float(found.least[finite].min()), float(found.greatest[finite].max())
    confidence = float(found.confidence[finite].mean())
    if 0 <= least <= NEAR_0 and NEAR_1 <= greatest <= 1:
        yield Note(
            "outputs_range",
            f"all outputs are between {least:.2g} and {greatest:.2g} (n = {len(found.labels):,}), like probabilities "
            'or sigmoid outputs: expected logits; set `output_kind = "probabilities"`, or use the layer before the '
            "sigmoid",
            label,
        )
    elif least >= -1 and greatest <= 1 and found.accuracy - confidence > LOW_CONFIDENCE:
        yield Note(
            "outputs_scale",
            f"all outputs are between {least:.2g} and {greatest:.2g}, and mean confidence is {confidence:.1%} at a "
            f"clean accuracy of {found.accuracy:.1%} (n = {len(found.labels):,}): they may be unscaled cosine "
            "similarities; multiply them by the logit scale",
            label,
        )


def record_notes(output: StorePath, evaluation: Evaluation, step: Step, notes: Iterable[Note]) -> None:
    """Store the notes of one step of an evaluation."""
    rows = [
        {
            "evaluation_id": evaluation.evaluation_id, "step": step, "topic": note.topic, "level": note.level,
            "subject": "model" if note.label else "images", "note": note.text,
        }
        for note in notes
    ]  # fmt: skip
    write_dimension(output, EVALUATION_NOTES, f"{evaluation.evaluation_id}-{step}", rows)


def notes_path(output: StorePath, evaluation: Evaluation, step: Step) -> StorePath:
    """The file of the notes of a step."""
    return dimension_path(output, EVALUATION_NOTES, f"{evaluation.evaluation_id}-{step}")


def stored_clean_notes(output: StorePath, evaluation: Evaluation) -> list[Note]:
    """The stored notes on the clean images of an evaluation; empty if they were not evaluated.

    Raises:
        DamagedShardError: its file is damaged.
    """
    path = notes_path(output, evaluation, "clean")
    rows = read_rows(path, EVALUATION_NOTES).to_pylist() if exists(path) else []
    return [Note(row["topic"], row["note"], evaluation.model.label, row["level"]) for row in rows]


def warn(notes: Iterable[Note]) -> None:
    """Issue warnings with Python's `warnings`, attributed to the line that called failmodes."""
    depth, frame, outermost = 1, sys._getframe(1), 1
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] == "failmodes":
            outermost = depth
        depth, frame = depth + 1, frame.f_back  # type: ignore[assignment]
    for note in notes:
        if note.level == "warning":
            warnings.warn(note.line.removeprefix("warning: "), EvaluationWarning, stacklevel=outermost + 2)


def refuse_warnings(notes: Sequence[Note]) -> None:
    """Raise an error if there are warnings, as `strict` asks.

    Raises:
        IncompleteRunError: there are any.
    """
    lines = [note.line.removeprefix("warning: ") for note in dict.fromkeys(notes) if note.level == "warning"]
    if lines:
        count = "1 warning is an error" if len(lines) == 1 else f"{len(lines):,} warnings are errors"
        raise IncompleteRunError(f"strict: {count}: {'; '.join(lines)}")


def _largest_share(classes: NDArray[Any]) -> tuple[int, float]:
    """The most frequent class and its share."""
    counts = np.bincount(classes)
    return int(counts.argmax()), float(counts.max() / len(classes))
