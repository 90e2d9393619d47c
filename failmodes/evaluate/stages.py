"""Stages of a study, which `run`, `benchmark` and the commands call: train its models, evaluate them."""

from pathlib import Path

from failmodes.evaluate.engine.run import RunReport, evaluate_study
from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.progress import evaluation_bar, training_bar
from failmodes.evaluate.self_check import Note
from failmodes.evaluate.study.study_schema import Study
from failmodes.evaluate.study_models import train_missing
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.warehouse.terminal import note

SHOWN = 6  # corruptions that are named


def train(study: Study, dataset: Dataset, *, show: bool = True) -> list[Path]:
    """Train each model whose checkpoint is missing; the files written.

    Raises:
        WarehouseError: another run is training or evaluating into the same output folder.
        ModelError, StudyError, StorageError: as the message says.
    """
    with training_bar(show) as show_epoch:
        return train_missing(study, dataset, show_epoch)


def evaluate(
    study: Study,
    dataset: Dataset,
    *,
    redo_damaged: bool = False,
    strict: bool = False,
    describe_images: bool = True,
    show: bool = True,
) -> RunReport:
    """Evaluate all that is missing, after saying what may be a mistake and what is assumed of images and models.

    Args:
        study: the study, its models trained.
        dataset: its images.
        redo_damaged: check the hash of every stored file of the study, and make damaged ones again.
        strict: take warnings for errors.
        describe_images: whether to say which images there are; False where that was said.
        show: whether anything is said, and progress shown; else warnings are issued by Python's `warnings`.

    Raises:
        IncompleteRunError: it is strict, and there are warnings.
        WarehouseError: another run is evaluating into the same output.
        ModelError, DataError, StorageError, DamagedShardError: as the message says.
    """
    with evaluation_bar(show) as callbacks:

        def print_plan(evaluations: list[Evaluation], notes: list[Note]) -> None:
            callbacks.notes([one for one in notes if one.level == "warning"])
            if describe_images:
                note(f"images: {dataset.describe()}")
                note(_corruptions(study))
            for evaluation in evaluations:
                note(evaluation.model.label)
                for topic, words in evaluation.assumptions().items():
                    note(f"  {topic:<10} {words}")

        if show:
            callbacks = callbacks._replace(plan=print_plan)
        return evaluate_study(study, dataset, redo_damaged=redo_damaged, strict=strict, progress=callbacks)


def _corruptions(study: Study) -> str:
    """Which corruptions are evaluated, and how they are made, in a line."""
    spec, names = study.corruptions, study.corruptions.names
    listed = f"{', '.join(names[:SHOWN])}{f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''}"
    made = f"recipe {spec.recipe}" if spec.published is None else f"from {spec.published}"
    return f"corruptions: {listed} at severities {', '.join(f'{float(level):g}' for level in spec.severities)}, {made}"
