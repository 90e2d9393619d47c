"""`failmodes corrupt`, once its options are understood."""

from pathlib import Path

from rich.console import Console

from ingest.corrupted_sets.material import Material
from ingest.corrupted_sets.progress import writing_bar
from ingest.corrupted_sets.request import Request
from ingest.corrupted_sets.workplace import one_writer
from ingest.corrupted_sets.writing import prepare_set, write_set
from ingest.datasets import Dataset, open_dataset
from ingest.sources import GeneratedSource, open_source
from ingest.specification import DatasetSpec
from ingest.subset import choose_images
from warehouse.errors import Interrupted, StudyError


def write(spec: DatasetSpec, request: Request, folder: Path, cache: Path | None = None) -> Path:
    """Write a set, telling on stderr what is made.

    Args:
        spec: the clean images.
        request: the set to make of them.
        folder: where it is to lie.
        cache: where decoded images are kept; in the work folder, as long as it is there, if not given.

    Returns:
        The set's folder.

    Raises:
        FailmodesError: something is not what it should be, see `prepare_set`; Interrupted: the user stopped it.
    """
    _refuse_within(folder, spec)
    console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    try:
        with one_writer(folder) as work:
            material = _material(open_dataset(spec, cache or work / "cache"), spec, request)
            job = prepare_set(material, request, folder, work)
            console.print(f"corrupt: {_words(material, request)}")
            for name, reason in request.left_out.items():
                console.print(f"corrupt: {name} is left out: {reason}")
            with writing_bar() as progress:
                made, found = write_set(job, progress)
    except KeyboardInterrupt as error:
        raise Interrupted("stopped; what is finished is kept: run the same command to go on") from error
    console.print(f"corrupt: {made} corruptions × severities made, {found} were there")
    return folder


def _material(dataset: Dataset, spec: DatasetSpec, request: Request) -> Material:
    source = open_source(request.corruptions, request.corruptions.seeds[0], dataset)
    assert isinstance(source, GeneratedSource)
    return Material(dataset, *choose_images(dataset.labels, spec.images), source)


def _words(material: Material, request: Request) -> str:
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
