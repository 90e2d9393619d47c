"""Writers of corrupted datasets: the clean images, and the parts of a dataset."""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corrupted_datasets.manifest import format_id_ranges
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.sources import GeneratedSource
from failmodes.warehouse.schema import CLEAN

CHUNK_BYTES = 1 << 25  # clean images at a time; as much again when corrupted
ProgressCallback = Callable[[int], None]
Fingerprints = dict[str, str]  # by severity, as its folder is called


class SetPart(NamedTuple):
    """The unit that is published in one step: a corruption at some severities, or CLEAN_PART."""

    corruption: str
    severities: tuple[Decimal, ...]


CLEAN_PART = SetPart(CLEAN, (Decimal(0),))


@dataclass(frozen=True, eq=False)
class SetWriter(ABC):
    """Writes the parts of a corrupted dataset in one layout.

    Attributes:
        folder: where the dataset is written.
        dataset: the clean images.
        image_ids: (N,) which of them, ascending.
        subset: a description of this choice.
        source: recipe, seed and noise mode.
        encoding: one of the layout's `encodings`.
        encodings: formats of its files, the default first.
        hashed: what the manifest's fingerprints are hashes of.
        part_per_severity: whether each severity is a part by itself; if not, the layout holds only severities 1 to 5.
    """

    folder: Path
    dataset: Dataset
    image_ids: NDArray[np.int64]
    subset: str
    source: GeneratedSource
    encoding: str
    encodings: ClassVar[tuple[str, ...]]
    hashed: ClassVar[str]
    part_per_severity: ClassVar[bool]

    @abstractmethod
    def path(self, part: SetPart) -> Path:
        """The file or folder that the part becomes, within the dataset's folder."""

    @abstractmethod
    def is_whole(self, part: SetPart) -> bool:
        """Whether the target is complete."""

    @abstractmethod
    def write(self, part: SetPart, to: Path, advance: ProgressCallback) -> Fingerprints:
        """Generate the part into a file or folder that does not exist yet, and flush it to the disk.

        Raises:
            OSError: it cannot be written.
        """

    def list_files(self, parts: Sequence[SetPart]) -> bytes:
        """CSV of the images of these parts, for layouts with a file per image."""
        raise NotImplementedError

    def other_files(self) -> dict[str, bytes]:
        """Content of the files besides parts and manifest, by name."""
        return {}

    @property
    def jpeg_quality(self) -> int | None:
        """Quality of JPEG files; None for other encodings."""
        return None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, 3)."""
        height, width = self.dataset.images.shape[1:3]
        return len(self.image_ids), height, width, 3

    def blocks(self, corruption: str, severity: Decimal) -> Iterator[NDArray[np.uint8]]:
        """Corrupted images, some at a time, (n, H, W, 3) uint8."""
        step = max(1, CHUNK_BYTES // int(np.prod(self.shape[1:])))
        for first in range(0, len(self.image_ids), step):
            yield self.corrupted(corruption, severity, self.image_ids[first : first + step])

    def corrupted(self, corruption: str, severity: Decimal, image_ids: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Corrupted images (n, H, W, 3) uint8; those of CLEAN_PART as they are."""
        clean = np.asarray(self.dataset.images[image_ids])
        if corruption == CLEAN:
            return clean
        return self.source.corrupted(clean, corruption, severity, image_ids, threads=os.cpu_count() or 1)

    def manifest(self) -> dict[str, Any]:
        """The keys of the manifest that describe the images and their corruption."""
        dataset = self.dataset
        row = self.source.row()
        count, height, width, _ = self.shape
        return {
            "recipe": row["recipe"],
            "seed": row["seed"],
            "noise": row["noise"],
            "versions": json.loads(row["versions"]),
            "source_id": row["source_id"],
            **({"gray": True} if self.source.gray else {}),
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

    def parts(self, corruptions: Sequence[str], severities: Sequence[Decimal]) -> list[SetPart]:
        """The parts of a dataset, in order."""
        groups = [(severity,) for severity in severities] if self.part_per_severity else [tuple(severities)]
        return [SetPart(corruption, group) for corruption in corruptions for group in groups]
