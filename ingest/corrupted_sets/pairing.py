"""Whether a published set's images are those of a data set, image by image."""

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corrupted_sets.corrupted_set import CorruptedSet
from failmodes.ingest.corrupted_sets.layouts import image_names, severity_folder
from failmodes.ingest.datasets.dataset import Dataset, ImageArray
from failmodes.ingest.sources import ImagePairs, Pairing

# Correlation of an image and its own corrupted version, among 500 CIFAR-10 images at severity 1: median 0.97 to 0.999,
# least 0.79; with that of another image of its class: median 0.08 (CIFAR-10), 0.87 (digits). Hence two conditions.
LEAST_CORRELATION = 0.8
LEAST_SHARE_NEAREST = 0.95

# Where the set's own manifest names just these clean images, only chance (half) must be ruled out: fog by the
# ImageNet-C recipe leaves 224-pixel photographs a median of 0.76, and 98 % nearest
LEAST_SHARE_NEAREST_ON_RECORD = 0.75
CORRELATED_IMAGES = 500

# From the mildest at severity 1 of either recipe: the first that a set holds decides
MILDEST_FIRST = (
    "brightness", "jpeg_compression", "pixelate", "gaussian_blur", "defocus_blur", "speckle_noise", "contrast",
    "spatter", "gaussian_noise", "shot_noise", "impulse_noise", "frost", "snow", "motion_blur", "zoom_blur",
    "glass_blur", "saturate", "elastic_transform", "fog",
)  # fmt: skip


def pair_with_published(dataset: Dataset, published: CorruptedSet) -> Pairing:
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


def _image_pairs(dataset: Dataset, published: CorruptedSet) -> ImagePairs | str:
    """The pairs, or why there are none."""
    if published.image_names is not None:
        clean, corrupted = image_names(dataset), published.image_names
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


def _pixel_mismatch(dataset: Dataset, published: CorruptedSet, pairs: ImagePairs) -> str | None:
    """Why pixels do not match; None if they do."""
    mildest = next((name for name in MILDEST_FIRST if name in published.names), published.names[0])
    severity = published.severities[mildest][0]
    some = np.unique(np.linspace(0, len(pairs.clean_ids) - 1, CORRELATED_IMAGES).astype(np.int64))
    # so that the next image is mostly of the same class
    some = some[np.argsort(dataset.labels[pairs.clean_ids[some]], kind="stable")]
    clean = dataset.images[pairs.clean_ids[some]]
    corrupted = published.images(mildest, severity, pairs.set_positions[some])
    own, other = correlations(clean, corrupted), correlations(clean, np.roll(corrupted, 1, axis=0))
    known = np.isfinite(own) & np.isfinite(other)  # an image of one colour says nothing
    if not known.any():
        return "every image compared is of one colour: pixels cannot show whether they match"
    median, nearest = float(np.median(own[known])), float((own > other)[known].mean())
    on_record = published.origin is not None and published.origin.dataset_id == dataset.dataset_id
    if on_record and nearest >= LEAST_SHARE_NEAREST_ON_RECORD:
        return None
    if median >= LEAST_CORRELATION and nearest >= LEAST_SHARE_NEAREST:
        return None
    return (
        f"pixels do not match the clean images': in {mildest} {severity_folder(severity)} the median correlation is"
        f" {median:.2f} and {nearest:.0%} are nearest to their own twin"
    )


def correlations(first: ImageArray, second: ImageArray) -> NDArray[np.float64]:
    """Pearson correlation of pixel values, image by image, (N,); NaN where an image is of one colour."""
    correlation = np.empty(len(first))
    for row in range(len(first)):  # one by one: in double precision 500 photographs would take gigabytes
        a, b = (images[row].ravel().astype(np.float64) for images in (first, second))
        a, b = a - a.mean(), b - b.mean()
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation[row] = (a @ b) / np.sqrt((a @ a) * (b @ b))
    return correlation
