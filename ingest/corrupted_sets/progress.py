"""Progress on stderr: a bar where it is a terminal, else a line whenever something is whole."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from ingest.corrupted_sets.material import Unit
from ingest.corrupted_sets.writing import Progress
from ingest.layouts import severity_folder


class _ImagesPerSecond(ProgressColumn):
    """Images a second since the start."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.completed / task.elapsed:,.0f} images/s" if task.completed and task.elapsed else "")


@contextmanager
def writing_bar() -> Iterator[Progress]:
    """A bar that counts images."""
    console = Console(stderr=True, markup=False)
    if not console.is_terminal:
        yield _lines()
        return
    columns = (
        TextColumn("[bold]corrupt[/]"),
        BarColumn(),
        TextColumn("{task.fields[done]}/{task.fields[all]}"),
        _ImagesPerSecond(),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[last]}[/]"),
    )
    with Bars(*columns, console=console) as bars:
        task = bars.add_task("corrupt", total=None, done=0, all=0, last="")

        def begin(units: int, images: int) -> None:
            bars.update(task, total=images, all=units)

        def unit(whole: Unit) -> None:
            bars.update(task, done=bars.tasks[0].fields["done"] + 1, last=_words(whole))

        yield Progress(begin, lambda images: bars.advance(task, images), unit)


def _lines() -> Progress:
    counts = {"done": 0, "all": 0}

    def begin(units: int, images: int) -> None:
        counts["all"] = units
        if units:
            print(f"corrupt: {images:,} images to make", file=sys.stderr, flush=True)

    def unit(whole: Unit) -> None:
        counts["done"] += 1
        print(f"corrupt: {counts['done']}/{counts['all']} {_words(whole)}", file=sys.stderr, flush=True)

    return Progress(begin, lambda images: None, unit)


def _words(unit: Unit) -> str:
    first, last = unit.severities[0], unit.severities[-1]
    levels = severity_folder(first) if first == last else f"{severity_folder(first)}–{severity_folder(last)}"
    return f"{unit.corruption} {levels}"
