"""Where corrupted pixels come from: a recipe that generates them, or a published set on disk."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import PIL
import scipy
from numpy.typing import NDArray

from ingest.corruptions import corrupt
from ingest.corruptions.custom import registered
from ingest.corruptions.draws import Draws
from ingest.corruptions.frost import other_photographs
from ingest.corruptions.recipes import ENGINE_REVISION
from ingest.corruptions.severity import Severity
from ingest.datasets import Dataset
from ingest.pairing import Pairing, Twins, pair_with_published
from ingest.published import PublishedSet, open_published
from ingest.specification import CorruptionSpec
from warehouse.errors import DataError
from warehouse.identity import identity_of


class Source(Protocol):
    """Where corrupted pixels come from."""

    @property
    def source_id(self) -> str:
        """Identity of the source."""

    @property
    def pairing(self) -> Pairing:
        """Whether its images are those of the data set, image by image."""

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
        also: hashes, by name, of what else shapes the pixels.
    """

    pairing = Pairing(True)

    def __init__(
        self,
        recipe: str = "cifar-c",
        seed: int = 0,
        draws: Draws = "paired",
        *,
        across_switches: bool = False,
        also: Mapping[str, str] | None = None,
    ) -> None:
        self.recipe, self.seed, self.draws, self.across_switches = recipe, seed, draws, across_switches
        self._versions = {
            "engine": str(ENGINE_REVISION),
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "pillow": PIL.__version__,
            "scipy": scipy.__version__,
            **(also or {}),
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
        *,
        threads: int = 1,
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
            threads=threads,
        )

    def labels(self, dataset: Dataset) -> NDArray[np.int64]:
        """The data set's own labels."""
        return dataset.labels


class PublishedSource:
    """A published corrupted set: the pixels lie on disk.

    Its images go by the numbers of their clean twins where they pair, else by the set's own.
    """

    def __init__(self, published: PublishedSet, dataset: Dataset) -> None:
        self.published, self.pairing = published, pair_with_published(dataset, published)
        self._numbers = _numbers(self.pairing.twins, len(dataset.labels))

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
            "source_label": f"{self.published.folder.name} ({origin.words if origin else 'published'})",
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
        ids = np.asarray(image_ids)
        return self.published.images(corruption, severity, ids if self._numbers is None else self._numbers[ids])

    def labels(self, dataset: Dataset) -> NDArray[np.int64]:
        """The published labels, by the set's own numbers."""
        return self.published.labels_in(dataset.class_names)


def open_source(spec: CorruptionSpec, seed: int, dataset: Dataset, cache: Path | None = None) -> Source:
    """The source that a study asks for.

    Args:
        spec: what the study says about corruption.
        seed: one of its seeds; a published set has none and ignores it.
        dataset: the clean images, which a published set is compared with.
        cache: folder that remembers the fingerprint of a published set, which takes seconds to take.

    Raises:
        DataError: the published set is missing, damaged, lacks a corruption, or has a class that the data set lacks.
        StudyError: it lacks a severity.
    """
    if spec.published is None:
        also = shaped_by(spec.names)
        return GeneratedSource(spec.recipe, seed, spec.draws, across_switches=spec.across_switches, also=also)
    folder = spec.published.expanduser()
    return PublishedSource(open_published(folder, spec.names, cache, severities=spec.severities), dataset)


def _numbers(twins: Twins | None, count: int) -> NDArray[np.int64] | None:
    """The set's number of each clean image's twin, (count,); -1, which no set has, where there is none."""
    if twins is None:
        return None
    numbers = np.full(count, -1, dtype=np.int64)
    numbers[twins.clean_ids] = twins.numbers
    return numbers


def shaped_by(names: Sequence[str]) -> dict[str, str]:
    """Hashes of what shapes these corruptions beside recipe and libraries: users' own code, other photographs of frost.

    A corruption of one's own is thereby part of the source: when it changes, its study is another evaluation.

    Raises:
        DataError: there are no photographs of frost, and it is among the names.
    """
    own = registered()
    hashes = {f"corruption {name}": own[name].definition for name in names if name in own}
    frost = other_photographs() if "frost" in names else None
    return {**hashes, **({"frost photographs": frost} if frost else {})}
