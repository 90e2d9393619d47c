"""Progress of evaluation, training and import."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from failmodes.evaluate.engine.tasks import RunCallbacks
from failmodes.evaluate.import_predictions.predictions_file import ProgressCallback
from failmodes.evaluate.study_models import StudyModel
from failmodes.evaluate.training import EpochMetrics
from failmodes.warehouse.progress import ProgressBar
from failmodes.warehouse.shards.format import ShardKey
from failmodes.warehouse.terminal import note


@contextmanager
def evaluation_bar(show: bool = True) -> Iterator[RunCallbacks]:
    """Count images towards all missing cells, and print what the run assumes and notices; nothing unless `show`."""
    if not show:
        yield RunCallbacks()
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

        yield RunCallbacks(begin, advance, shard, _print_lines, _print_lines)


def _print_lines(lines: list[str]) -> None:
    for line in lines:
        note(line)


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
