"""`failmodes corrupt`, once its options are understood: one writer at a time, with progress on stderr.

A set is made in a hidden folder of its own folder, which is gone when all is done.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from failmodes.ingest.corrupted_datasets.file_names import severity_folder
from failmodes.ingest.corrupted_datasets.generation import SetPlan, plan_set, write_set
from failmodes.ingest.corrupted_datasets.options import SetOptions
from failmodes.ingest.corrupted_datasets.set_writer import ProgressCallback, SetInputs, SetPart
from failmodes.ingest.datasets.dataset import balanced_subset
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.sources import GeneratedSource
from failmodes.ingest.specification import DatasetSpec
from failmodes.warehouse.errors import StorageError, StudyError
from failmodes.warehouse.process import interruptible
from failmodes.warehouse.progress import ProgressBar
from failmodes.warehouse.storage.files import TEMPORARY_PREFIX, make_folder, storage_errors
from failmodes.warehouse.storage.locks import file_lock
from failmodes.warehouse.terminal import note

WORK_FOLDER = ".failmodes"
LOCK_FILE = "lock"


def write_corrupted_dataset(spec: DatasetSpec, options: SetOptions, folder: Path, cache: Path | None = None) -> Path:
    """Write a set; what is made is printed on stderr.

    Args:
        spec: the clean images.
        options: the set to make of them.
        folder: where it is to lie.
        cache: where decoded images are kept; in the work folder, as long as it is there, if not given.

    Returns:
        The set's folder.

    Raises:
        FailmodesError: something is not what it should be, see `plan_set`; Interrupted: the user stopped it.
    """
    _refuse_within(folder, spec)
    with interruptible("what is finished is kept"), locked_work_folder(folder) as work:
        dataset = open_dataset(spec, cache or work / "cache")
        source = GeneratedSource.from_spec(options.corruptions, options.corruptions.seeds[0], gray=dataset.gray)
        inputs = SetInputs(dataset, *balanced_subset(dataset.labels, spec.images), source)
        plan = plan_set(inputs, options, folder, work)
        note(f"corrupt: {_describe(inputs, options)}")
        for name, reason in options.left_out.items():
            note(f"corrupt: {name} is left out: {reason}")
        with _progress(plan) as (advance, finish):
            write_set(plan, advance, finish)
    written, existing = (sum(len(part.severities) for part in parts) for parts in (plan.missing, plan.existing))
    note(f"corrupt: {written} corruptions × severities written, {existing} already present")
    return folder


def _describe(inputs: SetInputs, options: SetOptions) -> str:
    dataset, spec = inputs.dataset, options.corruptions
    note = f" [{dataset.note}]" if dataset.note else ""
    return (
        f"{dataset.label}, {dataset.split}{note}: {inputs.subset}; {len(spec.names)} corruptions ×"
        f" {len(spec.severities)} severities, {inputs.source.row()['source_label']}, {options.layout} layout"
    )


def _refuse_within(folder: Path, spec: DatasetSpec) -> None:
    """Refuse to write class folders among the clean ones."""
    if spec.kind != "folder" or spec.path is None:
        return
    clean, target = (Path(os.path.realpath(path)) for path in (spec.path, folder))  # also of links round in a circle
    if target == clean or clean in target.parents:
        raise StudyError(f"--to {folder} lies within the clean images, {spec.path}: choose a folder beside it")


@contextmanager
def locked_work_folder(folder: Path) -> Iterator[Path]:
    """Hold a set's lock, which the system frees when its holder dies, and give its work folder.

    What killed writers left half written is removed first. The work folder stays only while something is half made.

    Raises:
        StorageError: another process makes the set, or the folder cannot be written to.
    """
    new = not folder.exists()
    work = make_folder(folder / WORK_FOLDER)
    taken = f"{folder} is being written by another process: wait for it, then run the same command again"
    with file_lock(work / LOCK_FILE, taken, StorageError):
        with storage_errors(folder):
            for leftover in (*folder.glob(f"{TEMPORARY_PREFIX}*"), *work.rglob(f"{TEMPORARY_PREFIX}*")):
                leftover.unlink()  # whoever holds the lock is the only writer
        try:
            yield work
        finally:
            if not any(work.glob("*.json")):  # no note: nothing is half made
                _clear(work)
            if new:
                _remove_if_empty(folder)


def _clear(work: Path) -> None:
    """Remove a work folder, its lock last: until then nobody else can hold it."""
    with storage_errors(work):
        for entry in work.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != LOCK_FILE:
                entry.unlink()
        (work / LOCK_FILE).unlink(missing_ok=True)
    _remove_if_empty(work)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


@contextmanager
def _progress(plan: SetPlan) -> Iterator[tuple[ProgressCallback, Callable[[SetPart], None]]]:
    """What `write_set` calls with the number of images written, and with each part that is complete."""
    parts = len(plan.missing)
    all_images = sum(len(part.severities) for part in plan.missing) * len(plan.writer.inputs.image_ids)
    if parts:
        note(f"corrupt: {all_images:,} images to generate")
    with ProgressBar("corrupt", "images") as bar:
        images = done = 0
        last = ""

        def advance(count: int) -> None:
            nonlocal images
            images += count
            bar.update(images, all_images, f"{done}/{parts}{last}")

        def finish(part: SetPart) -> None:
            nonlocal done, last
            levels = "–".join(dict.fromkeys(map(severity_folder, (part.severities[0], part.severities[-1]))))
            done, last = done + 1, f", {part.corruption} {levels}"

        yield advance, finish
