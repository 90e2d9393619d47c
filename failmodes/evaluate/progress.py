"""Progress on stderr: shards done, images a second, time left."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.progress import MofNCompleteColumn, TaskID

from failmodes.evaluate.engine.worker import RunCallbacks
from failmodes.evaluate.import_predictions.predictions_file import ProgressCallback
from failmodes.evaluate.study_models import StudyModel
from failmodes.evaluate.training.trainer import EpochMetrics
from failmodes.warehouse.progress_bar import ImagesPerSecond, progress_bar
from failmodes.warehouse.shards.format import ShardKey
from failmodes.warehouse.terminal import in_notebook, note


@contextmanager
def evaluation_bar(show: bool = True) -> Iterator[RunCallbacks]:
    """A bar that counts images towards all missing shards.

    In a notebook it is one line that changes; where stderr is no terminal, one line a shard; nothing unless `show`.
    """
    if not show:
        yield RunCallbacks()
        return
    if in_notebook():
        yield _notebook_line()
        return
    if not sys.stderr.isatty():
        yield _lines()
        return
    shards, cell = "{task.fields[shards]}/{task.fields[all_shards]} shards", "[dim]{task.fields[cell]}[/]"
    with progress_bar("[bold]evaluate[/]", shards, ImagesPerSecond(), cell) as bar:
        task = bar.add_task("evaluate", total=None, shards=0, all_shards=0, images=0, cell="")
        fields = bar.tasks[0].fields

        def begin(shards: int, images: int) -> None:
            bar.update(task, total=images, all_shards=shards)

        def advance(count: int) -> None:
            bar.update(task, advance=count, images=fields["images"] + count)

        def shard(key: ShardKey) -> None:
            bar.update(task, shards=fields["shards"] + 1, cell=str(key.cell))

        yield RunCallbacks(begin, advance, shard, _print_lines, _print_lines)


def _lines() -> RunCallbacks:
    counts = {"shards": 0, "all": 0}

    def begin(shards: int, images: int) -> None:
        counts["all"] = shards
        note(f"evaluate: {shards} shards missing, {images:,} images to run")

    def shard(key: ShardKey) -> None:
        counts["shards"] += 1
        note(f"evaluate: {counts['shards']}/{counts['all']} {key.cell}")

    return RunCallbacks(begin=begin, shard=shard, models=_print_lines, notes=_print_lines)


def _notebook_line() -> RunCallbacks:
    """One line in the output of a notebook's cell, written over as shards are done; needs no widgets."""
    display: Callable[..., Any] = import_module("IPython.display").display

    counts = {"shards": 0, "all": 0, "images": 0}
    started = time.monotonic()
    line: Any = None

    def show(cell: str = "") -> None:
        rate = counts["images"] / max(time.monotonic() - started, 1e-9)
        text = f"evaluate: {counts['shards']}/{counts['all']} shards, {rate:,.0f} images/s {cell}".rstrip()
        line.update({"text/plain": text}, raw=True)

    def begin(shards: int, images: int) -> None:
        nonlocal line
        counts["all"] = shards
        line = display({"text/plain": f"evaluate: {images:,} images to run"}, raw=True, display_id=True)

    def advance(count: int) -> None:
        counts["images"] += count

    def shard(key: ShardKey) -> None:
        counts["shards"] += 1
        show(str(key.cell))

    return RunCallbacks(begin, advance, shard, _print_lines, _print_lines)


def _print_lines(lines: list[str]) -> None:
    for line in lines:
        note(line)


@contextmanager
def training_bar(show: bool = True) -> Iterator[Callable[[StudyModel, EpochMetrics], None]]:
    """One bar per model; call the yielded function after each epoch."""
    result_column = "epochs, {task.fields[result]}"
    with progress_bar("[bold]train[/] {task.description}", MofNCompleteColumn(), result_column, show=show) as bar:
        tasks: dict[Path | None, TaskID] = {}

        def show_epoch(model: StudyModel, epoch: EpochMetrics) -> None:
            result = f"loss {epoch.loss_nats:.3f} nats, {epoch.accuracy:.1%} right in training"
            if model.path not in tasks:
                tasks[model.path] = bar.add_task(model.label, total=epoch.total, result=result)
            bar.update(tasks[model.path], completed=epoch.number, result=result)

        yield show_epoch


@contextmanager
def import_bar() -> Iterator[ProgressCallback]:
    """A bar for rows read, then one for cells written; none where stderr is no terminal."""
    with progress_bar("[bold]import[/] {task.completed:,.0f} {task.description}") as bar:
        tasks: dict[str, TaskID] = {}

        def on_progress(unit: str, done: int, total: int | None) -> None:
            if unit not in tasks:
                tasks[unit] = bar.add_task(unit, total=total)
            bar.update(tasks[unit], completed=done)

        yield on_progress
