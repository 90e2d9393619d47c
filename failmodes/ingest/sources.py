"""Sources of corrupted images: a recipe that generates them, or a published dataset on disk."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import PIL
import scipy
from numpy.typing import NDArray

from failmodes.ingest.corruptions.apply import ImageIds, check_settings, check_size, corrupt, move_masks
from failmodes.ingest.corruptions.catalog import (
    CORRUPTIONS,
    Severity,
    corruption_info,
    corruptions_of_sets,
    nearest_recipe,
    recipe_of,
    registered,
)
from failmodes.ingest.corruptions.kernels.frost import custom_frost_hash
from failmodes.ingest.corruptions.pixels import Images
from failmodes.ingest.corruptions.sampling import NoiseMode
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.specification import CorruptionSpec
from failmodes.runtime.errors import DataError
from failmodes.runtime.hashing import identity_of
from failmodes.runtime.packages import require
from failmodes.runtime.storage.files import StorePath
from failmodes.warehouse import schema
from failmodes.warehouse.schema import NO_CORRUPTION
from failmodes.warehouse.shards.format import write_dimension

# Increase it when a fix changes the pixels of a corruption: it is part of the identity of a generated source
ENGINE_REVISION = 2


class ImagePairs(NamedTuple):
    """Which image of a published dataset belongs to which clean image: indices (M,), clean_ids ascending."""

    clean_ids: NDArray[np.int64]
    set_positions: NDArray[np.int64]


class Pairing(NamedTuple):
    """Whether corrupted images pair with clean ones, image by image, and if not, why.

    Attributes:
        paired: whether they do.
        note: the reason if they do not.
        image_pairs: which ones do; None if every image_id is also the position in the dataset.
        labels_differ: whether as many images have other labels, by position.
    """

    paired: bool
    note: str | None = None
    image_pairs: ImagePairs | None = None
    labels_differ: bool = False


class SourceNote(NamedTuple):
    """What readers of results must know about corrupted images.

    Attributes:
        topic: the subject.
        text: one line.
        is_warning: whether it is a likely mistake: a published dataset lacks something although the study asks for all
            of it, or the recipe is not for images of this size.
    """

    topic: str
    text: str
    is_warning: bool = False

    @property
    def line(self) -> str:
        """The note as printed."""
        return f"{'warning: ' * self.is_warning}{self.text}"


class Source(Protocol):
    """A source of corrupted images."""

    @property
    def source_id(self) -> str:
        """Identity of the source."""
        ...

    @property
    def pairing(self) -> Pairing:
        """Whether its images are those of the dataset, image by image."""
        ...

    @property
    def notes(self) -> Sequence[SourceNote]:
        """What readers of results must know about it."""
        ...

    def row(self) -> dict[str, Any]:
        """Its row of the `sources` dimension."""
        ...

    def corrupted(self, clean: Images | None, corruption: str, severity: Severity, image_ids: ImageIds) -> Images:
        """Corrupted images (N, H, W, 3) of `image_ids`; `clean` are the same images before, (N, H, W, 3) uint8."""
        ...

    def moved_masks(
        self, masks: NDArray[np.bool_], corruption: str, severity: Severity, image_ids: ImageIds, *, threads: int = 1
    ) -> NDArray[np.bool_] | None:
        """Object masks (N, H, W) of `image_ids` after the corruption; None if it moves objects in an unknown way."""
        ...

    def labels(self, dataset: Dataset) -> NDArray[np.int64]:
        """Labels (N,) of its images, by image_id."""
        ...


class GeneratedSource:
    """Corruptions applied to clean images as they are requested.

    Attributes:
        recipe: which published parameters.
        seed: seed of the samples.
        noise: "shared" along a curve or "independent".
        across_switches: whether severities between the levels of corruptions that do not interpolate are cross-faded.
        dependencies: hashes, by name, of what else shapes the pixels.
        gray: whether images are gray and stay so.
        versions: versions and hashes that shape the pixels besides the recipe: engine, libraries, users' code.
        notes: a warning if another recipe is nearer to the size of the images.
    """

    pairing = Pairing(True)

    def __init__(
        self,
        recipe: str = "cifar-c",
        seed: int = 0,
        noise: NoiseMode = "shared",
        *,
        across_switches: bool = False,
        dependencies: Mapping[str, str] | None = None,
        gray: bool = False,
    ) -> None:
        require("images", "corrupting images", ["cv2"])
        import cv2

        self.recipe = recipe
        self.seed = seed
        self.across_switches = across_switches
        self.noise: NoiseMode = noise
        self.gray = gray
        self.notes: tuple[SourceNote, ...] = ()
        self.versions = {
            "engine": str(ENGINE_REVISION),
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "pillow": PIL.__version__,
            "scipy": scipy.__version__,
            **(dependencies or {}),
        }

    @classmethod
    def from_spec(cls, spec: CorruptionSpec, seed: int, dataset: Dataset) -> "GeneratedSource":
        """The recipe that a study names, or the nearest to the size of its images, with one of its seeds.

        Raises:
            DataError: the images are too small for the recipe.
        """
        height, width = dataset.images.shape[1:3]
        nearest = nearest_recipe(height, width)
        recipe = spec.recipe or nearest
        check_size(height, width, recipe)
        hashes = dependency_hashes(spec.names)
        source = cls(
            recipe, seed, spec.noise, across_switches=spec.across_switches, dependencies=hashes, gray=dataset.gray
        )
        if recipe != nearest:
            side = recipe_of(recipe).side_px
            text = (
                f"recipe {recipe!r} is for images of about {side}×{side} pixels, these have {width}×{height}: "
                f"{nearest!r}, the default, is for this size"
            )
            source.notes = (SourceNote("recipe", text, is_warning=True),)
        return source

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "GeneratedSource":
        """The recipe of a row of `sources`, with the installed libraries, to reproduce its images.

        Whether images were kept gray follows from the identity; severities between switches are cross-faded, which the
        study has requested if it has any.

        Raises:
            DataError: its versions are not valid JSON.
        """
        source = cls(row["recipe"], row["seed"], row["noise"], across_switches=True, gray=True)
        source.versions = stored_versions(row)
        gray = source.source_id == row["source_id"]
        return cls(row["recipe"], row["seed"], row["noise"], across_switches=True, gray=gray)

    @property
    def source_id(self) -> str:
        """Hash of recipe, seed, sampling and the versions of what shapes the pixels."""
        settings = {"recipe": self.recipe, "seed": self.seed, "noise": self.noise, "versions": self.versions}
        return identity_of({"generated": settings | ({"gray": True} if self.gray else {})})

    def row(self) -> dict[str, Any]:
        """Its row of the `sources` dimension."""
        independent = ", independent noise" if self.noise == "independent" else ""
        gray = ", kept gray" if self.gray else ""
        return {
            "source_id": self.source_id,
            "source_kind": "generated",
            "source_label": f"{self.recipe} recipe, seed {self.seed}{independent}{gray}",
            "recipe": self.recipe,
            "seed": self.seed,
            "noise": self.noise,
            "versions": json.dumps(self.versions, sort_keys=True),
        }

    def corrupted(
        self,
        clean: Images | None,
        corruption: str,
        severity: Severity,
        image_ids: ImageIds,
        *,
        threads: int = 1,
    ) -> Images:
        """Corrupt `clean` (N, H, W, 3) uint8, the images of `image_ids`."""
        if clean is None:
            raise DataError("a recipe corrupts clean images: none were given")
        return corrupt(
            clean,
            corruption,
            severity,
            recipe=self.recipe,
            seed=self.seed,
            image_ids=image_ids,
            noise=self.noise,
            across_switches=self.across_switches,
            gray=self.gray,
            threads=threads,
        )

    def moved_masks(
        self, masks: NDArray[np.bool_], corruption: str, severity: Severity, image_ids: ImageIds, *, threads: int = 1
    ) -> NDArray[np.bool_]:
        """Object masks (N, H, W) of `image_ids`, moved by the samples that moved their images."""
        settings = check_settings(
            corruption, severity, recipe=self.recipe, seed=self.seed, noise=self.noise,
            across_switches=self.across_switches, gray=self.gray,
        )  # fmt: skip
        return move_masks(masks, settings, np.asarray(image_ids, np.int64), threads)

    def labels(self, dataset: Dataset) -> NDArray[np.int64]:
        """The dataset's own labels."""
        return dataset.labels


class NoCorruption:
    """The source of an evaluation of clean images only, such as those of a natural shift."""

    pairing = Pairing(True)
    notes = ()
    source_id = identity_of({"corruptions": None})

    def row(self) -> dict[str, Any]:
        """Its row of the `sources` dimension."""
        return {"source_id": self.source_id, "source_kind": NO_CORRUPTION, "source_label": "no corruption"}

    def corrupted(self, clean: Images | None, corruption: str, severity: Severity, image_ids: ImageIds) -> Images:
        """There are none.

        Raises:
            DataError: always.
        """
        raise DataError(f"these images are evaluated without corruptions: there is no {corruption} of them")

    def moved_masks(
        self, masks: NDArray[np.bool_], corruption: str, severity: Severity, image_ids: ImageIds, *, threads: int = 1
    ) -> NDArray[np.bool_] | None:
        """None: nothing moves objects."""
        return None

    def labels(self, dataset: Dataset) -> NDArray[np.int64]:
        """The dataset's own labels."""
        return dataset.labels


def stored_versions(row: Mapping[str, Any]) -> dict[str, str]:
    """The versions in a row of `sources`, by name; empty for a published dataset.

    Raises:
        DataError: they are not a JSON object of strings.
    """
    try:
        versions = json.loads(row["versions"] or "{}")
    except (ValueError, RecursionError) as error:
        raise DataError("the versions of a source of corrupted images are not valid JSON") from error
    if not isinstance(versions, dict) or not all(isinstance(text, str) for text in versions.values()):
        raise DataError("the versions of a source of corrupted images are not strings by name")
    return versions


def dependency_hashes(names: Sequence[str]) -> dict[str, str]:
    """Hashes of what else shapes these corruptions: users' own code, other photographs of frost.

    A user's own corruption is thereby part of the source: when it changes, its study is another evaluation.

    Raises:
        DataError: there are no photographs of frost, and it is among the names.
    """
    definitions = {name: corruption_info(name).definition for name in names}
    hashes = {f"corruption {name}": definition for name, definition in definitions.items() if definition}
    frost = custom_frost_hash() if "frost" in names else None
    return {**hashes, **({"frost photographs": frost} if frost else {})}


def record_source(output: StorePath, source: Source) -> None:
    """Write the source's row of `sources`."""
    write_dimension(output, schema.SOURCES, source.source_id, [source.row()])


def record_corruptions(output: StorePath) -> None:
    """Write `corruptions`: the clean row, the catalog, and those registered or found in this process, one file each."""
    clean = {
        "corruption": schema.CLEAN,
        "corruption_label": "Clean",
        "corruption_group": "clean",
        "corruption_order": 0,
        "headline": False,
        "dose_ordered": True,
        "interpolable": True,
    }
    every = (*CORRUPTIONS.values(), *registered().values(), *corruptions_of_sets().values())
    for row in (clean, *(known.row() for known in every)):
        write_dimension(output, schema.CORRUPTIONS, row["corruption"], [row])
