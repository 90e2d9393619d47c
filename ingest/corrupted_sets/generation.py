"""Writing a corrupted set: checked against what is there, unit by unit, on record as soon as each is whole."""

import io
from collections.abc import Callable
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np

from failmodes.ingest.corrupted_sets.cifar_c_writer import ArrayWriter
from failmodes.ingest.corrupted_sets.imagenet_c_writer import TreeWriter
from failmodes.ingest.corrupted_sets.layouts import CIFAR_C, LABELS_FILE, severity_folder
from failmodes.ingest.corrupted_sets.manifest import MADE_BY, Manifest, check_same_set, publish_manifest, read_manifest
from failmodes.ingest.corrupted_sets.options import JPEG, JPEG_QUALITY, SetOptions
from failmodes.ingest.corrupted_sets.set_writer import ProgressCallback, SetInputs, SetPart, SetWriter
from failmodes.ingest.corruptions.catalogue import SEVERITIES
from failmodes.ingest.sources import GeneratedSource
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.provenance import now_utc
from failmodes.warehouse.storage.files import atomic_write_bytes


class SetCallbacks(NamedTuple):
    """What a writer tells about its progress.

    Attributes:
        begin: units missing, images to make.
        advance: images made.
        unit: a unit is on record.
    """

    begin: Callable[[int, int], None]
    advance: ProgressCallback
    unit: Callable[[SetPart], None]


class SetPlan(NamedTuple):
    """What is to be done: the manifest to go on with, all units of the set, and those missing."""

    folder: Path
    material: SetInputs
    writer: SetWriter
    manifest: Manifest
    units: list[SetPart]
    missing: list[SetPart]


class SetReport(NamedTuple):
    """How many corruptions × severities were made, and how many were there."""

    made: int
    found: int


def plan_set(material: SetInputs, request: SetOptions, folder: Path, work: Path) -> SetPlan:
    """Find what is missing of a set, and all that would stop its writing; nothing is written.

    Args:
        material: the clean images and how they are corrupted.
        request: layout, corruptions, severities.
        folder: where the set is to lie.
        work: the folder of unfinished work, from `one_writer`.

    Raises:
        StudyError: the folder holds another set, or files that are no part of this one.
        DataError: the images do not fit the recipe or the layout.
    """
    there = read_manifest(folder)
    manifest = _manifest(folder, there, material, request)
    writer = _writer(material, request, folder, work)
    units = writer.units(request.corruptions.names, request.corruptions.severities)
    missing = [unit for unit in units if not _is_done(manifest, writer, unit)]
    for unit in missing:
        _refuse_foreign(writer, unit, begun=there is not None)
    labels = folder / LABELS_FILE
    if request.layout == CIFAR_C and labels.exists() and labels.read_bytes() != _labels(material):
        raise StudyError(f"{labels} is there and holds other labels: choose another folder with --to")
    _rehearse(material, missing)
    return SetPlan(folder, material, writer, manifest, units, missing)


def write_set(job: SetPlan, progress: SetCallbacks) -> SetReport:
    """Write what is missing, unit by unit.

    Call it inside `one_writer`. Killed at any instant, the same job goes on; what it then makes is byte for byte what
    it would have made undisturbed.

    Raises:
        StorageError: a file cannot be written.
    """
    folder, material, writer, manifest, units, missing = job
    made, wanted = (sum(len(unit.severities) for unit in some) for some in (missing, units))
    progress.begin(len(missing), made * len(material.image_ids))
    publish_manifest(folder, manifest)
    if manifest["layout"] == CIFAR_C:
        atomic_write_bytes(folder / LABELS_FILE, _labels(material))
    for name, levels in manifest["corruptions"].items():
        for unit in writer.units([name], [Decimal(level) for level in levels]):
            writer.tidy(unit)  # a writer may have been killed between record and tidying
    for unit in missing:
        fingerprints = writer.finished(unit) if writer.target(unit).exists() else None
        done = manifest["corruptions"].setdefault(unit.corruption, {})
        done |= fingerprints or writer.write(unit, progress.advance)
        publish_manifest(folder, manifest)
        writer.tidy(unit)
        progress.unit(unit)
    return SetReport(made, wanted - made)


def _manifest(folder: Path, there: Manifest | None, material: SetInputs, request: SetOptions) -> Manifest:
    """The manifest to go on with: the one that is there, if it is of the same set, or a new one."""
    quality = JPEG_QUALITY if request.encoding == JPEG else None
    hashed = "pixels, uint8 (N, H, W, 3)" if request.layout == CIFAR_C else "names and bytes of the files"
    new = {
        "made_by": MADE_BY,
        "failmodes": version("failmodes"),
        "date_utc": now_utc().isoformat(),
        "layout": request.layout,
        "format": request.encoding,
        "jpeg_quality": quality,
        **material.facts(),
        "fingerprint_of": hashed,
        "corruptions": {},
    }
    if there is None:
        return new
    check_same_set(folder, there, new)
    versions = {**there["versions"], **new["versions"]}
    source = GeneratedSource(there["recipe"], there["seed"], there["draws"], also=versions)
    return {**there, "versions": versions, "source_id": source.source_id}


def _writer(material: SetInputs, request: SetOptions, folder: Path, work: Path) -> SetWriter:
    if request.layout == CIFAR_C:
        return ArrayWriter(folder, work, material)
    writer = TreeWriter(folder, work, material, request.encoding)
    assert writer.files  # names that cannot be are refused before anything is made
    return writer


def _is_done(manifest: Manifest, writer: SetWriter, unit: SetPart) -> bool:
    on_record = manifest["corruptions"].get(unit.corruption, {})
    if any(severity_folder(severity) not in on_record for severity in unit.severities):
        return False
    target = writer.target(unit)
    if target.exists() and not writer.is_whole(unit):
        raise StudyError(f"{target} was changed since it was made: remove it, then run the same command again")
    return target.exists()


def _refuse_foreign(writer: SetWriter, unit: SetPart, *, begun: bool) -> None:
    """Refuse what stands in the way and was not made here."""
    there = writer.target(unit) if begun else writer.place(unit)
    if there.exists() and (not begun or writer.finished(unit) is None):
        raise StudyError(f"{there} is there and `{MADE_BY}` did not write it: choose another folder with --to")


def _rehearse(material: SetInputs, units: list[SetPart]) -> None:
    """Corrupt one image by all that is asked for, so that what cannot be made is known before anything is written."""
    first = material.image_ids[:1]
    for corruption, severities in units:
        for severity in {severities[0], *(s for s in severities if s != int(s))}:
            material.corrupted(corruption, severity, first)


def _labels(material: SetInputs) -> bytes:
    """The content of the labels' file: all labels once a severity."""
    kind = np.uint8 if len(material.dataset.class_names) <= 256 else np.int64
    buffer = io.BytesIO()
    np.save(buffer, np.tile(material.labels.astype(kind), len(SEVERITIES)))
    return buffer.getvalue()
