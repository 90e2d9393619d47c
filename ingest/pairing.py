"""Whether a published set's images are those of a data set, image by image."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingest.datasets import Dataset
from ingest.published import PublishedSet

# An image and its own corrupted twin, among 500 CIFAR-10 images at severity 1: median 0.97 to 0.999, least 0.79;
# with the twin of another image of its class: median 0.08 (CIFAR-10), 0.87 (digits). Hence two conditions.
LEAST_CORRELATION = 0.8
LEAST_SHARE_NEAREST = 0.95
CORRELATED_IMAGES = 500
# From the gentlest: the first that a set holds decides
MILD = ("brightness", "jpeg_compression", "pixelate", "gaussian_blur", "defocus_blur", "speckle_noise", "contrast")


class Pairing(NamedTuple):
    """Whether corrupted images pair with clean ones, image by image, and if not, why."""

    paired: bool
    note: str | None = None


def pair_with_published(dataset: Dataset, published: PublishedSet) -> Pairing:
    """Compare labels, then pixels.

    A published set pairs if its labels agree and, over up to 500 evenly spaced images in its mildest corruption at
    severity 1, images correlate with their twins (median at least 0.8, over pixel values) and at least 95 % of them
    correlate better with their own twin than with that of another image of the same class.
    """
    if published.image_count != len(dataset.labels):
        return Pairing(False, f"the set holds {published.image_count:,} images, the data set {len(dataset.labels):,}")
    if published.image_shape != dataset.images.shape[1:]:
        return Pairing(False, f"images are {published.image_shape} in the set, {dataset.images.shape[1:]} clean")
    agree = float((published.labels == dataset.labels).mean())
    if agree < 1:
        return Pairing(False, f"labels differ from the clean images' ({agree:.1%} agree)")
    return _by_pixels(dataset, published)


def _by_pixels(dataset: Dataset, published: PublishedSet) -> Pairing:
    mildest = next((name for name in MILD if name in published.names), published.names[0])
    ids = np.unique(np.linspace(0, published.image_count - 1, CORRELATED_IMAGES).astype(np.int64))
    ids = ids[np.argsort(dataset.labels[ids], kind="stable")]  # so that the next image is mostly of the same class
    clean, twins = dataset.images[ids], published.images(mildest, 1, ids)
    own, other = correlations(clean, twins), correlations(clean, np.roll(twins, 1, axis=0))
    known = np.isfinite(own) & np.isfinite(other)  # an image of one colour says nothing
    if not known.any():
        return Pairing(False, "every image compared is of one colour: pixels cannot show whether they match")
    median, nearest = float(np.median(own[known])), float((own > other)[known].mean())
    if median >= LEAST_CORRELATION and nearest >= LEAST_SHARE_NEAREST:
        return Pairing(True)
    return Pairing(
        False,
        f"pixels do not match the clean images': in {mildest} 1 the median correlation is {median:.2f} and"
        f" {nearest:.0%} are nearest to their own twin",
    )


def correlations(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Pearson correlation of pixel values, image by image, (N,); NaN where an image is of one colour."""
    a, b = (images.reshape(len(images), -1).astype(np.float64) for images in (first, second))
    a -= a.mean(axis=1, keepdims=True)
    b -= b.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
