"""What a published corrupted set is, whatever its layout."""

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

from failmodes.ingest.corrupted_datasets.file_names import severity_folder
from failmodes.ingest.corrupted_datasets.manifest import SetProvenance
from failmodes.ingest.corruptions.catalog import SEVERITIES, Severity, find_corruption_name
from failmodes.ingest.data_files import read_json
from failmodes.warehouse.errors import DataError, StudyError
from failmodes.warehouse.hashing import identity_of
from failmodes.warehouse.plugins import import_modules
from failmodes.warehouse.storage.files import atomic_write_bytes


@dataclass(frozen=True, kw_only=True)
class CorruptedDataset(ABC):
    """An opened set of n images at every corruption and severity, numbered from 0 in its own order.

    Attributes:
        folder: where it lies.
        severities: those at which it holds each corruption, rising, by the corruption's published name.
        image_count: images at one severity, n.
        image_shape: (H, W, 3).
        origin: what it was made from, where its own manifest says so.
        cache: folder that remembers hashes; None: nothing is remembered.
        clean_ids: which image of the full data set each is, (n,), rising, where the set's own manifest says so.
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
        """Labels (n,) as indices into a data set's class names.

        Raises:
            DataError: it has a class that is none of them.
        """

    def images(self, corruption: str, severity: Severity, positions: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Images (N, H, W, 3) at positions 0 … n-1, under `corruption` at `severity`.

        Raises:
            StudyError: the set lacks this corruption or severity.
            DataError: a position is beyond the set, or an image is damaged.
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
        """The images, of a corruption, severity and positions that it holds."""

    def _cached_fingerprint(self, stamp: Any, subject: str, fingerprint: Callable[[], str]) -> str:
        """The fingerprint of large files, computed again where the cache has none for this stamp.

        Args:
            stamp: JSON-like values that change whenever the files do: their names, sizes and times of change.
            subject: what is hashed, for those who read the cache folder.
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
    """The severity, if it is one of those at which a set holds a corruption.

    Raises:
        StudyError: it is not.
    """
    exact = Decimal(str(severity))
    if exact not in held:
        known = "1 to 5" if held == tuple(map(Decimal, SEVERITIES)) else ", ".join(map(severity_folder, held))
        raise StudyError(f"{folder} has no {corruption} at severity {severity_folder(exact)}: it holds {known}")
    return exact


Opener = Callable[[Path, Sequence[str], Sequence[Severity], Path | None], CorruptedDataset]


class SetLayout(NamedTuple):
    """A layout of corrupted sets.

    Attributes:
        name: as its benchmark calls it.
        open: opens a folder (folder, needed corruptions, needed severities, cache); see `open_corrupted_dataset`.
        holds: whether a folder that exists has this layout.
        expected: what such a folder holds, for errors.
    """

    name: str
    open: Opener
    holds: Callable[[Path], bool]
    expected: str


_SET_LAYOUTS: dict[str, SetLayout] = {}


def set_layout(name: str, *, holds: Callable[[Path], bool], expected: str) -> Callable[[Opener], Opener]:
    """Make a function that opens a corrupted set known as a layout; see `SetLayout`."""

    def define(opener: Opener) -> Opener:
        _SET_LAYOUTS[name] = SetLayout(name, opener, holds, expected)
        return opener

    return define


@cache
def set_layouts() -> Mapping[str, SetLayout]:
    """Every layout by name, in the order in which a folder is held against them."""
    import_modules("failmodes.ingest.corrupted_datasets.layouts")
    return dict(sorted(_SET_LAYOUTS.items()))
