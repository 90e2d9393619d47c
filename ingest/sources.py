"""Where corrupted pixels come from: a recipe that generates them, or a published set on disk."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import PIL
import scipy
from numpy.typing import NDArray

from ingest.corruptions import corrupt
from ingest.corruptions.draws import Draws
from ingest.corruptions.frost import other_photographs
from ingest.corruptions.recipes import ENGINE_REVISION
from ingest.corruptions.severity import Severity, whole_severity
from ingest.datasets import Dataset
from ingest.pairing import Pairing, pair_with_published
from ingest.published import PublishedSet, open_published
from ingest.specification import CorruptionSpec
from warehouse.errors import DataError
from warehouse.identity import identity_of


class Source(Protocol):
    """Where corrupted pixels come from."""

    @property
    def source_id(self) -> str:
        """Identity of the source."""

    def row(self) -> dict[str, Any]:
        """Its row of the `sources` dimension."""

    def corrupted(
        self,
        clean: NDArray[np.uint8] | None,
        corruption: str,
        severity: Severity,
        image_ids: Sequence[int] | NDArray[np.integer],
    ) -> NDArray[np.uint8]:
        """Corrupted images (N, H, W, 3) of `image_ids`; `clean` are the same images before, (N, H, W, 3) uint8."""

    def labels(self, dataset: Dataset) -> NDArray[np.int64]:
        """Labels (N,) of its images, by image_id."""


class GeneratedSource:
    """Corruptions made on the fly from clean images.

    Attributes:
        recipe: which published parameters.
        seed: seed of the draws.
        draws: "paired" or "independent".
        across_switches: whether severities between the levels of corruptions that do not interpolate are cross-faded.
        frost: hash of the photographs of frost where they are not the published ones.
    """

    def __init__(
        self,
        recipe: str = "cifar-c",
        seed: int = 0,
        draws: Draws = "paired",
        *,
        across_switches: bool = False,
        frost: str | None = None,
    ) -> None:
        self.recipe, self.seed, self.draws, self.across_switches = recipe, seed, draws, across_switches
        self._versions = {
            "engine": str(ENGINE_REVISION),
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "pillow": PIL.__version__,
            "scipy": scipy.__version__,
            **({"frost photographs": frost} if frost else {}),
        }

    @property
    def source_id(self) -> str:
        """Hash of recipe, seed, draws and the versions of what shapes the pixels."""
        facts = {"recipe": self.recipe, "seed": self.seed, "draws": self.draws, "versions": self._versions}
        return identity_of({"generated": facts})

    def row(self) -> dict[str, Any]:
        """Its row of the `sources` dimension."""
        independent = ", independent draws" if self.draws == "independent" else ""
        return {
            "source_id": self.source_id,
            "source_kind": "generated",
            "source_label": f"{self.recipe} recipe, seed {self.seed}{independent}",
            "recipe": self.recipe,
            "seed": self.seed,
            "draws": self.draws,
            "versions": json.dumps(self._versions, sort_keys=True),
        }

    def corrupted(
        self,
        clean: NDArray[np.uint8] | None,
        corruption: str,
        severity: Severity,
        image_ids: Sequence[int] | NDArray[np.integer],
    ) -> NDArray[np.uint8]:
        """Corrupt `clean` (N, H, W, 3) uint8, whose numbers are `image_ids`."""
        if clean is None:
            raise DataError("a recipe needs the clean images to corrupt: none were given")
        return corrupt(
            clean,
            corruption,
            severity,
            recipe=self.recipe,
            seed=self.seed,
            image_ids=image_ids,
            draws=self.draws,
            across_switches=self.across_switches,
        )

    def labels(self, dataset: Dataset) -> NDArray[np.int64]:
        """The data set's own labels."""
        return dataset.labels


class PublishedSource:
    """A published corrupted set: the pixels lie on disk, memory-mapped."""

    def __init__(self, published: PublishedSet) -> None:
        self.published = published

    @property
    def source_id(self) -> str:
        """Hash of the set's content."""
        return identity_of({"published": self.published.fingerprint})

    def row(self) -> dict[str, Any]:
        """Its row of the `sources` dimension."""
        return {
            "source_id": self.source_id,
            "source_kind": "published",
            "source_label": f"{self.published.folder.name} (published)",
            "recipe": None,
            "seed": None,
            "draws": None,
            "versions": None,
        }

    def corrupted(
        self,
        clean: NDArray[np.uint8] | None,
        corruption: str,
        severity: Severity,
        image_ids: Sequence[int] | NDArray[np.integer],
    ) -> NDArray[np.uint8]:
        """The published images of `image_ids`; `clean` is not looked at."""
        return self.published.images(corruption, whole_severity(severity), np.asarray(image_ids))

    def labels(self, dataset: Dataset) -> NDArray[np.int64]:
        """The published labels."""
        return self.published.labels


def open_source(spec: CorruptionSpec, seed: int, cache: Path | None = None) -> Source:
    """The source that a study asks for.

    Args:
        spec: what the study says about corruption.
        seed: one of its seeds; a published set has none and ignores it.
        cache: folder that remembers the fingerprint of a published set, which takes seconds to take.

    Raises:
        DataError: the published set is missing, damaged or lacks a corruption.
    """
    if spec.published is None:
        frost = other_photographs() if "frost" in spec.names else None
        return GeneratedSource(spec.recipe, seed, spec.draws, across_switches=spec.across_switches, frost=frost)
    return PublishedSource(open_published(spec.published.expanduser(), tuple(spec.names), cache))


def pairing(dataset: Dataset, source: Source) -> Pairing:
    """Whether the source's images are those of the data set, image by image: generated ones are."""
    if isinstance(source, PublishedSource):
        return pair_with_published(dataset, source.published)
    return Pairing(True)
