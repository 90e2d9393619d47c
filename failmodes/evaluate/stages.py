"""The stages of a study that need models: training and evaluation, with progress display."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from failmodes.evaluate.cam.cam_method import CamUnavailable
from failmodes.evaluate.devices import choose_device
from failmodes.evaluate.engine.plan import plan_evaluations
from failmodes.evaluate.engine.run import evaluate_study
from failmodes.evaluate.engine.tasks import RunCallbacks, RunResult
from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.notes import Note
from failmodes.evaluate.self_check import warn
from failmodes.evaluate.study.study_file import read_study
from failmodes.evaluate.study.study_schema import Study
from failmodes.evaluate.study_models import StudyModel, train_missing
from failmodes.evaluate.training import EpochMetrics
from failmodes.ingest.corruptions.catalog import nearest_recipe
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.image_arrays import describe_decoding
from failmodes.ingest.datasets.layout import open_dataset
from failmodes.runtime.errors import counted, listed
from failmodes.runtime.progress import ProgressBar
from failmodes.runtime.terminal import note
from failmodes.warehouse.shards.format import ShardKey

SHOWN = 6  # corruptions listed by name
MAPS_AT_ONCE = 32  # images of a batch whose attention is computed for a grid
Pixels = NDArray[np.uint8]


def train(study: Study, dataset: Dataset, *, show: bool = True) -> list[Path]:
    """Train each model whose checkpoint is missing; returns the checkpoints written.

    Raises:
        WarehouseError: another run is training or evaluating into the same output folder.
        ModelError, StudyError, StorageError: as the message says.
    """
    with ProgressBar("train", show=show) as bar:

        def show_epoch(model: StudyModel, epoch: EpochMetrics) -> None:
            result = f"loss {epoch.loss_nats:.3f} nats, training accuracy {epoch.accuracy:.1%}"
            bar.update(epoch.number, epoch.total, f"{epoch.number}/{epoch.total} epochs, {result}", model.label)
            if show and epoch.number == epoch.total:
                note(f"{model.label}: {counted(epoch.total, 'epoch')}, {result}")

        return train_missing(study, dataset, show_epoch)


def evaluate(
    study: Study,
    dataset: Dataset,
    *,
    redo_damaged: bool = False,
    strict: bool = False,
    describe_images: bool = True,
    show: bool = True,
) -> RunResult:
    """Evaluate all missing cells, after printing warnings and assumptions about images and models.

    Args:
        study: the study, its models trained.
        dataset: its images.
        redo_damaged: verify the hash of every stored file of the study, and recompute damaged ones.
        strict: treat warnings as errors.
        describe_images: print a description of the images.
        show: print notes and progress; if False, warnings are issued with Python's `warnings`.

    Raises:
        IncompleteRunError: `strict` is set and there are warnings.
        WarehouseError: another run is evaluating into the same output.
        ModelError, DataError, StorageError, DamagedShardError: as the message says.
    """
    with ProgressBar("evaluate", "images", show=show) as bar:
        if show:
            images = [f"images: {dataset.describe()}", _corruptions(study, dataset)] if describe_images else []
            decoding = describe_decoding(dataset.images, _cell_count(study))
            images += [f"decoding: {decoding}"] if decoding else []
            callbacks = _ShownRun(bar, images).callbacks()
        else:
            callbacks = RunCallbacks(plan=lambda _evaluations, notes: warn(notes), notes=warn)
        return evaluate_study(study, dataset, redo_damaged=redo_damaged, strict=strict, progress=callbacks)


def attention_of_study(path: Path) -> Callable[[str, Pixels, Pixels], NDArray[np.float32] | None]:
    """A function that computes attention maps by the models of a study, which its first call loads.

    It takes an evaluation_id, images (N, H, W, 3) uint8 and their clean images, and returns maps (N, h, w) for the
    classes predicted on the clean images; None if the study has no such evaluation, or its model no attention.
    """

    @cache
    def evaluations() -> dict[str, Evaluation]:
        study = read_study(path)
        dataset = open_dataset(study.dataset, study.cache)
        groups = plan_evaluations(study, dataset, choose_device(study.evaluation.device))
        return {evaluation.evaluation_id: evaluation for group in groups for evaluation in group}

    def attention_of(evaluation_id: str, images: Pixels, clean: Pixels) -> NDArray[np.float32] | None:
        evaluation = evaluations().get(evaluation_id)
        if evaluation is None or isinstance(evaluation.attention, CamUnavailable):
            return None
        model = evaluation.model
        parts = [slice(start, start + MAPS_AT_ONCE) for start in range(0, len(images), MAPS_AT_ONCE)]
        targets = [model.predict(clean[part]).argmax(1)[:, None].clone() for part in parts]
        outputs = [
            evaluation.attention(model.inputs(images[part]), partial(_chosen, classes))
            for part, classes in zip(parts, targets, strict=True)
        ]
        return np.concatenate([output.maps[:, 0].float().cpu().numpy() for output in outputs])

    return attention_of


def _chosen(classes: torch.Tensor, _: object) -> torch.Tensor:
    """Targets of attention that are known before the forward pass."""
    return classes


class _ShownRun:
    """Terminal output of a run: assumptions, notes, and a progress bar over the missing images."""

    def __init__(self, bar: ProgressBar, images: list[str]) -> None:
        self.bar = bar
        self.described_images = images
        self.images = self.all_images = self.shards = self.all_shards = 0
        self.last_cell = ""
        self.printed: set[str] = set()

    def callbacks(self) -> RunCallbacks:
        return RunCallbacks(self.begin, self.advance, self.shard, self.plan, self.notes)

    def plan(self, evaluations: list[Evaluation], notes: list[Note]) -> None:
        self.notes(
            [settings_note for settings_note in notes if settings_note.level == "warning" or not settings_note.label]
        )
        for line in self.described_images:
            note(line)
        for evaluation in evaluations:
            note(evaluation.model.label)
            for topic, words in evaluation.assumptions().items():
                note(f"  {topic:<10} {words}")

    def begin(self, missing: int, count: int) -> None:
        self.all_shards = missing
        self.all_images = count
        if missing:
            note(f"{counted(missing, 'cell')} missing, {counted(count, 'image')} to evaluate")

    def advance(self, count: int) -> None:
        self.images += count
        self._update()

    def shard(self, key: ShardKey) -> None:
        self.shards = self.shards + 1
        self.last_cell = f", {key.cell}"
        self._update()

    def notes(self, notes: list[Note]) -> None:
        """Print each line once; evaluations that differ in the corruption seed share their notes."""
        for new_note in notes:
            if new_note.line not in self.printed:
                self.printed.add(new_note.line)
                note(new_note.line)

    def _update(self) -> None:
        self.bar.update(self.images, self.all_images, f"{self.shards}/{self.all_shards} cells{self.last_cell}")


def _cell_count(study: Study) -> int:
    """Number of cells on the images of the study: of all corruption seeds."""
    seeds = study.corruptions.seeds if study.corruptions.published is None else study.corruptions.seeds[:1]
    return len(study.cells) * len(seeds)


def _corruptions(study: Study, dataset: Dataset) -> str:
    """One line on the corruptions of a study and their source."""
    spec = study.corruptions
    source = (
        f"recipe {spec.recipe or nearest_recipe(*dataset.images.shape[1:3])}"
        if spec.published is None
        else f"from {spec.published}"
    )
    source += f", without {counted(len(spec.absent), 'cell')} that it lacks" if spec.absent else ""
    severities = ", ".join(f"{float(level):g}" for level in spec.severities)
    noun = "severity" if len(spec.severities) == 1 else "severities"
    return f"corruptions: {listed(spec.names, SHOWN)} at {noun} {severities}, {source}"
