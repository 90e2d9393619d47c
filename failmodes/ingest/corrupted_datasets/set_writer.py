"""What a set is made from and what both layouts' writers share: parts, their files, and notes of unfinished work."""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corrupted_datasets.file_names import severity_folder
from failmodes.ingest.corrupted_datasets.manifest import format_id_ranges
from failmodes.ingest.data_files import read_json
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.sources import GeneratedSource
from failmodes.warehouse.errors import DataError
from failmodes.warehouse.storage.files import atomic_write_bytes

CHUNK_BYTES = 1 << 25  # clean images at a time; as much again when corrupted
ProgressCallback = Callable[[int], None]
Fingerprints = dict[str, str]  # by severity, as its folder is called


class SetPart(NamedTuple):
    """What appears in one step: a corruption at some severities."""

    corruption: str
    severities: tuple[Decimal, ...]


@dataclass(frozen=True, eq=False)
class SetInputs:
    """Clean images, which of them, and how they are corrupted.

    Attributes:
        dataset: the clean images.
        image_ids: (N,) which of them, rising.
        subset: a description of this choice.
        source: recipe, seed, sampling.
    """

    dataset: Dataset
    image_ids: NDArray[np.int64]
    subset: str
    source: GeneratedSource

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

    def manifest(self) -> dict[str, Any]:
        """The keys of the manifest that describe them."""
        dataset, row = self.dataset, self.source.row()
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


@dataclass(frozen=True)
class SetWriter(ABC):
    """Writes the parts of a set in one layout into `folder`; what is unfinished lies in `work`, with a note of it."""

    folder: Path
    work: Path
    inputs: SetInputs
    part_per_severity: ClassVar[bool]

    @abstractmethod
    def path(self, part: SetPart) -> Path:
        """The file or folder that the part becomes, within the set."""

    @abstractmethod
    def is_whole(self, part: SetPart) -> bool:
        """Whether the target holds as much as it should."""

    @abstractmethod
    def write(self, part: SetPart, advance: ProgressCallback) -> Fingerprints:
        """Make what is missing of the part, and let it appear."""

    def parts(self, corruptions: list[str], severities: list[Decimal]) -> list[SetPart]:
        """The parts of a set, in order."""
        groups = [(severity,) for severity in severities] if self.part_per_severity else [tuple(severities)]
        return [SetPart(corruption, group) for corruption in corruptions for group in groups]

    def finished(self, part: SetPart) -> Fingerprints | None:
        """Fingerprints of a target that appeared just before its writer was killed; None if it did not."""
        note, names = self.read_note(part), [severity_folder(severity) for severity in part.severities]
        if self.partial(part).exists() or any(name not in note for name in names):
            return None
        return {name: note[name] for name in names}

    def target(self, part: SetPart) -> Path:
        """The file or folder that the part becomes."""
        return self.folder / self.path(part)

    def owned(self, part: SetPart) -> Path:
        """What nobody else may have put in the set's folder: the corruption's file or folder."""
        return self.folder / self.path(part).parts[0]

    def partial(self, part: SetPart) -> Path:
        """The target as long as it is unfinished."""
        return self.work / self.path(part)

    def read_note(self, part: SetPart) -> dict[str, Any]:
        """What is noted of an unfinished part; nothing where there is no note."""
        try:
            note = read_json(self._note(part))
        except (FileNotFoundError, DataError):
            return {}
        return note if isinstance(note, dict) else {}

    def write_note(self, part: SetPart, note: dict[str, Any]) -> None:
        """Note how far the part is; only what is on the disk may be noted."""
        atomic_write_bytes(self._note(part), json.dumps(note).encode())

    def tidy(self, part: SetPart) -> None:
        """Remove the note of a part that is on record."""
        self._note(part).unlink(missing_ok=True)

    def _note(self, part: SetPart) -> Path:
        return self.work / f"{'-'.join(self.path(part).parts).removesuffix('.npy')}.json"
