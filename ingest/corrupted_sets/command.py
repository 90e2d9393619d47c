"""`failmodes corrupt`, once its options are understood.

Progress on stderr: a bar where it is a terminal, else a line whenever something is whole.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from failmodes.ingest.corrupted_sets.generation import SetCallbacks, plan_set, write_set
from failmodes.ingest.corrupted_sets.layouts import severity_folder
from failmodes.ingest.corrupted_sets.opening import open_pixel_source
from failmodes.ingest.corrupted_sets.options import SetOptions
from failmodes.ingest.corrupted_sets.set_writer import SetInputs, SetPart
from failmodes.ingest.corrupted_sets.work_folder import locked_work_folder
from failmodes.ingest.datasets.dataset import Dataset, balanced_subset
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.sources import GeneratedSource
from failmodes.ingest.specification import DatasetSpec
from failmodes.warehouse.errors import Interrupted, StudyError


def write_corrupted_set(spec: DatasetSpec, request: SetOptions, folder: Path, cache: Path | None = None) -> Path:
    """Write a set, telling on stderr what is made.

    Args:
        spec: the clean images.
        request: the set to make of them.
        folder: where it is to lie.
        cache: where decoded images are kept; in the work folder, as long as it is there, if not given.

    Returns:
        The set's folder.

    Raises:
        FailmodesError: something is not what it should be, see `plan_set`; Interrupted: the user stopped it.
    """
    _refuse_within(folder, spec)
    console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    try:
        with locked_work_folder(folder) as work:
            material = _material(open_dataset(spec, cache or work / "cache"), spec, request)
            job = plan_set(material, request, folder, work)
            console.print(f"corrupt: {_words(material, request)}")
            for name, reason in request.left_out.items():
                console.print(f"corrupt: {name} is left out: {reason}")
            with writing_bar() as progress:
                made, found = write_set(job, progress)
    except KeyboardInterrupt as error:
        raise Interrupted("stopped; what is finished is kept: run the same command to go on") from error
    console.print(f"corrupt: {made} corruptions × severities made, {found} were there")
    return folder


def _material(dataset: Dataset, spec: DatasetSpec, request: SetOptions) -> SetInputs:
    source = open_pixel_source(request.corruptions, request.corruptions.seeds[0], dataset)
    assert isinstance(source, GeneratedSource)
    return SetInputs(dataset, *balanced_subset(dataset.labels, spec.images), source)


def _words(material: SetInputs, request: SetOptions) -> str:
    corruptions, severities = len(request.corruptions.names), len(request.corruptions.severities)
    note = f" [{material.dataset.note}]" if material.dataset.note else ""
    return (
        f"{material.dataset.label}, {material.dataset.split}{note}: {material.subset}; {corruptions} corruptions ×"
        f" {severities} severities, {material.source.row()['source_label']}, {request.layout} layout"
    )


def _refuse_within(folder: Path, spec: DatasetSpec) -> None:
    """Refuse to write class folders among the clean ones."""
    if spec.kind != "folder" or spec.path is None:
        return
    clean, target = spec.path.expanduser().resolve(), folder.resolve()
    if target == clean or clean in target.parents:
        raise StudyError(f"--to {folder} lies within the clean images, {spec.path}: choose a folder beside it")


class _ImagesPerSecond(ProgressColumn):
    """Images a second since the start."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.completed / task.elapsed:,.0f} images/s" if task.completed and task.elapsed else "")


@contextmanager
def writing_bar() -> Iterator[SetCallbacks]:
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

        def unit(whole: SetPart) -> None:
            bars.update(task, done=bars.tasks[0].fields["done"] + 1, last=_progress_text(whole))

        yield SetCallbacks(begin, lambda images: bars.advance(task, images), unit)


def _lines() -> SetCallbacks:
    counts = {"done": 0, "all": 0}

    def begin(units: int, images: int) -> None:
        counts["all"] = units
        if units:
            print(f"corrupt: {images:,} images to make", file=sys.stderr, flush=True)

    def unit(whole: SetPart) -> None:
        counts["done"] += 1
        print(f"corrupt: {counts['done']}/{counts['all']} {_progress_text(whole)}", file=sys.stderr, flush=True)

    return SetCallbacks(begin, lambda images: None, unit)


def _progress_text(unit: SetPart) -> str:
    first, last = unit.severities[0], unit.severities[-1]
    levels = severity_folder(first) if first == last else f"{severity_folder(first)}–{severity_folder(last)}"
    return f"{unit.corruption} {levels}"
