"""The images of an evaluation: a dataset, the source of its corrupted images, and the evaluated subset.

Separate from `evaluation`, so that images can be checked (`failmodes ingest`) without PyTorch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.evaluate.study.study_schema import Study
from failmodes.ingest.corrupted_datasets.published_source import PublishedSource
from failmodes.ingest.datasets.dataset import Dataset, balanced_subset
from failmodes.ingest.datasets.shifts import Shift, of_classes, open_shift
from failmodes.ingest.protocols.protocol import listed_images
from failmodes.ingest.sources import GeneratedSource, NoCorruption, Source
from failmodes.runtime.errors import StudyError
from failmodes.runtime.hashing import fingerprint_of
from failmodes.warehouse.shards.format import CLEAN_CELL, Cell


@dataclass(frozen=True, eq=False)
class Subset:
    """The evaluated images: clean ones and their corrupted counterparts.

    Attributes:
        clean_ids: (N,) indices into the dataset.
        corrupted_ids: (M,) indices into the corrupted dataset; the same if images are paired.
        corrupted_labels: (M,) their labels.
        description: how the subset was chosen, for reports.
    """

    clean_ids: np.ndarray
    corrupted_ids: np.ndarray
    corrupted_labels: np.ndarray
    description: str

    @property
    def subset_id(self) -> str:
        """Hash of both lists of indices."""
        return fingerprint_of([self.clean_ids.astype(np.int64), self.corrupted_ids.astype(np.int64)])


class EvaluationData(NamedTuple):
    """The dataset, the source of corrupted images, and the evaluated subset.

    Attributes:
        dataset: clean images with labels.
        source: of their corrupted counterparts.
        subset: the evaluated images.
        shift: the natural shift that these are the images of, or the clean images of its classes; None for the
            images of the study itself.
    """

    dataset: Dataset
    source: Source
    subset: Subset
    shift: Shift | None = None

    @property
    def is_shifted(self) -> bool:
        """Whether these are the images of a shift themselves."""
        return self.shift is not None and self.dataset is self.shift.dataset

    @property
    def title(self) -> str:
        """The label of the source of corruptions, or the shift."""
        if self.shift is None:
            return str(self.source.row()["source_label"])
        return f"shift {self.shift.label}" if self.is_shifted else f"clean images for shift {self.shift.label}"

    def is_clean_of(self, shift: Shift) -> bool:
        """Whether these are the clean images that a shift is compared with."""
        if self.shift is None or self.is_shifted:
            return self.shift is None and not shift.needs_own_clean
        ours = (self.dataset.class_names, self.shift.restricted)
        return ours == (shift.dataset.class_names, shift.restricted)

    def cells(self, study: Study) -> list[Cell]:
        """The cells to evaluate, the clean one first; only that of a shift."""
        return study.cells if self.shift is None else [CLEAN_CELL]

    @property
    def paired(self) -> bool:
        """Whether corrupted images are paired with clean ones."""
        return self.source.pairing.paired


def open_study_data(study: Study, dataset: Dataset) -> list[EvaluationData]:
    """All images of a study: for each corruption seed, then for each shift those of the shift.

    The clean images of its classes follow a shift whose clean accuracy is of other images or predictions than the
    study's clean cell, unless those of an earlier shift are the same.

    Args:
        study: the study.
        dataset: its dataset.

    Raises:
        StudyError, DataError: see `open_evaluation_data` and `open_shift`; or two shifts hold the same images.
    """
    opened = list(open_evaluation_data(study, dataset))
    known: dict[tuple[str, str], str] = {}
    for spec in study.shifts:
        shift = open_shift(spec, study.dataset, dataset, study.cache)
        shifted = EvaluationData(
            shift.dataset, NoCorruption(), _subset(shift.dataset, spec.images, spec.image_list), shift
        )
        other = known.setdefault((shift.dataset.dataset_id, shifted.subset.subset_id), shift.label)
        if other != shift.label:
            raise StudyError(f"shifts {other!r} and {shift.label!r} hold the same images: remove one of them")
        opened.append(shifted)
        if shift.needs_own_clean and not any(data.is_clean_of(shift) for data in opened):
            opened.append(_clean_of(shift, dataset, opened[0].subset))
    return opened


def _clean_of(shift: Shift, dataset: Dataset, evaluated: Subset) -> EvaluationData:
    """The clean images of a shift's classes, among the evaluated ones."""
    ids = evaluated.clean_ids
    if len(shift.dataset.class_names) == len(dataset.class_names):
        subset = Subset(ids, ids, dataset.labels[ids], evaluated.description)
        return EvaluationData(dataset, NoCorruption(), subset, shift)
    clean = of_classes(dataset, ids, shift.dataset.class_names, shift.label)
    return EvaluationData(clean, NoCorruption(), _subset(clean), shift)


def _subset(
    dataset: Dataset, images: int | None = None, image_list: Path | None = None, held: NDArray[np.int64] | None = None
) -> Subset:
    """The images of a dataset that a study requests.

    Args:
        dataset: the dataset.
        images: how many; None for all.
        image_list: only those that this file names.
        held: only these, which the corrupted dataset has.
    """
    total = len(dataset.labels)
    among = np.arange(total, dtype=np.int64) if held is None else held
    notes = [] if held is None else [f"of the {len(held):,} (of {total:,}) in the corrupted dataset"]
    if image_list is not None:
        named = np.array(listed_images(dataset.files, image_list), dtype=np.int64)
        among = np.intersect1d(among, named)
        if not len(among):
            raise StudyError(f"none of the {len(named):,} images of {image_list} is in the corrupted dataset")
        notes.append(f"of the {len(named):,} that {image_list.name} lists")
    positions, description = balanced_subset(dataset.labels[among], images)
    ids = among[positions]
    return Subset(ids, ids, dataset.labels[ids], ", ".join([description, *notes]))


def open_evaluation_data(
    study: Study, dataset: Dataset, seeds: Sequence[int] | None = None
) -> Iterator[EvaluationData]:
    """Yield the images of a study for each corruption seed; a published dataset has no seeds.

    Args:
        study: the study.
        dataset: its dataset.
        seeds: only these seeds of the study.

    Raises:
        DataError: the corrupted dataset is missing or damaged, or images are too small for the recipe.
    """
    spec = study.corruptions
    every = spec.seeds if spec.published is None else spec.seeds[:1]
    for seed in every if seeds is None else seeds:
        source: Source = (
            GeneratedSource.from_spec(spec, seed, dataset)
            if spec.published is None
            else PublishedSource.from_spec(spec, dataset, study.cache)
        )
        yield EvaluationData(
            dataset, source, choose_subset(dataset, source, study.dataset.images, study.dataset.image_list)
        )


def choose_subset(dataset: Dataset, source: Source, images: int | None, image_list: Path | None = None) -> Subset:
    """The images to evaluate, balanced over classes; only paired images if the source pairs some images."""
    pairing = source.pairing
    if pairing.image_pairs is not None:
        return _subset(dataset, images, image_list, pairing.image_pairs.clean_ids)
    clean = _subset(dataset, images, image_list)
    if pairing.paired:
        return clean
    labels = source.labels(dataset)
    corrupted_ids, _ = balanced_subset(labels, images)
    note = f"{clean.description}; corrupted images chosen likewise"
    return Subset(clean.clean_ids, corrupted_ids, labels[corrupted_ids], note)
