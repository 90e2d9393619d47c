"""What a set is made from: clean images and the recipe they are corrupted by, some at a time."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corrupted_sets.manifest import format_id_ranges
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.sources import GeneratedSource

CHUNK_BYTES = 1 << 25  # clean images at a time; as much again when corrupted

ProgressCallback = Callable[[int], None]

Fingerprints = dict[str, str]  # by severity, as its folder is called


class SetPart(NamedTuple):
    """What appears in one step: a corruption at some severities."""

    corruption: str
    severities: tuple[Decimal, ...]


class SetWriter(Protocol):
    """Writes the units of one layout."""

    def units(self, corruptions: list[str], severities: list[Decimal]) -> list[SetPart]:
        """The units of a set, in order."""

    def place(self, unit: SetPart) -> Path:
        """What nobody else may have put in the set's folder: the corruption's file or folder."""

    def target(self, unit: SetPart) -> Path:
        """The file or folder that the unit becomes."""

    def is_whole(self, unit: SetPart) -> bool:
        """Whether the target holds as much as it should."""

    def finished(self, unit: SetPart) -> Fingerprints | None:
        """Fingerprints of a target that appeared just before its writer was killed; None if it did not."""

    def write(self, unit: SetPart, advance: ProgressCallback) -> Fingerprints:
        """Make what is missing of the unit, and let it appear."""

    def tidy(self, unit: SetPart) -> None:
        """Forget the notes of a unit that is on record."""


@dataclass(frozen=True, eq=False)
class SetInputs:
    """Clean images, which of them, and how they are corrupted.

    Attributes:
        dataset: the clean images.
        image_ids: (N,) which of them, rising.
        subset: the same in words.
        source: recipe, seed, draws.
    """

    dataset: Dataset
    image_ids: NDArray[np.int64]
    subset: str
    source: GeneratedSource

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,) class indices."""
        return self.dataset.labels[self.image_ids]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, 3)."""
        height, width = self.dataset.images.shape[1:3]
        return len(self.image_ids), height, width, 3

    def blocks(self, corruption: str, severity: Decimal, start: int = 0) -> Iterator[NDArray[np.uint8]]:
        """Corrupted images from position `start` on, some at a time, (n, H, W, 3) uint8."""
        step = max(1, CHUNK_BYTES // int(np.prod(self.shape[1:])))
        for first in range(start, len(self.image_ids), step):
            yield self.corrupted(corruption, severity, self.image_ids[first : first + step])

    def corrupted(self, corruption: str, severity: Decimal, image_ids: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Corrupted images (n, H, W, 3) uint8."""
        clean = np.asarray(self.dataset.images[image_ids])
        return self.source.corrupted(clean, corruption, severity, image_ids, threads=os.cpu_count() or 1)

    def facts(self) -> dict[str, Any]:
        """What the manifest says of it."""
        dataset, row = self.dataset, self.source.row()
        count, height, width, _ = self.shape
        return {
            "recipe": row["recipe"],
            "seed": row["seed"],
            "draws": row["draws"],
            "versions": json.loads(row["versions"]),
            "source_id": row["source_id"],
            "dataset": {
                "dataset_id": dataset.dataset_id,
                "name": dataset.name,
                "label": dataset.label,
                "split": dataset.split,
                "note": dataset.note,
                "image_count": len(dataset.labels),
                "class_names": list(dataset.class_names),
            },
            "images": count,
            "image_ids": format_id_ranges(self.image_ids, len(dataset.labels)),
            "subset": self.subset,
            "height_px": height,
            "width_px": width,
        }
