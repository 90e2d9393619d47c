"""Progress bars on stderr: shards done, images a second, time left."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from failmodes.evaluate.engine.worker import RunCallbacks
from failmodes.evaluate.study_models import StudyModel
from failmodes.evaluate.training.trainer import EpochMetrics
from failmodes.warehouse.shards.format import ShardKey

console = Console(stderr=True, markup=False)


class _ImagesPerSecond(ProgressColumn):
    """Images a second since the start."""

    def render(self, task: Task) -> Text:
        images, elapsed_s = task.fields["images"], task.elapsed or 0
        return Text(f"{images / elapsed_s:,.0f} images/s" if images and elapsed_s else "… images/s")


@contextmanager
def evaluation_bar() -> Iterator[RunCallbacks]:
    """A bar that counts images towards all missing shards; where stderr is no terminal, one line a shard."""
    if not console.is_terminal:
        yield _lines()
        return
    columns = (
        TextColumn("[bold]evaluate[/]"),
        BarColumn(),
        TextColumn("{task.fields[shards]}/{task.fields[all_shards]} shards"),
        _ImagesPerSecond(),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[cell]}[/]"),
    )
    with Bars(*columns, console=console) as bars:
        task = bars.add_task("evaluate", total=None, shards=0, all_shards=0, images=0, cell="")

        def begin(shards: int, images: int) -> None:
            bars.update(task, total=images, all_shards=shards)

        def advance(count: int) -> None:
            bars.update(task, advance=count, images=bars.tasks[0].fields["images"] + count)

        def shard(key: ShardKey) -> None:
            bars.update(task, shards=bars.tasks[0].fields["shards"] + 1, cell=str(key.cell))

        yield RunCallbacks(begin, advance, shard, _print_lines)


def _lines() -> RunCallbacks:
    counts = {"shards": 0, "all": 0}

    def begin(shards: int, images: int) -> None:
        counts["all"] = shards
        print(f"evaluate: {shards} shards missing, {images:,} images to run", file=sys.stderr, flush=True)

    def shard(key: ShardKey) -> None:
        counts["shards"] += 1
        print(f"evaluate: {counts['shards']}/{counts['all']} {key.cell}", file=sys.stderr, flush=True)

    return RunCallbacks(begin=begin, shard=shard, networks=_print_lines)


def _print_lines(lines: list[str]) -> None:
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


@contextmanager
def training_bar() -> Iterator["TrainingBar"]:
    """A bar a network, epoch by epoch."""
    columns = (
        TextColumn("[bold]train[/] {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("epochs, {task.fields[result]}"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console) as bars:
        yield TrainingBar(bars)


class TrainingBar:
    """Call it after each epoch."""

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self.tasks: dict[Path | None, TaskID] = {}

    def __call__(self, entry: StudyModel, epoch: EpochMetrics) -> None:
        """Show an epoch of an entry."""
        result = f"loss {epoch.loss_nats:.3f} nats, {epoch.accuracy:.1%} right in training"
        if entry.path not in self.tasks:
            self.tasks[entry.path] = self.bars.add_task(entry.label, total=epoch.of, result=result)
        self.bars.update(self.tasks[entry.path], completed=epoch.number, result=result)
