"""Opening a published set, whatever its layout, and the source of pixels that it is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corrupted_sets.cifar_c import open_cifar_c
from failmodes.ingest.corrupted_sets.corrupted_set import CorruptedSet
from failmodes.ingest.corrupted_sets.imagenet_c import corruption_folders, open_imagenet_c
from failmodes.ingest.corrupted_sets.layouts import FETCH_AGAIN, LABELS_FILE
from failmodes.ingest.corrupted_sets.pairing import pair_with_published
from failmodes.ingest.corruptions.apply import ImageIds
from failmodes.ingest.corruptions.catalogue import Severity
from failmodes.ingest.corruptions.kernels.base import Images
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.specification import CorruptionSpec
from failmodes.warehouse.errors import DataError
from failmodes.warehouse.hashing import identity_of


def open_corrupted_set(
    folder: Path, needed: Sequence[str], cache: Path | None = None, *, severities: Sequence[Severity] = ()
) -> CorruptedSet:
    """Open a set; its layout follows from what the folder holds.

    Args:
        folder: of `<corruption>.npy` files (as CIFAR-10-C) or of `<corruption>/<severity>/<class>/<image>` trees (as
            ImageNet-C; the tars' folders `noise`, `blur` … may stand between).
        needed: corruptions that it must hold.
        cache: folder that remembers hashes.
        severities: severities that it must hold each of them at; whatever it has, if none are given.

    Raises:
        DataError: it is missing, lacks what is needed, or is damaged.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: expected one of <corruption>.npy and {LABELS_FILE}; {FETCH_AGAIN}")
    if any(folder.glob("*.npy")):
        return open_cifar_c(folder, needed, severities, cache)
    if corruption_folders(folder):
        return open_imagenet_c(folder, needed, severities, cache)
    raise DataError(
        f"{folder} holds no corrupted set: expected <corruption>.npy and {LABELS_FILE} (as CIFAR-10-C), or folders"
        " <corruption>/<severity>/<class>/<image> (as ImageNet-C)"
    )


class PublishedSource:
    """A published corrupted set: the pixels lie on disk.

    Its images are identified by the image_id of their clean image where they pair, else by their position in the set.
    """

    def __init__(self, published: CorruptedSet, dataset: Dataset) -> None:
        self.published, self.pairing = published, pair_with_published(dataset, published)
        self._positions: NDArray[np.int64] | None = None  # of each clean image, (count,); -1, which no set has: none
        if self.pairing.image_pairs is not None:
            self._positions = np.full(len(dataset.labels), -1, dtype=np.int64)
            self._positions[self.pairing.image_pairs.clean_ids] = self.pairing.image_pairs.set_positions

    @classmethod
    def from_spec(cls, spec: CorruptionSpec, dataset: Dataset, cache: Path | None = None) -> "PublishedSource":
        """The set that a study names as `published`.

        Args:
            spec: what the study says about corruption.
            dataset: the clean images, which the set is compared with.
            cache: folder that remembers the set's fingerprint, which takes seconds to compute.

        Raises:
            DataError: it is missing, damaged, lacks a corruption, or has a class that the data set lacks.
            StudyError: it lacks a severity.
        """
        assert spec.published is not None
        folder = spec.published.expanduser()
        return cls(open_corrupted_set(folder, spec.names, cache, severities=spec.severities), dataset)

    @property
    def source_id(self) -> str:
        """Hash of the set's content."""
        return identity_of({"published": self.published.fingerprint})

    def row(self) -> dict[str, Any]:
        """Its row of the `sources` dimension; a set that was written here is not called a published one."""
        origin = self.published.origin
        return {
            "source_id": self.source_id,
            "source_kind": "published",
            "source_label": f"{self.published.folder.name} ({origin.description if origin else 'published'})",
        }

    def corrupted(self, clean: Images | None, corruption: str, severity: Severity, image_ids: ImageIds) -> Images:
        """The published images of `image_ids`; `clean` is not used."""
        ids = np.asarray(image_ids)
        return self.published.images(corruption, severity, ids if self._positions is None else self._positions[ids])

    def labels(self, dataset: Dataset) -> NDArray[np.int64]:
        """The published labels, by position in the set."""
        return self.published.labels_in(dataset.class_names)
