"""WebDataset: tar shards, in which 0001.jpg, 0001.cls and 0001.json are the image, label and metadata of a sample.

Labels are names, or whole numbers; their names may stand in `classnames.txt`, one per line, or `classes.json`, beside
the shards or in the folder above.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from failmodes.ingest.data_files import read_json
from failmodes.ingest.datasets.dataset import Dataset, check_labels
from failmodes.ingest.datasets.image_columns import COLUMN_KEYS
from failmodes.ingest.datasets.labeled_images import LabeledImages, open_labeled_images
from failmodes.ingest.datasets.labels import checked_class_names, classes_of
from failmodes.ingest.datasets.layout import OF_ENCODED, VALIDATION, Request, layout
from failmodes.ingest.datasets.metadata import typed_metadata
from failmodes.ingest.datasets.shard_files import shard_files
from failmodes.ingest.datasets.tar_images import Fields, TarImages, index_shards
from failmodes.ingest.study_types import first_duplicate
from failmodes.runtime.errors import DataError, StorageError, first_line, printable
from failmodes.runtime.storage.files import read_text

SUFFIXES = (".tar",)
CLASSES_FILE, CLASS_NAMES_FILE = "classes.json", "classnames.txt"
MAX_BYTES = 1 << 24  # of the class names


@layout(
    "webdataset",
    takes={*OF_ENCODED, *COLUMN_KEYS, VALIDATION},
    path_is="files",
    expected="a .tar shard, a folder of shards, or a pattern of their names",
)
def open_webdataset(request: Request) -> Dataset:
    """Open the images of tar shards, in the order of the shards and their members.

    Raises:
        DataError: a shard is damaged or cut short, a sample has no image or label, a value of the metadata is nested or
            changes its type, or as `open_labeled_images`.
    """
    files, label, is_whole = shard_files(request, SUFFIXES)
    index = index_shards(files, Fields(request.spec.image_column, request.spec.label_column), request.cache)
    names, labels = _classes(pl.Series(index["label"].to_pylist()), files[0])
    members = [name.removeprefix("./") for name in index["name"].to_pylist()]
    encoded = TarImages(files, index)
    if first_duplicate(members) is not None:
        members = [
            f"{files[shard].name}/{name}" for shard, name in zip(index["shard"].to_pylist(), members, strict=True)
        ]
    images = LabeledImages(
        encoded,
        labels,
        names,
        names=tuple(members),
        metadata=typed_metadata(_metadata(index, encoded, request.spec.metadata_columns), files[0].parent),
    )
    return replace(open_labeled_images(request, images, label), is_whole=is_whole)


def _classes(labels: pl.Series, shard: Path) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The class names and the labels (N,): by the list of names beside the shards, if there is one."""
    known = next(filter(None, map(_class_names, (shard.parent, shard.parent.parent))), None)
    names, indices = classes_of(labels, str(shard.parent))
    numbers = indices.to_numpy().astype(np.int64)
    if known is None:
        return names, numbers
    if labels.str.contains(r"^[0-9]{1,9}$").all():
        check_labels(numbers, len(known), str(shard.parent))
        return known, numbers
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise DataError(
            f"{shard.parent}: the label {printable(unknown, 60)!r} is not among its {len(known):,} class names"
        )
    places = {name: place for place, name in enumerate(known)}
    return known, np.array([places[name] for name in names], np.int64)[numbers]


def _class_names(folder: Path) -> tuple[str, ...] | None:
    """The class names that a folder lists; None without a list.

    Raises:
        DataError: the list is damaged, or names a class twice.
    """
    try:
        names = read_json(folder / CLASSES_FILE)
        path = folder / CLASSES_FILE
    except FileNotFoundError:
        path = folder / CLASS_NAMES_FILE
        try:
            names = [line.strip() for line in read_text(path, MAX_BYTES).splitlines() if line.strip()]
        except FileNotFoundError:
            return None
        except StorageError as error:
            raise DataError(f"{error}: write one class name per line") from error
    return checked_class_names(names, path)


def _metadata(index: pa.Table, encoded: TarImages, chosen: Sequence[str] | None) -> dict[str, pa.Array]:
    """Values of the JSON members as columns; `chosen` are the only keys to read.

    Raises:
        DataError: a key has values of several types.
    """
    samples = [{} if text is None else json.loads(text) for text in index["json"].to_pylist()]
    keys = dict.fromkeys(key for sample in samples for key in sample if chosen is None or key in chosen)
    return {key: _column(key, [sample.get(key) for sample in samples], encoded) for key in keys}


def _column(key: str, values: Sequence[Any], encoded: TarImages) -> pa.Array:
    kinds: dict[str, int] = {}
    for place, value in enumerate(values):
        if value is not None:
            kinds.setdefault(_kind(value), place)
    if len(kinds) > 1:
        (kind, place), (first, first_place) = list(kinds.items())[1], next(iter(kinds.items()))
        raise DataError(
            f"{encoded.location(place)}: {printable(key, 60)!r} in its .json is {kind}, but {first} in that of"
            f" {encoded.location(first_place)}: write both with one type"
        )
    if "a number" in kinds and any(isinstance(value, float) for value in values):
        values = [None if value is None else float(value) for value in values]
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError) as error:
        location = f"{encoded.files[0].parent}: {printable(key, 60)!r} of the .json members"
        raise DataError(f"{location} cannot be stored ({first_line(error)}): remove it") from error


def _kind(value: Any) -> str:
    """The type of a JSON value in words."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    return "text" if isinstance(value, str) else "nested"
