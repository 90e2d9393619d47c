"""Corrupted datasets, whatever their layout: the base class, the layout registry, `open_corrupted_dataset`."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corrupted_datasets.manifest import SetProvenance
from failmodes.ingest.corrupted_datasets.set_writer import SetWriter
from failmodes.ingest.corruptions.catalog import SEVERITIES, Severity, find_corruption_name, severity_text
from failmodes.ingest.data_files import read_json
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.study_types import first_duplicate
from failmodes.warehouse.errors import DataError, StudyError
from failmodes.warehouse.hashing import identity_of
from failmodes.warehouse.plugins import import_modules
from failmodes.warehouse.storage.files import atomic_write_bytes

FETCH_AGAIN = "download the dataset again, for example with `failmodes download`"


@dataclass(frozen=True, kw_only=True)
class CorruptedDataset(ABC):
    """An opened corrupted dataset: n images at every corruption and severity, numbered from 0 in its own order.

    Attributes:
        folder: its folder.
        severities: those at which it holds each corruption, ascending, by the corruption's published name.
        image_count: images at one severity, n.
        image_shape: (H, W, 3).
        origin: what it was generated from, where its own manifest says so.
        cache: folder that stores hashes; None: nothing is stored.
        clean_ids: which image of the full dataset each one is, (n,), ascending, where the manifest says so.
        image_names: `class/name` of each image, without suffix; None where images have numbers only.
    """

    folder: Path
    severities: dict[str, tuple[Decimal, ...]]
    image_count: int
    image_shape: tuple[int, ...]
    origin: SetProvenance | None
    cache: Path | None
    clean_ids: NDArray[np.int64] | None = None
    image_names: tuple[str, ...] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Published names of the corruptions it holds."""
        return tuple(self.severities)

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of the whole content."""

    @abstractmethod
    def labels_in(self, class_names: tuple[str, ...]) -> NDArray[np.int64]:
        """Labels (n,) as indices into the class names of a dataset.

        Raises:
            DataError: it has a class that is none of them.
        """

    def images(self, corruption: str, severity: Severity, positions: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Images (N, H, W, 3) at positions 0 … n-1, under `corruption` at `severity`.

        Raises:
            StudyError: it lacks this corruption or severity.
            DataError: a position is out of range, or an image is damaged.
        """
        name = find_corruption_name(corruption)
        if name is None or name not in self.names:
            raise StudyError(f"{self.folder} has no {corruption!r}: it holds {', '.join(self.names)}")
        exact = held_severity(self.folder, name, self.severities[name], severity)
        if positions.size and (positions.min() < 0 or positions.max() >= self.image_count):
            given = f"{positions.min()} to {positions.max()}"
            raise DataError(f"{self.folder} holds images 0 to {self.image_count - 1}, not {given}")
        return self._read(name, exact, positions)

    @abstractmethod
    def _read(self, name: str, severity: Decimal, positions: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Read images of a corruption, severity and positions that the dataset holds."""

    def _cached_fingerprint(self, stamp: Any, subject: str, fingerprint: Callable[[], str]) -> str:
        """The fingerprint of large files, recomputed where the cache has none for this stamp.

        Args:
            stamp: JSON-like values that change whenever the files do: their names, sizes and modification times.
            subject: what is hashed, for readers of the cache folder.
            fingerprint: computes it, which reads every byte.
        """
        if self.cache is None:
            return fingerprint()
        path = self.cache / "fingerprints" / f"{identity_of(stamp)}.json"
        try:
            return str(read_json(path)["fingerprint"])
        except (FileNotFoundError, DataError, KeyError, TypeError):  # missing or damaged
            computed = fingerprint()
        atomic_write_bytes(path, json.dumps({"file": subject, "fingerprint": computed}).encode())
        return computed


def held_severity(folder: Path, corruption: str, held: tuple[Decimal, ...], severity: Severity) -> Decimal:
    """The severity, if the dataset holds the corruption at it.

    Raises:
        StudyError: it does not.
    """
    exact = Decimal(str(severity))
    if exact not in held:
        known = "1 to 5" if held == tuple(map(Decimal, SEVERITIES)) else ", ".join(map(severity_text, held))
        raise StudyError(f"{folder} has no {corruption} at severity {severity_text(exact)}: it holds {known}")
    return exact


Opener = Callable[[Path, Sequence[str], Sequence[Severity], Path | None], CorruptedDataset]


class SetLayout(NamedTuple):
    """A layout of corrupted datasets.

    Attributes:
        name: as the benchmark calls it.
        open: opens a folder (folder, needed corruptions, needed severities, cache); see `open_corrupted_dataset`.
        holds: whether an existing folder has this layout.
        expected: what such a folder holds, for errors.
        writer: writes it, for `failmodes corrupt`; None for a layout that is only read.
    """

    name: str
    open: Opener
    holds: Callable[[Path], bool]
    expected: str
    writer: type[SetWriter] | None


_SET_LAYOUTS: dict[str, SetLayout] = {}


def set_layout(
    name: str, *, holds: Callable[[Path], bool], expected: str, writer: type[SetWriter] | None = None
) -> Callable[[Opener], Opener]:
    """Register a function that opens a corrupted dataset as a layout; see `SetLayout`."""

    def define(opener: Opener) -> Opener:
        _SET_LAYOUTS[name] = SetLayout(name, opener, holds, expected, writer)
        return opener

    return define


@cache
def set_layouts() -> Mapping[str, SetLayout]:
    """Every layout by name, in the order in which they are tried on a folder."""
    import_modules("failmodes.ingest.corrupted_datasets.layouts")
    return dict(sorted(_SET_LAYOUTS.items()))


def open_corrupted_dataset(
    folder: Path, needed: Sequence[str], cache: Path | None = None, *, severities: Sequence[Severity] = ()
) -> CorruptedDataset:
    """Open a corrupted dataset; the content of the folder decides its layout.

    Args:
        folder: of `<corruption>.npy` files (as CIFAR-10-C), of `<corruption>/<severity>/<class>/<image>` trees (as
            ImageNet-C; the folders `noise`, `blur` … of its archives may stand between), or of another of
            `set_layouts`.
        needed: corruptions that it must hold.
        cache: folder that stores hashes.
        severities: severities that it must hold each of them at; default: whatever it has.

    Raises:
        StudyError: it does not exist.
        DataError: it lacks what is needed, or is damaged.
    """
    expected = " or ".join(layout.expected for layout in set_layouts().values())
    if not folder.is_dir():
        raise StudyError(f"{folder} is not a folder: expected {expected}; {FETCH_AGAIN}")
    for layout in set_layouts().values():
        if layout.holds(folder):
            return layout.open(folder, needed, severities, cache)
    raise DataError(f"{folder} holds no corrupted dataset: expected {expected}")


def image_names(dataset: Dataset) -> list[str]:
    """`class/name` of every image, without suffix: the name of its file, else its number with leading zeros.

    Raises:
        DataError: two images share one, or a class name cannot be a folder's.
    """
    for name in dataset.class_names:
        if not name or name.startswith(".") or any(character in name for character in "/\\\0"):
            raise DataError(
                f"class {name!r} cannot be the name of a folder, and this layout needs one folder per class"
            )
    if first_duplicate(dataset.class_names) is not None:
        raise DataError("two classes have the same name, and this layout needs one folder per class")
    if dataset.files is None:
        width = len(str(len(dataset.labels) - 1))
        classes = [dataset.class_names[label] for label in dataset.labels.tolist()]
        return [f"{name}/{image_id:0{width}d}" for image_id, name in enumerate(classes)]
    names = [without_suffix(file) for file in dataset.files]
    twice = first_duplicate(names)
    if twice is not None:
        raise DataError(
            f"two images of {dataset.label} are called {twice}, apart from their suffix: rename one of them"
        )
    return names


def without_suffix(file: str) -> str:
    """`class/name` of `class/name.JPEG`."""
    return file.rpartition(".")[0] or file
