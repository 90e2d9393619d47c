"""What a published corrupted set is, whatever its layout.

Hashes of large files, remembered in the cache folder for as long as their names, sizes and times stay the same.
"""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corrupted_sets.manifest import SetProvenance
from failmodes.warehouse.errors import DataError
from failmodes.warehouse.hashing import identity_of
from failmodes.warehouse.storage.files import atomic_write_bytes


class CorruptedSet(Protocol):
    """An opened set of n images at every corruption and severity, numbered from 0 in its own order."""

    @property
    def folder(self) -> Path:
        """Where it lies."""

    @property
    def names(self) -> tuple[str, ...]:
        """Published names of the corruptions it holds."""

    @property
    def image_count(self) -> int:
        """Images at one severity, n."""

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(H, W, 3)."""

    @property
    def image_names(self) -> tuple[str, ...] | None:
        """`class/name` of each image, without suffix; None where images have numbers only."""

    @property
    def clean_ids(self) -> NDArray[np.int64] | None:
        """Which image of the full data set each is, (n,), rising, where the set's own manifest says so."""

    @property
    def origin(self) -> SetProvenance | None:
        """What it was made from, where its own manifest says so."""

    @property
    def fingerprint(self) -> str:
        """Hash of the whole content."""

    def severities_of(self, corruption: str) -> tuple[Decimal, ...]:
        """Severities at which it holds `corruption`, rising."""

    def labels_in(self, class_names: tuple[str, ...]) -> NDArray[np.int64]:
        """Labels (n,) as indices into a data set's class names.

        Raises:
            DataError: it has a class that is none of them.
        """

    def images(
        self, corruption: str, severity: int | float | Decimal, numbers: NDArray[np.integer]
    ) -> NDArray[np.uint8]:
        """Images (N, H, W, 3) by number, under `corruption` at `severity`.

        Raises:
            StudyError: the set lacks this corruption or severity.
            DataError: a number is beyond the set, or an image is damaged.
        """


def check_numbers(folder: Path, image_count: int, numbers: NDArray[np.integer]) -> None:
    """Check that images are within a set.

    Raises:
        DataError: one is not.
    """
    if numbers.size and (numbers.min() < 0 or numbers.max() >= image_count):
        raise DataError(f"{folder} holds images 0 to {image_count - 1}, not {numbers.min()} to {numbers.max()}")


def cached_fingerprint(cache: Path | None, stamp: Any, what: str, fingerprint: Callable[[], str]) -> str:
    """The fingerprint of files, taken anew where the cache has none for this stamp.

    Args:
        cache: folder that remembers; None: nothing is.
        stamp: JSON-like facts that change whenever the files do, such as names, sizes and times of change.
        what: what is hashed, for whoever reads the memory.
        fingerprint: takes it, which needs every byte to be read.
    """
    if cache is None:
        return fingerprint()
    memory = cache / "fingerprints" / f"{identity_of(stamp)}.json"
    try:
        return str(json.loads(memory.read_text())["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):  # not there, or damaged: either way it is made
        found = fingerprint()
    atomic_write_bytes(memory, json.dumps({"file": what, "fingerprint": found}).encode())
    return found
