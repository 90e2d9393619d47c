"""Progress of evaluation, training and import."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from failmodes.evaluate.engine.tasks import RunCallbacks
from failmodes.evaluate.import_predictions.predictions_file import ProgressCallback
from failmodes.evaluate.self_check import Note, warn
from failmodes.evaluate.study_models import StudyModel
from failmodes.evaluate.training import EpochMetrics
from failmodes.warehouse.progress import ProgressBar
from failmodes.warehouse.shards.format import ShardKey
from failmodes.warehouse.terminal import note


@contextmanager
def evaluation_bar(show: bool = True) -> Iterator[RunCallbacks]:
    """Count images towards all missing cells, and print what is noticed of a model, each line once.

    Unless `show`, nothing is printed, and warnings are issued by Python's `warnings`.
    """
    if not show:
        yield RunCallbacks(plan=lambda _evaluations, notes: warn(notes), notes=warn)
        return
    with ProgressBar("evaluate", "images") as bar:
        images = all_images = shards = all_shards = 0
        last = ""

        def update() -> None:
            bar.update(images, all_images, f"{shards}/{all_shards} shards{last}")

        def begin(missing: int, count: int) -> None:
            nonlocal all_shards, all_images
            all_shards, all_images = missing, count
            if missing:
                note(f"{missing:,} cells missing, {count:,} images to evaluate")

        def advance(count: int) -> None:
            nonlocal images
            images += count
            update()

        def shard(key: ShardKey) -> None:
            nonlocal shards, last
            shards, last = shards + 1, f", {key.cell}"
            update()

        yield RunCallbacks(begin, advance, shard, notes=_print_once())


def _print_once() -> Callable[[Sequence[Note]], None]:
    """A function that prints notes, each line once: seeds of corruptions have the same."""
    said: set[str] = set()

    def print_notes(notes: Sequence[Note]) -> None:
        for line in dict.fromkeys(one.line for one in notes if one.line not in said):
            said.add(line)
            note(line)

    return print_notes


@contextmanager
def training_bar(show: bool = True) -> Iterator[Callable[[StudyModel, EpochMetrics], None]]:
    """Count the epochs of each model; call the yielded function after each one. Nothing is shown unless `show`."""
    with ProgressBar("train", show=show) as bar:

        def show_epoch(model: StudyModel, epoch: EpochMetrics) -> None:
            result = f"loss {epoch.loss_nats:.3f} nats, training accuracy {epoch.accuracy:.1%}"
            bar.update(epoch.number, epoch.total, f"{epoch.number}/{epoch.total} epochs, {result}", model.label)
            if show and epoch.number == epoch.total:
                note(f"{model.label}: {epoch.total} epochs, {result}")

        yield show_epoch


@contextmanager
def import_bar() -> Iterator[ProgressCallback]:
    """Count rows that are read, then cells that are written."""
    with ProgressBar("import") as bar:
        yield lambda unit, done, total: bar.update(done, total, f"{done:,.0f}", unit)
