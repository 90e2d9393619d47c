"""The stages of a study that need models: training and evaluation, with progress display."""

from pathlib import Path

from failmodes.evaluate.engine.run import evaluate_study
from failmodes.evaluate.engine.tasks import RunCallbacks, RunResult
from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.self_check import Note, warn
from failmodes.evaluate.study.study_schema import Study
from failmodes.evaluate.study_models import StudyModel, train_missing
from failmodes.evaluate.training import EpochMetrics
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.runtime.errors import listed
from failmodes.runtime.progress import ProgressBar
from failmodes.runtime.terminal import note
from failmodes.warehouse.shards.format import ShardKey

SHOWN = 6  # corruptions listed by name


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
                note(f"{model.label}: {epoch.total} epochs, {result}")

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
            images = [f"images: {dataset.describe()}", _corruptions(study)] if describe_images else []
            callbacks = _ShownRun(bar, images).callbacks()
        else:
            callbacks = RunCallbacks(plan=lambda _evaluations, notes: warn(notes), notes=warn)
        return evaluate_study(study, dataset, redo_damaged=redo_damaged, strict=strict, progress=callbacks)


class _ShownRun:
    """Terminal output of a run: assumptions, notes, and a progress bar over the missing images."""

    def __init__(self, bar: ProgressBar, images: list[str]) -> None:
        self.bar, self.described_images = bar, images
        self.images = self.all_images = self.shards = self.all_shards = 0
        self.last_cell = ""
        self.printed: set[str] = set()

    def callbacks(self) -> RunCallbacks:
        return RunCallbacks(self.begin, self.advance, self.shard, self.plan, self.notes)

    def plan(self, evaluations: list[Evaluation], notes: list[Note]) -> None:
        self.notes([one for one in notes if one.level == "warning" or not one.label])
        for line in self.described_images:
            note(line)
        for evaluation in evaluations:
            note(evaluation.model.label)
            for topic, words in evaluation.assumptions().items():
                note(f"  {topic:<10} {words}")

    def begin(self, missing: int, count: int) -> None:
        self.all_shards, self.all_images = missing, count
        if missing:
            note(f"{missing:,} cells missing, {count:,} images to evaluate")

    def advance(self, count: int) -> None:
        self.images += count
        self._update()

    def shard(self, key: ShardKey) -> None:
        self.shards, self.last_cell = self.shards + 1, f", {key.cell}"
        self._update()

    def notes(self, notes: list[Note]) -> None:
        """Print each line once; evaluations that differ in the corruption seed share their notes."""
        for one in notes:
            if one.line not in self.printed:
                self.printed.add(one.line)
                note(one.line)

    def _update(self) -> None:
        self.bar.update(self.images, self.all_images, f"{self.shards}/{self.all_shards} shards{self.last_cell}")


def _corruptions(study: Study) -> str:
    """One line on the corruptions of a study and their source."""
    spec, names = study.corruptions, study.corruptions.names
    made = f"recipe {spec.recipe}" if spec.published is None else f"from {spec.published}"
    made += f", without {len(spec.absent):,} cells that it lacks" if spec.absent else ""
    severities = ", ".join(f"{float(level):g}" for level in spec.severities)
    return f"corruptions: {listed(names, SHOWN)} at severities {severities}, {made}"
