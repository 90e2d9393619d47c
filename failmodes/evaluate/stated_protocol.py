"""The protocol that an evaluation states: the one that it satisfies, or the nearest with each deviation."""

from collections.abc import Iterable
from typing import Any

from failmodes.evaluate.evaluation import Evaluation
from failmodes.ingest.corrupted_datasets.published_source import PublishedSource
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.folder_listing import class_name_of
from failmodes.ingest.datasets.imagenet_classes import by_wordnet_id, imagenet_names
from failmodes.ingest.protocols.protocol import (
    IMAGENET,
    Conditions,
    Protocol,
    list_sha256,
    nearest_protocol,
    published_protocols,
)
from failmodes.ingest.sources import GeneratedSource, Source
from failmodes.warehouse.shards.format import CLEAN_CELL, Cell

FEWEST_CLASSES = 2  # with which a dataset of WordNet ids is one of ImageNet's images


def stated_protocol(evaluation: Evaluation, cells: Iterable[Cell], more: list[Protocol]) -> dict[str, Any]:
    """The columns `protocol`, `deviations` and `averaging` of `evaluations`.

    Args:
        evaluation: an evaluation.
        cells: those that it has, or will have.
        more: protocols of the study.
    """
    nearest = nearest_protocol(conditions_of(evaluation, cells, more), more)
    if nearest is None:
        return {}
    protocol, found = nearest
    return {"protocol": protocol.name, "deviations": found, "averaging": protocol.averaging}


def conditions_of(evaluation: Evaluation, cells: Iterable[Cell], more: list[Protocol]) -> Conditions:
    """The conditions of an evaluation; see `stated_protocol`."""
    dataset, source, subset, _ = evaluation.data
    files = None if dataset.files is None else [dataset.files[image_id] for image_id in subset.clean_ids]
    among = {"subset": True, "all": False, None: None}
    pixels, recipe = _pixels(source)
    return Conditions(
        _kind(dataset, more),
        dataset.version,
        len(subset.clean_ids),
        len(dataset.class_names),
        None if files is None else list_sha256(files),
        _altered(dataset),
        frozenset((cell.corruption, cell.severity) for cell in cells if cell != CLEAN_CELL),
        pixels,
        recipe,
        among[evaluation.model.output_map.protocol],
    )


def _kind(dataset: Dataset, more: list[Protocol]) -> str:
    """The dataset as protocols name it."""
    if any(dataset.name == protocol.dataset for protocol in (*more, *published_protocols().values())):
        return dataset.name
    names = {class_name_of(name) for name in dataset.class_names}
    is_imagenet = names <= by_wordnet_id().keys() or names <= {*imagenet_names()}
    return IMAGENET if is_imagenet and len(names) >= FEWEST_CLASSES else dataset.name


def _altered(dataset: Dataset) -> str:
    """How the images differ from the published test images, in words."""
    copy = "JPEG copy" if "JPEG copy" in (dataset.note or "") else ""
    split = "training images" if dataset.split == "train" else ""
    return ", ".join(filter(None, [copy, split]))


def _pixels(source: Source) -> tuple[str, str | None]:
    """The source of pixels, and the recipe of generated ones."""
    if isinstance(source, PublishedSource):
        return ("published" if source.published.origin is None else "rewritten"), None
    if isinstance(source, GeneratedSource):
        return "generated", source.recipe
    return "none", None
