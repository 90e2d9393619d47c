"""`failmodes corrupt`: check the options, find what is missing, write it part by part, with progress on stderr.

A part (a corruption, or one severity of it) is written in a hidden folder, listed in the manifest when it is whole, and
then moved to its place. Killed at any instant, the same command continues with the first part that is not there; the
bytes it writes are those of an undisturbed run.
"""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from failmodes import __version__
from failmodes.ingest.corrupted_datasets.corrupted_dataset import set_layouts
from failmodes.ingest.corrupted_datasets.manifest import (
    MADE_BY,
    Manifest,
    check_same_set,
    publish_manifest,
    read_manifest,
)
from failmodes.ingest.corrupted_datasets.set_writer import CLEAN_PART, SetPart, SetWriter
from failmodes.ingest.corruptions.catalog import CORRUPTIONS, SEVERITIES, as_severity, severity_text
from failmodes.ingest.corruptions.kernels.frost import frost_folder
from failmodes.ingest.datasets.dataset import balanced_subset
from failmodes.ingest.datasets.layout import DatasetSpec, open_dataset
from failmodes.ingest.sources import GeneratedSource
from failmodes.ingest.specification import CorruptionSpec, Location, first_problem
from failmodes.runtime.errors import DataError, StorageError, StudyError, counted, did_you_mean
from failmodes.runtime.process import interruptible
from failmodes.runtime.progress import ProgressBar
from failmodes.runtime.storage.files import (
    TEMPORARY_PREFIX,
    atomic_write_bytes,
    check_regular,
    fsync,
    make_folder,
    storage_errors,
)
from failmodes.runtime.storage.locks import file_lock
from failmodes.runtime.terminal import note

HIDDEN_FOLDER = ".failmodes"
LOCK_FILE = "lock"
LIST_FILE = "images.csv"
OPTIONS = {"kind": "KIND", "names": "--corruption", "severities": "--severity", "seeds": "--seed"}  # others: as the key

SpecModel = TypeVar("SpecModel", bound=BaseModel)


class SetOptions(NamedTuple):
    """A corrupted dataset to write.

    Attributes:
        layout: the name of its layout.
        writer: writes that layout.
        encoding: the format of its files.
        corruptions: which ones, at which severities (ascending), with which recipe, seed and noise mode.
        left_out: if no corruption is requested, those that cannot be generated here, each with the reason.
        listed: whether the clean images and a list of all files are written too.
    """

    layout: str
    writer: type[SetWriter]
    encoding: str
    corruptions: CorruptionSpec
    left_out: dict[str, str]
    listed: bool = False


def parse_options(
    kind: str,
    *,
    layout: str | None,
    encoding: str | None,
    corruptions: Sequence[str],
    severities: Sequence[str],
    recipe: str | None,
    seed: int,
    noise: str,
    across_switches: bool,
    listed: bool = False,
) -> SetOptions:
    """Check options, and fill in defaults for a dataset of this kind.

    Raises:
        StudyError: an option is wrong, or the layout cannot hold what is requested.
    """
    default = "imagenet-c" if kind == "folder" else "cifar-c"
    layout = layout or default
    writer = _writer_of(layout)
    levels = sorted(map(_level, severities)) or [Decimal(severity) for severity in SEVERITIES]
    others = " or ".join(
        name for name, other in set_layouts().items() if other.writer and other.writer.part_per_severity
    )
    if not writer.part_per_severity and levels != list(SEVERITIES):
        wrong = next((level for level in levels if level not in SEVERITIES), None)
        problem = f"not {severity_text(wrong)}" if wrong is not None else "each once"
        raise StudyError(
            f"--severity: the {layout} layout holds the whole severities 1 to 5, all five, {problem};"
            f" --layout {others} has one folder per severity, such as fog/2.5/, and takes any"
        )
    if encoding is not None and encoding not in writer.encodings:
        raise StudyError(f"--format is for --layout {others}: {layout} files are {' or '.join(writer.encodings)}")
    if listed and not writer.part_per_severity:
        raise StudyError(f"--list is for --layout {others}: {layout} files hold many images each")
    left_out = {} if corruptions else _unavailable(levels, across_switches)
    spec = validate(
        CorruptionSpec,
        names=list(corruptions) or [name for name in CORRUPTIONS if name not in left_out],
        severities=levels,
        recipe=recipe,
        seeds=[seed],
        noise=noise,
        across_switches=across_switches,
    )
    return SetOptions(layout, writer, encoding or writer.encodings[0], spec, left_out, listed)


def validate(model: type[SpecModel], **values: Any) -> SpecModel:
    """Make a specification from options.

    Raises:
        StudyError: a value is wrong; one line names the option.
    """
    try:
        return model(**values)
    except ValidationError as error:
        message = first_problem(error, model, _option_at)
        raise StudyError(re.sub(r"`(\w+)( = true)?`", lambda key: _option_at((key[1],)), message)) from None


def _option_at(location: Location) -> str:
    key = str(location[0]) if location else ""
    return OPTIONS.get(key, f"--{key.replace('_', '-')}") if key else ""


def _writer_of(layout: str) -> type[SetWriter]:
    writers = {name: known.writer for name, known in set_layouts().items() if known.writer is not None}
    if layout not in writers:
        raise StudyError(f"--layout: unknown layout {layout!r}: {did_you_mean(layout, writers)}")
    return writers[layout]


def _level(text: str) -> Decimal:
    try:
        return as_severity(Decimal(text))
    except InvalidOperation as error:
        raise StudyError(f"--severity {text!r} is not a number: expected one above 0 and up to 5") from error


def _unavailable(levels: list[Decimal], across_switches: bool) -> dict[str, str]:
    """Published corruptions that cannot be generated here at these severities, each with the reason."""
    reasons: dict[str, str] = {}
    if any(level != int(level) for level in levels) and not across_switches:
        reasons |= {c.name: f"not between severities: {c.switch}" for c in CORRUPTIONS.values() if not c.interpolable}
    try:
        frost_folder()
    except DataError as error:
        reasons["frost"] = str(error)
    return reasons


def write_corrupted_dataset(spec: DatasetSpec, options: SetOptions, folder: Path, cache: Path | None = None) -> Path:
    """Write a corrupted dataset, and print on stderr what is generated.

    Args:
        spec: the clean images.
        options: the dataset to generate from them.
        folder: where to write it.
        cache: folder for decoded images; default: a hidden one, for the duration of the command.

    Returns:
        The dataset's folder.

    Raises:
        StudyError: the folder holds another dataset, or files that are no part of this one.
        DataError: the images do not fit the recipe or the layout.
        StorageError: another process writes the dataset, or a file cannot be written.
        Interrupted: the user stopped the command.
    """
    _refuse_within(folder, spec)
    with interruptible("what is finished is kept"), locked_work_folder(folder) as work:
        dataset = open_dataset(spec, cache or work)
        source = GeneratedSource.from_spec(options.corruptions, options.corruptions.seeds[0], dataset)
        image_ids, subset = balanced_subset(dataset.labels, spec.images)
        writer = options.writer(folder, dataset, image_ids, subset, source, options.encoding)
        manifest, existing, missing = _plan(writer, options)
        note(f"corrupt: {_describe(writer, options)}")
        for source_note in source.notes:
            note(source_note.line)
        for name, reason in options.left_out.items():
            note(f"corrupt: {name} is left out: {reason}")
        _write_parts(writer, manifest, missing, work)
        if options.listed:
            atomic_write_bytes(folder / LIST_FILE, writer.list_files([*existing, *missing]))
    written, kept = (sum(len(part.severities) for part in parts) for parts in (missing, existing))
    note(f"corrupt: {written} corruptions × severities written, {kept} already present")
    return folder


def _refuse_within(folder: Path, spec: DatasetSpec) -> None:
    """Refuse to write class folders among the clean ones."""
    if spec.kind != "folder" or spec.path is None:
        return
    clean, target = (Path(os.path.realpath(path)) for path in (spec.path, folder))  # resolves circular links too
    if target == clean or clean in target.parents:
        raise StudyError(f"--to {folder} lies within the clean images, {spec.path}: choose a folder beside it")


def _describe(writer: SetWriter, options: SetOptions) -> str:
    dataset = writer.dataset
    spec = options.corruptions
    note = f" [{dataset.note}]" if dataset.note else ""
    cells = f"{counted(len(spec.names), 'corruption')} × {counted(len(spec.severities), 'severity', 'severities')}"
    source = f"{writer.source.row()['source_label']}, {options.layout} layout"
    return f"{dataset.label}, {dataset.split}{note}: {writer.subset}; {cells}, {source}"


@contextmanager
def locked_work_folder(folder: Path) -> Iterator[Path]:
    """Hold a dataset's lock, which the system frees when its holder dies, and yield a folder for unfinished work.

    Half-written files of killed writers are removed first, and the folder at the end.

    Raises:
        StorageError: another process writes the dataset, or the folder cannot be written to.
    """
    new = not folder.exists()
    hidden = make_folder(folder / HIDDEN_FOLDER)
    taken = f"{folder} is being written by another process: wait for it, then run the same command again"
    with file_lock(hidden / LOCK_FILE, taken, StorageError):
        work = hidden / "work"
        with storage_errors(folder):
            for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
                leftover.unlink()  # the holder of the lock is the only writer
            shutil.rmtree(work, ignore_errors=True)
        try:
            yield make_folder(work)
        finally:
            shutil.rmtree(work, ignore_errors=True)
            (hidden / LOCK_FILE).unlink(missing_ok=True)  # last: until then no other process can hold it
            for empty in (hidden, folder) if new else (hidden,):
                with suppress(OSError):
                    empty.rmdir()


def _plan(writer: SetWriter, options: SetOptions) -> tuple[Manifest, list[SetPart], list[SetPart]]:
    """The manifest to continue, and the existing and the missing parts; nothing is written.

    Raises:
        StudyError, DataError: whatever would stop the writing; see `write_corrupted_dataset`.
    """
    stored = read_manifest(writer.folder)
    manifest = _manifest(writer, options, stored)
    existing: list[SetPart] = []
    missing: list[SetPart] = []
    clean = [CLEAN_PART] if options.listed else []
    for part in [*clean, *writer.parts(options.corruptions.names, options.corruptions.severities)]:
        (existing if _is_done(manifest, writer, part) else missing).append(part)
    for part in missing:
        path = writer.path(part)
        target = writer.folder / (path.parts[0] if stored is None else path)
        if target.exists():
            raise StudyError(f"{target} exists and `{MADE_BY}` did not write it: choose another folder with --to")
    _refuse_other_files(writer, new_list=options.listed and stored is None)
    for corruption, severities in missing:  # corrupt one image in each requested way: errors come before any writing
        for severity in {severities[0], *(s for s in severities if s != int(s))}:
            writer.corrupted(corruption, severity, writer.image_ids[:1])
    return manifest, existing, missing


def _refuse_other_files(writer: SetWriter, *, new_list: bool) -> None:
    """Refuse files beside the parts that were not written here."""
    for name, content in writer.other_files().items():
        path = writer.folder / name
        if path.exists() and (check_regular(path) != len(content) or path.read_bytes() != content):
            raise StudyError(f"{path} exists and holds something else: choose another folder with --to")
    if new_list and (writer.folder / LIST_FILE).exists():
        raise StudyError(f"{writer.folder / LIST_FILE} exists and `{MADE_BY}` did not write it: choose another --to")


def _manifest(writer: SetWriter, options: SetOptions, stored: Manifest | None) -> Manifest:
    """The manifest to continue: the stored one, if it is of the same dataset, or a new one."""
    new = {
        "made_by": MADE_BY,
        "failmodes": __version__,
        "layout": options.layout,
        "format": options.encoding,
        "jpeg_quality": writer.jpeg_quality,
        **writer.manifest(),
        "fingerprint_of": writer.hashed,
        "corruptions": {},
    }
    if stored is None:
        return new
    check_same_set(writer.folder, stored, new)
    versions = {**stored["versions"], **new["versions"]}
    source = GeneratedSource(
        stored["recipe"], stored["seed"], stored["noise"], dependencies=versions, gray=writer.source.gray
    )
    return {**stored, "versions": versions, "source_id": source.source_id}


def _is_done(manifest: Manifest, writer: SetWriter, part: SetPart) -> bool:
    stored = manifest["corruptions"].get(part.corruption, {})
    target = writer.folder / writer.path(part)
    if any(severity_text(severity) not in stored for severity in part.severities) or not target.exists():
        return False
    if not writer.is_whole(part):
        raise StudyError(f"{target} was changed since it was written: remove it, then run the same command again")
    return True


def _write_parts(writer: SetWriter, manifest: Manifest, missing: list[SetPart], work: Path) -> None:
    """Write the missing parts; each is listed in the manifest when it is whole, then moved to its place."""
    publish_manifest(writer.folder, manifest)
    for name, content in writer.other_files().items():
        atomic_write_bytes(writer.folder / name, content)
    total = sum(len(part.severities) for part in missing) * len(writer.image_ids)
    if missing:
        note(f"corrupt: {total:,} images to generate")
    with ProgressBar("corrupt", "images") as bar:
        images = 0

        def advance(count: int) -> None:
            nonlocal images
            images += count
            bar.update(images, total, part.corruption)

        for part in missing:
            target = writer.folder / writer.path(part)
            unfinished = work / target.name
            with storage_errors(target):
                fingerprints = writer.write(part, unfinished, advance)
                manifest["corruptions"].setdefault(part.corruption, {}).update(fingerprints)
                publish_manifest(writer.folder, manifest)
                target.parent.mkdir(exist_ok=True)
                os.replace(unfinished, target)
                fsync(target.parent)
                fsync(writer.folder)
