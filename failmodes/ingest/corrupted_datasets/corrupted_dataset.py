"""Corrupted datasets, whatever their layout: the base class, the layout registry, `open_corrupted_dataset`."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corrupted_datasets.manifest import (
    MANIFEST_FILE,
    SetProvenance,
    recorded_count,
    recorded_ids,
    recorded_origin,
)
from failmodes.ingest.corrupted_datasets.set_writer import SetWriter
from failmodes.ingest.corruptions.catalog import (
    ALIASES,
    CORRUPTIONS,
    SEVERITIES,
    Severity,
    add_corruption_of_set,
    name_in_set,
    severity_text,
)
from failmodes.ingest.data_files import file_stamp, list_entries, read_json
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.folder_listing import class_name_of
from failmodes.ingest.study_types import first_duplicate
from failmodes.runtime.errors import DataError, StudyError, listed, printable
from failmodes.runtime.hashing import identity_of
from failmodes.runtime.packages import import_modules
from failmodes.runtime.storage.files import atomic_write_bytes

FETCH_AGAIN = "download the dataset again, for example with `failmodes download`"
MAX_NAMES = 1000  # of corruptions in one dataset
LISTED = 6  # names in a message
TEXT_SUFFIXES = {".txt", ".md", ".json", ".csv", ".html", ".pdf"}  # that a publisher may add
CellOfSet = tuple[str, Decimal]  # a corruption and a severity
CleanCount = Callable[[], int | None]  # number of images of the clean dataset; None: unknown


class SetContents(NamedTuple):
    """The content of a corrupted dataset, as far as names of files and folders and headers of arrays show it.

    Attributes:
        severities: those at which it holds each corruption, ascending, by name, in the order of the catalog, then by
            name.
        damaged: corruptions that cannot be read, with the reason.
        unread: other files and folders, each with the reason if it looks like a corruption.
        by_rank: names of folders of severities that are parameters, and that are severities 1, 2 … by their rank, by
            the name of the corruption.
        image_count: images at one severity, where only labels and sizes of arrays show it; otherwise 0.
    """

    severities: dict[str, tuple[Decimal, ...]]
    damaged: dict[str, str]
    unread: tuple[str, ...]
    by_rank: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    image_count: int = 0

    @property
    def every_severity(self) -> list[Decimal]:
        """The severities at which it holds any corruption, ascending."""
        return sorted({severity for held in self.severities.values() for severity in held})

    @property
    def first_problem(self) -> str:
        """The reason why nothing in it can be read."""
        return next(iter((*self.damaged.values(), *self.unread)), "it holds no corruption")

    def absent(self, severities: Sequence[Severity]) -> frozenset[CellOfSet]:
        """The cells of its corruptions at these severities that it lacks."""
        exact = [Decimal(str(severity)) for severity in severities]
        return frozenset(
            (name, severity) for name, held in self.severities.items() for severity in exact if severity not in held
        )


class SetRequest(NamedTuple):
    """A request to open a corrupted dataset.

    Attributes:
        folder: the existing folder.
        contents: what the folder holds.
        cells: the severities to read, by corruption; the dataset holds all of them.
        cache: folder that stores hashes; None: nothing is stored.
        every: whether images that some cell lacks are left out; if not, they are an error.
    """

    folder: Path
    contents: SetContents
    cells: dict[str, tuple[Decimal, ...]]
    cache: Path | None
    every: bool


@dataclass(frozen=True, kw_only=True)
class CorruptedDataset(ABC):
    """An opened corrupted dataset: n images at every corruption and severity, numbered from 0 in its own order.

    Attributes:
        request: what was opened: its folder, what that holds, and the cache.
        image_count: images at one severity, n.
        image_shape: (H, W, 3).
        image_names: `class/name` of each image, without suffix; None where images have numbers only.
        left_out: images that some cell lacks and that are therefore left out of all, in words; empty: none.
        other_classes: classes that the clean dataset lacks and whose images are left out, in words; empty: none.
    """

    request: SetRequest
    image_count: int
    image_shape: tuple[int, ...]
    image_names: tuple[str, ...] | None = None
    left_out: str = ""
    other_classes: str = ""

    @property
    def folder(self) -> Path:
        """Its folder."""
        return self.request.folder

    @property
    def severities(self) -> dict[str, tuple[Decimal, ...]]:
        """Those at which it holds each corruption, ascending, by the corruption's published name."""
        return self.request.contents.severities

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the corruptions it holds."""
        return tuple(self.severities)

    @cached_property
    def origin(self) -> SetProvenance | None:
        """What it was generated from, where its own manifest says so."""
        return recorded_origin(self.folder)

    @cached_property
    def clean_ids(self) -> NDArray[np.int64] | None:
        """Which image of the full dataset each one is, (n,), ascending, where its own manifest says so."""
        return recorded_ids(self.folder, self.image_count)

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of the whole content."""

    def of_classes(self, class_names: tuple[str, ...]) -> "CorruptedDataset":
        """The images of some classes of a dataset: all, where the layout has no class names, or shares none."""
        del class_names
        return self

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
        name = ALIASES.get(corruption, corruption)
        if name not in self.names:
            raise StudyError(f"{self.folder} has no {corruption!r}: it holds {', '.join(self.names)}")
        exact = held_severity(self.folder, name, self.severities[name], severity)
        if positions.size and (positions.min() < 0 or positions.max() >= self.image_count):
            requested = f"{positions.min()} to {positions.max()}"
            raise DataError(f"{self.folder} holds images 0 to {self.image_count - 1}, not {requested}")
        return self._read(name, exact, positions)

    @abstractmethod
    def _read(self, name: str, severity: Decimal, positions: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Read images of a corruption, severity and positions that the dataset holds."""

    def _fingerprint_of_files(self, name: str, files: Iterable[Path], compute: Callable[[], str]) -> str:
        """The hash of a corruption's large files, recomputed where the cache has none or one of them has changed.

        Args:
            name: the corruption.
            files: its files, in order.
            compute: hashes them, which reads every byte.
        """
        stamps = identity_of([name, *map(file_stamp, files)])  # refuses what is no regular file
        if self.request.cache is None:
            return compute()
        path = self.request.cache / "fingerprints" / f"{stamps}.json"
        try:
            return str(read_json(path)["fingerprint"])
        except (FileNotFoundError, DataError, KeyError, TypeError):  # missing or damaged
            computed = compute()
        atomic_write_bytes(path, json.dumps({"corruption": name, "fingerprint": computed}).encode())
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


Opener = Callable[[SetRequest], CorruptedDataset]


class SetLayout(NamedTuple):
    """A layout of corrupted datasets.

    Attributes:
        name: as the benchmark calls it.
        open: opens a folder; see `open_corrupted_dataset`.
        contents: lists an existing folder without reading images; None if the folder has another layout. It may ask
            for the number of clean images, which opens the clean dataset.
        expected: what such a folder holds, for errors.
        writer: writes it, for `failmodes corrupt`; None for a layout that is only read.
    """

    name: str
    open: Opener
    contents: Callable[[Path, CleanCount], SetContents | None]
    expected: str
    writer: type[SetWriter] | None


_SET_LAYOUTS: dict[str, SetLayout] = {}


def set_layout(
    name: str,
    *,
    contents: Callable[[Path, CleanCount], SetContents | None],
    expected: str,
    writer: type[SetWriter] | None = None,
) -> Callable[[Opener], Opener]:
    """Register a function that opens a corrupted dataset as a layout; see `SetLayout`."""

    def define(opener: Opener) -> Opener:
        _SET_LAYOUTS[name] = SetLayout(name, opener, contents, expected, writer)
        return opener

    return define


@cache
def set_layouts() -> Mapping[str, SetLayout]:
    """Every layout by name, in the order in which they are tried on a folder."""
    import_modules("failmodes.ingest.corrupted_datasets.layouts")
    return dict(sorted(_SET_LAYOUTS.items()))


def recognize_layout(folder: Path, clean_count: CleanCount) -> tuple[SetLayout, SetContents]:
    """The layout of a corrupted dataset, which the content of its folder decides, and what the folder holds.

    Args:
        folder: the dataset.
        clean_count: number of images of the clean dataset, used where its own manifest does not say how many it has.

    Raises:
        StudyError: it does not exist.
        DataError: it has no known layout, or cannot be read.
    """
    expected = " or ".join(layout.expected for layout in set_layouts().values())
    if not folder.is_dir():
        raise StudyError(f"{folder} is not a folder: expected {expected}; {FETCH_AGAIN}")
    for layout in set_layouts().values():
        contents = layout.contents(folder, lambda: recorded_count(folder) or clean_count())
        if contents is not None:
            for name in (*contents.severities, *contents.damaged):
                add_corruption_of_set(name)
            return layout, contents
    raise DataError(f"{folder} holds no corrupted dataset: expected {expected}")


def open_corrupted_dataset(
    folder: Path,
    needed: Sequence[str],
    cache: Path | None = None,
    *,
    severities: Sequence[Severity] = (),
    absent: Collection[CellOfSet] = (),
    every: bool = False,
    clean_count: int | None = None,
) -> CorruptedDataset:
    """Open a corrupted dataset; the content of the folder decides its layout.

    Args:
        folder: of `<corruption>.npy` files (as CIFAR-10-C), of `<corruption>/<severity>/<class>/<image>` trees (as
            ImageNet-C; the folders `noise`, `blur` … of its archives may stand between), or of another of
            `set_layouts`.
        needed: corruptions that it must hold; default: all that it holds.
        cache: folder that stores hashes.
        severities: severities that it must hold each of them at; default: whatever it has.
        absent: cells that it may lack.
        every: leave out images that some cell lacks, and say how many, instead of refusing the dataset.
        clean_count: number of images of the clean dataset.

    Raises:
        StudyError: it does not exist, or lacks a needed severity.
        DataError: it lacks a needed corruption, or is damaged.
    """
    layout, contents = recognize_layout(folder, lambda: clean_count)
    held = contents.severities
    cells: dict[str, tuple[Decimal, ...]] = {}
    for name in needed or held:
        if name in contents.damaged:
            raise DataError(contents.damaged[name])
        if name not in held:
            known = f"it holds {listed(held, LISTED)}" if held else contents.first_problem
            raise DataError(f'{folder} has no {name}: {known}; {FETCH_AGAIN}, or set names = ["all"]')
        levels = [
            held_severity(folder, name, held[name], severity)
            for severity in severities
            if (name, severity) not in absent
        ]
        cells[name] = tuple(levels) or held[name]
    if not cells:
        raise DataError(f"{folder} holds no corruption that can be read: {contents.first_problem}")
    return layout.open(SetRequest(folder, contents, cells, cache, every))


def named_entries(folder: Path, entries: Sequence[str], suffix: str = "") -> tuple[dict[str, str], list[str]]:
    """The entries of a folder by the corruption that each one is named after, and those with no possible name.

    Args:
        folder: for errors.
        entries: names of files or folders.
        suffix: of the files.

    Raises:
        DataError: two entries are of one corruption, or there are more than MAX_NAMES.
    """
    entry_of_name: dict[str, str] = {}
    unnamed: list[str] = []
    for entry in entries:
        name = name_in_set(entry.removesuffix(suffix))
        if name is None:
            unnamed.append(f"{printable(entry, 60)} (the name of a corruption has up to 60 letters a-z, digits or _)")
        elif name in entry_of_name:
            kind = "files" if suffix else "folders"
            raise DataError(f"{name} has two {kind}, {folder / entry_of_name[name]} and {folder / entry}: remove one")
        else:
            entry_of_name[name] = entry
    if len(entry_of_name) > MAX_NAMES:
        raise DataError(f"{folder} holds {len(entry_of_name):,} corruptions: at most {MAX_NAMES:,} can be evaluated")
    return entry_of_name, unnamed


def in_catalog_order(names: Iterable[str]) -> list[str]:
    """Names of corruptions in the order of the catalog; others follow by name."""
    places = {name: place for place, name in enumerate(CORRUPTIONS)}
    return sorted(names, key=lambda name: (places.get(name, len(places)), name))


def other_entries(folder: Path, known: Collection[str]) -> list[str]:
    """Folders and data files that are not `known`; hidden files, texts and the manifest are ignored."""
    entries = list_entries(folder)
    files = [name for name in entries.files if Path(name).suffix.lower() not in TEXT_SUFFIXES and name != MANIFEST_FILE]
    return [
        printable(name, 60)
        for name in (*(f"{folder}/" for folder in entries.folders), *files)
        if name.rstrip("/") not in known
    ]


def image_names(dataset: Dataset) -> list[str]:
    """`class/name` of every image, without suffix: the name of its file, else its number with leading zeros.

    The class is the folder's name where that begins with it. Other folders of a file's path are left out: a list, a tar
    shard or a Parquet file may name any path.

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
    classes = [dataset.class_names[label] for label in dataset.labels.tolist()]
    if dataset.files is None:
        width = len(str(len(dataset.labels) - 1))
        return [f"{name}/{image_id:0{width}d}" for image_id, name in enumerate(classes)]
    names = [_in_class(file, class_name) for file, class_name in zip(dataset.files, classes, strict=True)]
    twice = first_duplicate(names)
    if twice is not None:
        raise DataError(
            f"two images of {dataset.label} are called {twice}, apart from their suffix: rename one of them"
        )
    return names


def _in_class(file: str, class_name: str) -> str:
    """`class/name` of a path, without its suffix."""
    *folders, name = file.split("/")
    stem = without_suffix(name)
    if not stem.strip(".") or "\\" in stem or "\0" in stem:
        raise DataError(f"image {printable(file, 100)!r} cannot be the name of a file, which this layout needs")
    is_of_class = len(folders) == 1 and class_name_of(folders[0]) == class_name
    return f"{folders[0] if is_of_class else class_name}/{stem}"


def without_suffix(file: str) -> str:
    """`class/name` of `class/name.JPEG`."""
    return file.rpartition(".")[0] or file
