"""Writing a corrupted set: checked against what is there, part by part, on record as soon as each is whole."""

import io
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np

from failmodes import __version__
from failmodes.ingest.corrupted_datasets.file_names import CIFAR_C, JPEG, JPEG_QUALITY, LABELS_FILE, severity_folder
from failmodes.ingest.corrupted_datasets.layouts.cifar_c import ArrayWriter
from failmodes.ingest.corrupted_datasets.layouts.imagenet_c import TreeWriter
from failmodes.ingest.corrupted_datasets.manifest import (
    MADE_BY,
    Manifest,
    check_same_set,
    publish_manifest,
    read_manifest,
)
from failmodes.ingest.corrupted_datasets.options import SetOptions
from failmodes.ingest.corrupted_datasets.set_writer import ProgressCallback, SetInputs, SetPart, SetWriter
from failmodes.ingest.corruptions.catalog import SEVERITIES
from failmodes.ingest.sources import GeneratedSource
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.storage.files import atomic_write_bytes, check_regular


class SetPlan(NamedTuple):
    """What is to be done: the manifest to go on with, and the parts of the set that are there and that are missing."""

    writer: SetWriter
    manifest: Manifest
    existing: list[SetPart]
    missing: list[SetPart]


def plan_set(inputs: SetInputs, options: SetOptions, folder: Path, work: Path) -> SetPlan:
    """Find what is missing of a set, and all that would stop its writing; nothing is written.

    Args:
        inputs: the clean images and how they are corrupted.
        options: layout, corruptions, severities.
        folder: where the set is to lie.
        work: the folder of unfinished work, from `locked_work_folder`.

    Raises:
        StudyError: the folder holds another set, or files that are no part of this one.
        DataError: the images do not fit the recipe or the layout.
    """
    there = read_manifest(folder)
    manifest = _manifest(folder, there, inputs, options)
    writer = _writer(inputs, options, folder, work)
    plan = SetPlan(writer, manifest, [], [])
    for part in writer.parts(options.corruptions.names, options.corruptions.severities):
        (plan.existing if _is_done(manifest, writer, part) else plan.missing).append(part)
    for part in plan.missing:
        _refuse_foreign(writer, part, begun=there is not None)
    labels, expected = folder / LABELS_FILE, _labels(inputs)
    if options.layout == CIFAR_C and labels.exists() and not _holds(labels, expected):
        raise StudyError(f"{labels} is there and holds other labels: choose another folder with --to")
    _rehearse(inputs, plan.missing)
    return plan


def write_set(plan: SetPlan, advance: ProgressCallback, finish: Callable[[SetPart], None]) -> None:
    """Write what is missing, part by part.

    Call it inside `locked_work_folder`. Killed at any instant, the same plan goes on; what it then makes is byte for
    byte what it would have made undisturbed.

    Args:
        plan: from `plan_set`.
        advance: called with the number of images made.
        finish: called with each part that is on record.

    Raises:
        StorageError: a file cannot be written.
    """
    writer, manifest = plan.writer, plan.manifest
    publish_manifest(writer.folder, manifest)
    if manifest["layout"] == CIFAR_C:
        atomic_write_bytes(writer.folder / LABELS_FILE, _labels(writer.inputs))
    for name, levels in manifest["corruptions"].items():
        for part in writer.parts([name], [Decimal(level) for level in levels]):
            writer.tidy(part)  # a writer may have been killed between record and tidying
    for part in plan.missing:
        fingerprints = writer.finished(part) if writer.target(part).exists() else None
        done = manifest["corruptions"].setdefault(part.corruption, {})
        done |= fingerprints or writer.write(part, advance)
        publish_manifest(writer.folder, manifest)
        writer.tidy(part)
        finish(part)


def _manifest(folder: Path, there: Manifest | None, inputs: SetInputs, options: SetOptions) -> Manifest:
    """The manifest to go on with: the one that is there, if it is of the same set, or a new one."""
    hashed = "pixels, uint8 (N, H, W, 3)" if options.layout == CIFAR_C else "names and bytes of the files"
    new = {
        "made_by": MADE_BY,
        "failmodes": __version__,
        "layout": options.layout,
        "format": options.encoding,
        "jpeg_quality": JPEG_QUALITY if options.encoding == JPEG else None,
        **inputs.manifest(),
        "fingerprint_of": hashed,
        "corruptions": {},
    }
    if there is None:
        return new
    check_same_set(folder, there, new)
    versions = {**there["versions"], **new["versions"]}
    source = GeneratedSource(
        there["recipe"], there["seed"], there["noise"], dependencies=versions, gray=inputs.source.gray
    )
    return {**there, "versions": versions, "source_id": source.source_id}


def _writer(inputs: SetInputs, options: SetOptions, folder: Path, work: Path) -> SetWriter:
    if options.layout == CIFAR_C:
        return ArrayWriter(folder, work, inputs)
    writer = TreeWriter(folder, work, inputs, options.encoding)
    assert writer.files  # names that cannot be are refused before anything is made
    return writer


def _is_done(manifest: Manifest, writer: SetWriter, part: SetPart) -> bool:
    stored = manifest["corruptions"].get(part.corruption, {})
    if any(severity_folder(severity) not in stored for severity in part.severities):
        return False
    target = writer.target(part)
    if target.exists() and not writer.is_whole(part):
        raise StudyError(f"{target} was changed since it was made: remove it, then run the same command again")
    return target.exists()


def _refuse_foreign(writer: SetWriter, part: SetPart, *, begun: bool) -> None:
    """Refuse what stands in the way and was not made here."""
    there = writer.target(part) if begun else writer.owned(part)
    if there.exists() and (not begun or writer.finished(part) is None):
        raise StudyError(f"{there} is there and `{MADE_BY}` did not write it: choose another folder with --to")


def _rehearse(inputs: SetInputs, parts: list[SetPart]) -> None:
    """Corrupt one image in each requested way, so that what cannot be made is known before anything is written."""
    first = inputs.image_ids[:1]
    for corruption, severities in parts:
        for severity in {severities[0], *(s for s in severities if s != int(s))}:
            inputs.corrupted(corruption, severity, first)


def _holds(path: Path, content: bytes) -> bool:
    """Whether a file holds just this; one of another size is not read."""
    return check_regular(path) == len(content) and path.read_bytes() == content


def _labels(inputs: SetInputs) -> bytes:
    """The content of the labels' file: all labels once a severity."""
    dtype = np.uint8 if len(inputs.dataset.class_names) <= 256 else np.int64
    buffer = io.BytesIO()
    np.save(buffer, np.tile(inputs.dataset.labels[inputs.image_ids].astype(dtype), len(SEVERITIES)))
    return buffer.getvalue()
