"""A published corrupted dataset as a source, and whether its images pair with the clean ones."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corrupted_datasets.corrupted_dataset import (
    CorruptedDataset,
    image_names,
    open_corrupted_dataset,
)
from failmodes.ingest.corruptions.apply import ImageIds
from failmodes.ingest.corruptions.catalog import CORRUPTIONS, SEVERITIES, Severity, severity_text
from failmodes.ingest.corruptions.pixels import Images
from failmodes.ingest.datasets.dataset import Dataset, ImageArray
from failmodes.ingest.datasets.folder_listing import class_name_of
from failmodes.ingest.sources import ImagePairs, Pairing, SourceNote
from failmodes.ingest.specification import CorruptionSpec
from failmodes.ingest.study_types import first_duplicate
from failmodes.runtime.errors import DataError, listed, printable
from failmodes.runtime.hashing import identity_of

# Correlation of an image and its own corrupted version, among 500 CIFAR-10 images at severity 1: median 0.97 to 0.999,
# minimum 0.79; with that of another image of its class: median 0.08 (CIFAR-10), 0.87 (digits). Hence two conditions.
MIN_CORRELATION = 0.8
MIN_SHARE_NEAREST = 0.95

# If the manifest names exactly these clean images, only chance (half) must be ruled out: under fog of the ImageNet-C
# recipe, 224-pixel photographs have a median of 0.76, and 98% are nearest
MIN_SHARE_NEAREST_STORED = 0.75
CORRELATED_IMAGES = 500
LISTED, SHOWN_CLASSES = 20, 3  # names of corruptions, and of classes, in a note

# By mildness at severity 1 of either recipe: the first that a dataset holds is compared
MILDEST_FIRST = (
    "brightness", "jpeg_compression", "pixelate", "gaussian_blur", "defocus_blur", "speckle_noise", "contrast",
    "spatter", "gaussian_noise", "shot_noise", "impulse_noise", "frost", "snow", "motion_blur", "zoom_blur",
    "glass_blur", "saturate", "elastic_transform", "fog",
)  # fmt: skip


class PublishedSource:
    """A published corrupted dataset, whose images are on disk.

    An image is identified by the image_id of its clean image if they pair, else by its position in the dataset.
    """

    def __init__(self, published: CorruptedDataset, dataset: Dataset, notes: Sequence[SourceNote] = ()) -> None:
        self.published = published.of_classes(dataset.class_names)
        self.pairing = pair_with_published(dataset, self.published)
        self.notes = (*notes, *_pairing_notes(dataset, self.published, self.pairing))
        self._positions: NDArray[np.int64] | None = None  # of each clean image, (count,); -1: none
        if self.pairing.image_pairs is not None:
            self._positions = np.full(len(dataset.labels), -1, dtype=np.int64)
            self._positions[self.pairing.image_pairs.clean_ids] = self.pairing.image_pairs.set_positions

    @classmethod
    def from_spec(cls, spec: CorruptionSpec, dataset: Dataset, cache: Path | None = None) -> "PublishedSource":
        """The dataset that a study names as `published`.

        Args:
            spec: the study's part about corruptions.
            dataset: the clean images, with which it is compared.
            cache: folder for its fingerprint, which takes seconds to compute.

        Raises:
            DataError: it is missing, damaged, lacks a corruption, or has a class that the dataset lacks.
            StudyError: it lacks a severity.
        """
        assert spec.published is not None
        published = open_corrupted_dataset(
            spec.published,
            spec.names,
            cache,
            severities=spec.severities,
            absent=spec.absent,
            every=spec.takes_every,
            clean_count=len(dataset.labels),
        )
        return cls(published, dataset, set_notes(spec, published))

    @property
    def source_id(self) -> str:
        """Hash of the dataset's content."""
        return identity_of({"published": self.published.fingerprint})

    def row(self) -> dict[str, Any]:
        """Its row of `sources`; a dataset written by `failmodes corrupt` is not called published."""
        origin = self.published.origin
        name = printable(self.published.folder.name)
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
        """The unchanged masks if objects are known to stay in place; else None, since their movement is unknown."""
        del severity, image_ids, threads
        known = CORRUPTIONS.get(corruption)
        return masks if known is not None and known.moves is None else None

    def labels(self, dataset: Dataset) -> NDArray[np.int64]:
        """The published labels, by position in the dataset."""
        return self.published.labels_in(dataset.class_names)


def set_notes(spec: CorruptionSpec, published: CorruptedDataset) -> list[SourceNote]:
    """What of a published dataset a study does not evaluate, what is incomplete, and what is not read.

    Args:
        spec: the study's part about corruptions.
        published: the opened dataset.
    """
    contents = published.request.contents
    every = spec.takes_every
    name = printable(published.folder.name)
    notes = []
    others = [held for held in (*contents.severities, *contents.damaged) if held not in spec.names]
    if others and not every:
        text = f"{name} also holds {len(others):,} corruption{'s' * (len(others) > 1)} that this study leaves out: "
        notes.append(SourceNote("corruptions_left_out", text + listed(others, LISTED)))
    held = [severity_text(severity) for severity in contents.every_severity]
    if held != [str(severity) for severity in SEVERITIES]:
        text = f"{name} holds {'severity' if len(held) == 1 else 'severities'} {', '.join(held)} instead of 1 to 5"
        notes.append(SourceNote("severities", text))
    if ranked := [f"{held} {'/'.join(contents.by_rank[held])}" for held in spec.names if held in contents.by_rank]:
        text = f"{name} names severities by parameters; severities are their ranks: {listed(ranked, LISTED)}"
        notes.append(SourceNote("severity_parameters", text))
    gaps = [reason for corruption, reason in contents.damaged.items() if every or corruption in spec.names]
    for corruption in spec.names:
        lacking = sorted(severity for absent, severity in spec.absent if absent == corruption)
        if lacking:
            gaps.append(f"{corruption} lacks severity {', '.join(map(severity_text, lacking))}")
    gaps += [published.left_out] if published.left_out else []
    if gaps:
        notes.append(SourceNote("incomplete_dataset", f"{name} is incomplete: {listed(gaps, LISTED)}", is_warning=True))
    if contents.unread:
        text = f"not read in {name}: {listed(contents.unread, LISTED)}"
        notes.append(SourceNote("unread_entries", text, is_warning=every))
    return notes


def _pairing_notes(dataset: Dataset, published: CorruptedDataset, pairing: Pairing) -> Iterator[SourceNote]:
    """Which images and classes the clean and the published dataset share, and why they do not pair."""
    name = printable(published.folder.name)
    names = dataset.class_names
    held = {*published.labels_in(names).tolist()}
    absent = [names[label] for label in sorted({*dataset.labels.tolist()} - held)]
    if published.other_classes:
        text = f"; it has no image of {listed(absent, SHOWN_CLASSES)}" if absent else ""
        yield SourceNote("classes_left_out", f"{name}: {published.other_classes}{text}", is_warning=bool(absent))
    pairs = pairing.image_pairs
    clean = len(dataset.labels)
    corrupted = published.image_count
    if pairs is not None and (count := len(pairs.clean_ids)) < max(clean, corrupted):
        text = (
            f"{count:,} of {clean:,} clean images and of {corrupted:,} images of {name} pair: only these are evaluated"
        )
        yield SourceNote("paired_images", text, is_warning=count < min(clean, corrupted))
    if pairing.paired:
        return
    text = f"{name} does not pair with the clean images: {pairing.note}"
    yield SourceNote("pairing", text, is_warning=pairing.labels_differ)
    if absent:
        text = f"{name} has no image of {len(absent):,} of {len(names):,} classes ({listed(absent, SHOWN_CLASSES)})"
        text += ": corrupted and clean accuracy are of different classes"
        yield SourceNote("classes_absent", text, is_warning=True)


def pair_with_published(dataset: Dataset, published: CorruptedDataset) -> Pairing:
    """Pair images by file name or by position, then compare labels, then pixels.

    A published dataset pairs if its labels agree and, over up to 500 evenly spaced images under its mildest corruption
    at its lowest severity, clean and corrupted images correlate (median at least 0.8, over pixel values) and at least
    95% of the clean images correlate better with their own corrupted version than with that of another image of the
    same class. If its manifest names the clean images' dataset_id, 75% are enough.

    Raises:
        DataError: the published dataset has a class that the clean one lacks.
    """
    labels = published.labels_in(dataset.class_names)
    if published.image_shape != dataset.images.shape[1:]:
        return Pairing(False, f"published images are {published.image_shape}, clean ones {dataset.images.shape[1:]}")
    pairs = _image_pairs(dataset, published)
    if isinstance(pairs, str):
        return Pairing(False, pairs)
    agree = float((labels[pairs.set_positions] == dataset.labels[pairs.clean_ids]).mean())
    mismatch = _pixel_mismatch(dataset, published, pairs)
    if agree < 1:
        images = "differ too" if mismatch else "match, so its labels are probably in the wrong order"
        note = f"labels differ from the clean images' by position ({agree:.1%} agree); pixels {images}"
        return Pairing(False, note, labels_differ=True)
    if mismatch:
        return Pairing(False, mismatch)
    whole = len(pairs.clean_ids) == len(dataset.labels) and bool((pairs.clean_ids == pairs.set_positions).all())
    return Pairing(True, image_pairs=None if whole else pairs)


def _image_pairs(dataset: Dataset, published: CorruptedDataset) -> ImagePairs | str:
    """The pairs, or the reason why none exist."""
    if published.image_names is not None:
        clean, corrupted = (list(map(_name_in_class, names)) for names in (image_names(dataset), published.image_names))
        if (twice := first_duplicate(corrupted)) is not None:
            raise DataError(f"{published.folder} has two images called {twice}, apart from their suffix: remove one")
        positions = {name: position for position, name in enumerate(corrupted)}
        pairs = [(image_id, positions[name]) for image_id, name in enumerate(clean) if name in positions]
        if not pairs:
            return f"no published image has the name of a clean one (such as {corrupted[0]} and {clean[0]})"
        return ImagePairs(*np.array(pairs, dtype=np.int64).T)
    ids = published.clean_ids
    if ids is None:
        ids = np.arange(len(dataset.labels), dtype=np.int64)
    if published.image_count != len(ids) or ids[-1] >= len(dataset.labels):
        return f"the published dataset has {published.image_count:,} images, the clean one {len(dataset.labels):,}"
    return ImagePairs(ids, np.arange(len(ids), dtype=np.int64))


def _name_in_class(name: str) -> str:
    """`class/name` of an image, whose folder may be named by WordNet id alone or by id and name."""
    folder, slash, rest = name.partition("/")
    return f"{class_name_of(folder)}{slash}{rest}"


def _pixel_mismatch(dataset: Dataset, published: CorruptedDataset, pairs: ImagePairs) -> str | None:
    """The reason why pixels do not match; None if they do."""
    mildest = next((name for name in MILDEST_FIRST if name in published.names), published.names[0])
    severity = published.severities[mildest][0]
    some = np.unique(np.linspace(0, len(pairs.clean_ids) - 1, CORRELATED_IMAGES).astype(np.int64))
    # so that the next image usually has the same class
    some = some[np.argsort(dataset.labels[pairs.clean_ids[some]], kind="stable")]
    clean = dataset.images[pairs.clean_ids[some]]
    corrupted = published.images(mildest, severity, pairs.set_positions[some])
    paired, other = correlations(clean, corrupted), correlations(clean, np.roll(corrupted, 1, axis=0))
    known = np.isfinite(paired) & np.isfinite(other)  # undefined for images of one color
    if not known.any():
        return "every compared image has a single color, so pixels cannot be matched"
    median, nearest = float(np.median(paired[known])), float((paired > other)[known].mean())
    stored = published.origin is not None and published.origin.dataset_id == dataset.dataset_id
    if stored and nearest >= MIN_SHARE_NEAREST_STORED:
        return None
    if median >= MIN_CORRELATION and nearest >= MIN_SHARE_NEAREST:
        return None
    return (
        f"pixels do not match the clean images': in {mildest} {severity_text(severity)} the median correlation is"
        f" {median:.2f}, and {nearest:.0%} of the clean images correlate best with their own corrupted version"
    )


def correlations(first: ImageArray, second: ImageArray) -> NDArray[np.float64]:
    """Pearson correlation of pixel values, image by image, (N,); NaN for an image of one color."""
    correlation = np.empty(len(first))
    for row in range(len(first)):  # one by one: 500 photographs in double precision would take gigabytes
        a, b = (images[row].ravel().astype(np.float64) for images in (first, second))
        a, b = a - a.mean(), b - b.mean()
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation[row] = (a @ b) / np.sqrt((a @ a) * (b @ b))
    return correlation
