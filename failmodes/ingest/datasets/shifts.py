"""Natural shifts: other images of the classes of a dataset, matched by name or WordNet id."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from failmodes.ingest.datasets.class_index import ClassIndex
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.folder_listing import class_name_of
from failmodes.ingest.datasets.image_arrays import SelectedImages
from failmodes.ingest.datasets.imagenet_classes import SHARED_NAMES, by_wordnet_id
from failmodes.ingest.datasets.layout import DatasetSpec, ShiftSpec, open_dataset
from failmodes.ingest.protocols.protocol import protocol_of_shift
from failmodes.runtime.errors import DataError, StudyError, listed

SHOWN = 3  # classes listed by name


@dataclass(frozen=True, eq=False)
class Shift:
    """A shifted dataset with labels of the dataset that it is compared with.

    Attributes:
        spec: the shift as the study describes it.
        dataset: its images; its classes are those of the clean dataset that it has images of, in their order and by
            their names.
        clean_class_count: number of classes of the clean dataset.
        restricted: whether predictions are among its own classes only.
        clean: label of the dataset that it is compared with.
        source: paper or loader that defines how it is evaluated; empty without one.
        note: of its protocol and its images.
    """

    spec: ShiftSpec
    dataset: Dataset
    clean_class_count: int
    restricted: bool
    clean: str
    source: str
    note: str

    @property
    def label(self) -> str:
        """Its name on charts."""
        return str(self.spec.label)

    @property
    def needs_own_clean(self) -> bool:
        """Whether its clean accuracy is of other images or predictions than the clean cell of a study."""
        return self.restricted or len(self.dataset.class_names) < self.clean_class_count

    def describe(self) -> str:
        """One line: the images, their classes, and what they are compared with."""
        count = len(self.dataset.class_names)
        note = f"; {self.note}" if self.note else ""
        classes = "all" if count == self.clean_class_count else f"{count:,} of"
        among = ", predictions among these classes only" if self.restricted else ""
        return (
            f"shift {self.label}: {len(self.dataset.labels):,} images, {classes} {self.clean_class_count:,} classes, "
            f"compared with {self.clean}{among}{note}"
        )


def open_shift(spec: ShiftSpec, beside: DatasetSpec, clean: Dataset, cache: Path) -> Shift:
    """Open a shift of a dataset.

    Args:
        spec: which images.
        beside: the clean dataset's part of the study, whose image size holds for the shift too.
        clean: the clean dataset.
        cache: folder for decoded images.

    Raises:
        StudyError: its path does not exist, its images have another size than the clean ones, or are the clean ones.
        DataError: it is damaged, or has a class that the clean dataset lacks.
    """
    opened = open_dataset(spec.beside(beside), cache)
    subject = f"shift {spec.label!r}"
    if opened.images.shape[1:] != clean.images.shape[1:]:
        sizes = " and ".join(f"{images.shape[1]}×{images.shape[2]}" for images in (opened.images, clean.images))
        raise StudyError(
            f"{subject}: its images and those of {clean.label} have {sizes} pixels, and a gap would measure the size "
            "too: set `image_size` (and `resize`) to crop both alike"
        )
    class_indices = match_classes(opened.class_names, clean.class_names, subject, clean.label)
    if (counts := np.bincount(class_indices)).max() > 1:
        twice = clean.class_names[counts.argmax()]
        raise DataError(f"{subject} names the class {twice!r} twice: merge its images")
    labels = class_indices[opened.labels]
    order = np.unique(labels)  # ascending: the clean dataset's order; classes without images do not take part
    dataset = replace(
        opened,
        labels=np.searchsorted(order, labels),
        class_names=tuple(clean.class_names[index] for index in order),
        masks=None,
        empty_masks=None,
    )
    if dataset.dataset_id == clean.dataset_id:
        raise StudyError(f"{subject} holds the images of {clean.label} itself: give its own path")
    protocol = protocol_of_shift(spec.kind)
    is_part = len(order) < len(clean.class_names)
    shared = int(np.isin(dataset.pixel_hashes, clean.pixel_hashes).sum())
    notes = (
        [opened.note]
        if protocol is None
        else [f"published for comparison with {protocol.compared_with}", protocol.note, opened.note]
    )
    return Shift(
        spec,
        dataset,
        len(clean.class_names),
        is_part if protocol is None else protocol.restricted,
        clean.label,
        "" if protocol is None else protocol.source,
        "; ".join(filter(None, [*notes, f"{shared:,} of its images are among the clean ones" if shared else None])),
    )


def match_classes(names: Sequence[str], known: Sequence[str], subject: str, owner: str) -> NDArray[np.int64]:
    """The index among `known` of each class, by its name or WordNet id.

    Args:
        names: (C,) of the shift.
        known: of the clean dataset.
        subject: the shift, for errors.
        owner: the clean dataset, for errors.

    Raises:
        DataError: the clean dataset lacks a class.
    """
    index = ClassIndex(tuple(known))
    places_of_name = [
        next(filter(None, map(index.find, (name, class_name_of(name), _imagenet_name(name)))), []) for name in names
    ]
    if missing := [name for name, places in zip(names, places_of_name, strict=True) if not places]:
        near = ", ".join(index.nearest(missing[0]))
        raise DataError(
            f"{subject}: {owner} has no class {listed([repr(name) for name in missing], SHOWN)} (the nearest to the "
            f"first: {near}): name each class as there or by its WordNet id, or remove its images"
        )
    for name, places in zip(names, places_of_name, strict=True):
        if len(places) > 1:
            which = " and ".join(repr(known[place]) for place in places[:SHOWN])
            raise DataError(f"{subject}: its class {name!r} is both {which} of {owner}: name it as there")
    return np.array([place for (place,) in places_of_name], np.int64)


def _imagenet_name(name: str) -> str:
    """The name of a WordNet id of ImageNet; other names unchanged."""
    known = by_wordnet_id().get(name)
    return name if known is None else SHARED_NAMES.get(known.output, known.name)


def of_classes(dataset: Dataset, image_ids: NDArray[np.int64], names: Sequence[str], shift: str) -> Dataset:
    """The images of some classes, among the chosen ones, with labels of these classes alone.

    Args:
        dataset: the dataset.
        image_ids: (N,) the chosen images.
        names: classes of the dataset, in its order.
        shift: label of the shift that has these classes, for errors.

    Raises:
        StudyError: none of the chosen images is of these classes.
    """
    places = {name: index for index, name in enumerate(names)}
    class_indices = np.array([places.get(name, -1) for name in dataset.class_names])
    kept = image_ids[class_indices[dataset.labels[image_ids]] >= 0]
    if not len(kept):
        raise StudyError(
            f"shift {shift!r}: none of the {len(image_ids):,} evaluated images of {dataset.label} is of its classes: "
            "evaluate more images"
        )
    return replace(
        dataset,
        label=f"{dataset.label}, {len(names):,} classes",
        images=SelectedImages(dataset.images, kept),
        labels=class_indices[dataset.labels[kept]],
        class_names=tuple(names),
        files=None if dataset.files is None else tuple(dataset.files[image_id] for image_id in kept),
        masks=None,
        empty_masks=None,
        left_out=None,
        metadata={name: values.take(pa.array(kept)) for name, values in dataset.metadata.items()},
        source_sizes=None if dataset.source_sizes is None else dataset.source_sizes.take(pa.array(kept)),
    )
