"""Datasets of `torchvision.datasets`, by the name of their class, from local files: nothing is downloaded.

torchvision checks the published checksum of files before it unpickles any of them. It opens image files itself, without
applying their EXIF rotation.
"""

import inspect
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.data_files import data_errors, file_stamp, map_npy_if_whole
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.labeled_images import LabeledImages, open_labeled_images
from failmodes.ingest.datasets.layout import OF_ENCODED, VALIDATION, Request, layout, refuse_other_split
from failmodes.ingest.datasets.preparation import Encoded
from failmodes.runtime.errors import DataError, StudyError, did_you_mean, printable
from failmodes.runtime.hashing import identity_of
from failmodes.runtime.packages import library_versions, require
from failmodes.runtime.storage.files import atomic_write

SPLIT_NAMES = {"validation": "val"}  # in torchvision, where they differ
TARGETS = ("targets", "labels")  # attributes with the labels of all images


class TorchvisionImages:
    """Images of a dataset that decodes them itself.

    Attributes:
        files: all files below its folder.
    """

    def __init__(self, dataset: Any, files: list[Path], name: str) -> None:
        self.files = files
        self._dataset = dataset
        self._name = name
        self._lock = Lock()  # some read from one open file

    def __len__(self) -> int:
        return len(self._dataset)

    def location(self, place: int) -> str:
        """The class and the position."""
        return f"{self._name}, image {place}"

    def read(self, places: NDArray[np.int64]) -> Iterator[Encoded]:
        """Images of PIL; no bytes where one cannot be decoded."""
        return (self.item(int(place))[0] for place in places)

    def item(self, place: int) -> tuple[Any, Any]:
        """The image and the target."""
        with self._lock:
            try:
                image, target = self._dataset[place]
            except (OSError, SyntaxError):  # PIL's errors about an image file
                return b"", None
        return image, target


@layout(
    "torchvision",
    takes={*OF_ENCODED, "name", VALIDATION},
    expected="the folder that holds the files of the dataset, which torchvision calls root",
)
def open_torchvision(request: Request) -> Dataset:
    """Open a dataset of torchvision.

    Raises:
        StudyError: `name` or `path` is missing, or there is no such class.
        MissingExtraError: torchvision is not installed.
        DataError: files are missing or damaged, it has no such split or no single class per image, or as
            `open_labeled_images`.
    """
    spec = request.spec
    if spec.path is None or spec.name is None:
        raise StudyError('kind "torchvision" needs `name`, a class of torchvision.datasets, and `path`, its root')
    require("evaluate", 'kind = "torchvision"', ["torchvision"])
    dataset, has_splits = _open(request, spec.name)
    files = sorted(file for file in request.path.rglob("*") if file.is_file())
    encoded = TorchvisionImages(dataset, files, spec.name)
    labels = _labels(dataset, encoded, request)
    names = _class_names(dataset, labels)
    images = LabeledImages(encoded, labels, names)
    return replace(open_labeled_images(request, images, printable(spec.name)), is_whole=not has_splits)


def _open(request: Request, name: str) -> tuple[Any, bool]:
    """The dataset; and whether it has splits."""
    library = import_module("torchvision.datasets")  # by name: reading other datasets needs no PyTorch
    if name not in library.__all__:
        raise StudyError(f"torchvision.datasets has no class {name!r}: {did_you_mean(name, library.__all__)}")
    known = inspect.signature(getattr(library, name)).parameters
    arguments: dict[str, Any] = {}
    if "train" in known:
        if request.split == VALIDATION:
            raise DataError(f"{name} has the splits train and test: set `split`")
        arguments["train"] = request.split == "train"
    elif "split" in known:
        arguments["split"] = SPLIT_NAMES.get(request.split, request.split)
    else:
        refuse_other_split(request)
    with data_errors(f"{request.path}: torchvision's {name}", "cannot be opened", ": check path and split"):
        return getattr(library, name)(str(request.path), **arguments), bool(arguments)


def _labels(dataset: Any, encoded: TorchvisionImages, request: Request) -> NDArray[np.int64]:
    """The labels (N,): those that the dataset lists, else those of its items, which are stored in the cache.

    Raises:
        DataError: they are not one whole number per image.
    """
    stated = next((getattr(dataset, name) for name in TARGETS if hasattr(dataset, name)), None)
    if stated is not None:
        return _whole_numbers(stated, encoded, request)
    facts = [request.spec.name, request.split, [*map(file_stamp, encoded.files)], library_versions(("torchvision",))]
    path = request.cache / "indexes" / f"{identity_of(facts)}.npy"
    stored = map_npy_if_whole(path)
    if stored is None:
        targets = [encoded.item(place)[1] for place in range(len(encoded))]
        if None in targets:  # without its image, there is no label to leave out either
            raise DataError(f"{encoded.location(targets.index(None))} cannot be decoded: replace or remove it")
        stored = _whole_numbers(targets, encoded, request)
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.save(file, stored)
    return _whole_numbers(stored, encoded, request)


def _whole_numbers(targets: Any, encoded: TorchvisionImages, request: Request) -> NDArray[np.int64]:
    labels = np.asarray(targets)
    if labels.shape != (len(encoded),) or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"{request.spec.name}: its targets are {labels.dtype} {labels.shape}: expected one class index per image"
        )
    return labels.astype(np.int64)


def _class_names(dataset: Any, labels: NDArray[np.int64]) -> tuple[str, ...]:
    """The names of the classes: WordNet ids if the dataset has them, else its `classes`, else numbers."""
    names = getattr(dataset, "wnids", None) or getattr(dataset, "classes", None)
    if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names) and names:
        return tuple(names)
    return tuple(map(str, range(int(labels.max()) + 1)))
