"""Stages of a study, which `run`, `benchmark` and the commands call: train its models, evaluate them."""

from pathlib import Path

import numpy as np

from failmodes.evaluate.engine.run import RunReport, evaluate_study
from failmodes.evaluate.progress import evaluation_bar, training_bar
from failmodes.evaluate.study.study_schema import Study
from failmodes.evaluate.study_models import train_missing
from failmodes.ingest.datasets.dataset import Dataset

SHOWN = 6  # corruptions that are named
CHECKED_IMAGES = 64  # of a data set, for its largest pixel
DARK = 63  # a quarter of the range: the largest pixel of images that were scaled by mistake


def train(study: Study, dataset: Dataset, *, show: bool = True) -> list[Path]:
    """Train each model whose checkpoint is missing; the files written.

    Raises:
        WarehouseError: another run is training or evaluating into the same output folder.
        ModelError, StudyError, StorageError: as the message says.
    """
    with training_bar(show) as show_epoch:
        return train_missing(study, dataset, show_epoch)


def evaluate(
    study: Study, dataset: Dataset, *, redo_damaged: bool = False, describe_images: bool = True, show: bool = True
) -> RunReport:
    """Evaluate all that is missing, after saying what is assumed of images and models.

    Args:
        study: the study, its models trained.
        dataset: its images.
        redo_damaged: check the hash of every stored file of the study, and make damaged ones again.
        describe_images: whether to say which images there are; False where that was said.
        show: whether anything is said, and progress shown.

    Raises:
        WarehouseError: another run is evaluating into the same output.
        ModelError, DataError, StorageError, DamagedShardError: as the message says.
    """
    with evaluation_bar(show) as callbacks:
        if show:
            images = [f"images: {dataset.describe()}", _corruptions(study)] if describe_images else []
            callbacks.models([*_warnings(study, dataset), *images])
        return evaluate_study(study, dataset, redo_damaged=redo_damaged, progress=callbacks)


def _corruptions(study: Study) -> str:
    """Which corruptions are evaluated, and how they are made, in a line."""
    spec, names = study.corruptions, study.corruptions.names
    listed = f"{', '.join(names[:SHOWN])}{f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''}"
    made = f"recipe {spec.recipe}" if spec.published is None else f"from {spec.published}"
    return f"corruptions: {listed} at severities {', '.join(f'{float(level):g}' for level in spec.severities)}, {made}"


def _warnings(study: Study, dataset: Dataset) -> list[str]:
    """What may be a mistake, before anything is computed, a line each."""
    found = []
    if any(spec.live is not None and spec.live.is_unprepared for spec in study.models):
        found.append(
            'warning: no normalization was given, so the model gets values in [0, 1]: say normalization="imagenet", '
            'another name or (mean, std) if it was trained with one, "none" if not'
        )
    rows = np.linspace(0, len(dataset.images) - 1, min(CHECKED_IMAGES, len(dataset.images))).astype(int)
    largest = int(np.asarray(dataset.images[rows]).max())
    if largest <= DARK:
        scaled = ", as if they had been divided by 255 before" if largest <= 1 else ""
        found.append(
            f"warning: no pixel of {len(rows):,} images is above {largest} of 255{scaled}: corruptions and "
            "normalization take values from 0 to 255"
        )
    return found
