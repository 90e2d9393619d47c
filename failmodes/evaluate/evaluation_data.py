"""The images of an evaluation: a dataset, the source of its corrupted images, and the evaluated subset.

Separate from `evaluation`, so that images can be checked (`failmodes ingest`) without PyTorch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from failmodes.evaluate.study.study_schema import Study
from failmodes.ingest.corrupted_datasets.published_source import PublishedSource
from failmodes.ingest.corruptions.image_checks import check_size
from failmodes.ingest.datasets.dataset import Dataset, balanced_subset
from failmodes.ingest.sources import GeneratedSource, Source
from failmodes.warehouse.hashing import fingerprint_of


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
    """The dataset, the source of corrupted images, and the evaluated subset."""

    dataset: Dataset
    source: Source
    subset: Subset

    @property
    def paired(self) -> bool:
        """Whether corrupted images are paired with clean ones."""
        return self.source.pairing.paired


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
    if spec.published is None:
        height, width = dataset.images.shape[1:3]
        check_size(height, width, spec.recipe)  # report it now, not in the first cell
    every = spec.seeds if spec.published is None else spec.seeds[:1]
    for seed in every if seeds is None else seeds:
        source: Source = (
            GeneratedSource.from_spec(spec, seed, gray=dataset.gray)
            if spec.published is None
            else PublishedSource.from_spec(spec, dataset, study.cache)
        )
        yield EvaluationData(dataset, source, choose_subset(dataset, source, study.dataset.images))


def choose_subset(dataset: Dataset, source: Source, images: int | None) -> Subset:
    """The images to evaluate, balanced over classes; only paired images if the source pairs some images."""
    pairing = source.pairing
    if pairing.image_pairs is not None:
        held = pairing.image_pairs.clean_ids
        positions, description = balanced_subset(dataset.labels[held], images)
        ids = held[positions]
        of_all = f"of the {len(held):,} (of {len(dataset.labels):,}) in the corrupted dataset"
        return Subset(ids, ids, dataset.labels[ids], f"{description}, {of_all}")
    clean_ids, description = balanced_subset(dataset.labels, images)
    if pairing.paired:
        return Subset(clean_ids, clean_ids, dataset.labels[clean_ids], description)
    labels = source.labels(dataset)
    corrupted_ids, _ = balanced_subset(labels, images)
    return Subset(clean_ids, corrupted_ids, labels[corrupted_ids], f"{description}; corrupted images chosen likewise")
