"""Opening a published set, whatever its layout: does it pair with the clean images, and the source that it is."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corrupted_datasets.corrupted_dataset import CorruptedDataset, image_names, open_corrupted_dataset
from failmodes.ingest.corruptions.apply import ImageIds
from failmodes.ingest.corruptions.catalog import CORRUPTIONS, Severity, severity_text
from failmodes.ingest.corruptions.pixels import Images
from failmodes.ingest.datasets.dataset import Dataset, ImageArray
from failmodes.ingest.datasets.folder_listing import class_name_of
from failmodes.ingest.sources import ImagePairs, Pairing
from failmodes.ingest.specification import CorruptionSpec
from failmodes.warehouse.errors import printable
from failmodes.warehouse.hashing import identity_of

# Correlation of an image and its own corrupted version, among 500 CIFAR-10 images at severity 1: median 0.97 to 0.999,
# least 0.79; with that of another image of its class: median 0.08 (CIFAR-10), 0.87 (digits). Hence two conditions.
LEAST_CORRELATION = 0.8
LEAST_SHARE_NEAREST = 0.95

# Where the set's own manifest names just these clean images, only chance (half) must be ruled out: fog by the
# ImageNet-C recipe leaves 224-pixel photographs a median of 0.76, and 98 % nearest
LEAST_SHARE_NEAREST_STORED = 0.75
CORRELATED_IMAGES = 500

# From the mildest at severity 1 of either recipe: the first that a set holds decides
MILDEST_FIRST = (
    "brightness", "jpeg_compression", "pixelate", "gaussian_blur", "defocus_blur", "speckle_noise", "contrast",
    "spatter", "gaussian_noise", "shot_noise", "impulse_noise", "frost", "snow", "motion_blur", "zoom_blur",
    "glass_blur", "saturate", "elastic_transform", "fog",
)  # fmt: skip


class PublishedSource:
    """A published corrupted set: the pixels lie on disk.

    Its images are identified by the image_id of their clean image where they pair, else by their position in the set.
    """

    def __init__(self, published: CorruptedDataset, dataset: Dataset) -> None:
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
        return cls(open_corrupted_dataset(spec.published, spec.names, cache, severities=spec.severities), dataset)

    @property
    def source_id(self) -> str:
        """Hash of the set's content."""
        return identity_of({"published": self.published.fingerprint})

    def row(self) -> dict[str, Any]:
        """Its row of the `sources` dimension; a set that was written here is not called a published one."""
        origin, name = self.published.origin, printable(self.published.folder.name)
        return {
            "source_id": self.source_id,
            "source_kind": "published",
            "source_label": f"{name} ({origin.description if origin else 'published'})",
        }

    def corrupted(self, clean: Images | None, corruption: str, severity: Severity, image_ids: ImageIds) -> Images:
        """The published images of `image_ids`; `clean` is not used."""
        ids = np.asarray(image_ids)
        return self.published.images(corruption, severity, ids if self._positions is None else self._positions[ids])

    def moved_masks(
        self, masks: NDArray[np.bool_], corruption: str, severity: Severity, image_ids: ImageIds, *, threads: int = 1
    ) -> NDArray[np.bool_] | None:
        """The masks as they are, where objects stay in place; else none: how they were moved is not on record."""
        del severity, image_ids, threads
        known = CORRUPTIONS.get(corruption)
        return None if known is not None and known.moves is not None else masks

    def labels(self, dataset: Dataset) -> NDArray[np.int64]:
        """The published labels, by position in the set."""
        return self.published.labels_in(dataset.class_names)


def pair_with_published(dataset: Dataset, published: CorruptedDataset) -> Pairing:
    """Pair images by file name or by position, then compare labels, then pixels.

    A published set pairs if its labels agree and, over up to 500 evenly spaced images in its mildest corruption at
    its mildest severity, clean and corrupted images correlate (median at least 0.8, over pixel values) and at least
    95 % of the clean images correlate better with their own corrupted version than with that of another image of the
    same class. If its manifest names the clean images' dataset_id, 75 % are enough.

    Raises:
        DataError: the set has a class that the data set lacks.
    """
    labels = published.labels_in(dataset.class_names)
    if published.image_shape != dataset.images.shape[1:]:
        return Pairing(False, f"images are {published.image_shape} in the set, {dataset.images.shape[1:]} clean")
    pairs = _image_pairs(dataset, published)
    if isinstance(pairs, str):
        return Pairing(False, pairs)
    agree = float((labels[pairs.set_positions] == dataset.labels[pairs.clean_ids]).mean())
    if agree < 1:
        return Pairing(False, f"labels differ from the clean images' ({agree:.1%} agree)")
    mismatch = _pixel_mismatch(dataset, published, pairs)
    if mismatch:
        return Pairing(False, mismatch)
    whole = len(pairs.clean_ids) == len(dataset.labels) and bool((pairs.clean_ids == pairs.set_positions).all())
    return Pairing(True, image_pairs=None if whole else pairs)


def _image_pairs(dataset: Dataset, published: CorruptedDataset) -> ImagePairs | str:
    """The pairs, or why there are none."""
    if published.image_names is not None:
        clean, corrupted = (list(map(_name_in_class, names)) for names in (image_names(dataset), published.image_names))
        positions = {name: position for position, name in enumerate(corrupted)}
        pairs = [(image_id, positions[name]) for image_id, name in enumerate(clean) if name in positions]
        if not pairs:
            return f"no image of the set is called as a clean one (such as {corrupted[0]} and {clean[0]})"
        return ImagePairs(*np.array(pairs, dtype=np.int64).T)
    ids = published.clean_ids
    if ids is None:
        ids = np.arange(len(dataset.labels), dtype=np.int64)
    if published.image_count != len(ids) or ids[-1] >= len(dataset.labels):
        return f"the set holds {published.image_count:,} images, the data set {len(dataset.labels):,}"
    return ImagePairs(ids, np.arange(len(ids), dtype=np.int64))


def _name_in_class(name: str) -> str:
    """`class/name` of an image, whose folder may be called by WordNet id alone or by id and name."""
    folder, slash, rest = name.partition("/")
    return f"{class_name_of(folder)}{slash}{rest}"


def _pixel_mismatch(dataset: Dataset, published: CorruptedDataset, pairs: ImagePairs) -> str | None:
    """Why pixels do not match; None if they do."""
    mildest = next((name for name in MILDEST_FIRST if name in published.names), published.names[0])
    severity = published.severities[mildest][0]
    some = np.unique(np.linspace(0, len(pairs.clean_ids) - 1, CORRELATED_IMAGES).astype(np.int64))
    # so that the next image is mostly of the same class
    some = some[np.argsort(dataset.labels[pairs.clean_ids[some]], kind="stable")]
    clean = dataset.images[pairs.clean_ids[some]]
    corrupted = published.images(mildest, severity, pairs.set_positions[some])
    own, other = correlations(clean, corrupted), correlations(clean, np.roll(corrupted, 1, axis=0))
    known = np.isfinite(own) & np.isfinite(other)  # an image of one color says nothing
    if not known.any():
        return "every image compared is of one color: pixels cannot show whether they match"
    median, nearest = float(np.median(own[known])), float((own > other)[known].mean())
    stored = published.origin is not None and published.origin.dataset_id == dataset.dataset_id
    if stored and nearest >= LEAST_SHARE_NEAREST_STORED:
        return None
    if median >= LEAST_CORRELATION and nearest >= LEAST_SHARE_NEAREST:
        return None
    return (
        f"pixels do not match the clean images': in {mildest} {severity_text(severity)} the median correlation is"
        f" {median:.2f} and {nearest:.0%} are nearest to their own twin"
    )


def correlations(first: ImageArray, second: ImageArray) -> NDArray[np.float64]:
    """Pearson correlation of pixel values, image by image, (N,); NaN where an image is of one color."""
    correlation = np.empty(len(first))
    for row in range(len(first)):  # one by one: in double precision 500 photographs would take gigabytes
        a, b = (images[row].ravel().astype(np.float64) for images in (first, second))
        a, b = a - a.mean(), b - b.mean()
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation[row] = (a @ b) / np.sqrt((a @ a) * (b @ b))
    return correlation
