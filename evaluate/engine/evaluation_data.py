"""What a run's images are made of, and how another process opens the same.

A study opens once for each seed of its corruptions: a material each, in the order of the seeds.
"""

import pickle
from collections.abc import Iterator
from typing import NamedTuple

from failmodes.evaluate.evaluation import Subset, choose_subset
from failmodes.evaluate.study.study_schema import Study
from failmodes.ingest.corrupted_sets.opening import open_pixel_source
from failmodes.ingest.corruptions.catalogue import Corruption, add_corruption, registered
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.sources import Source


class EvaluationData(NamedTuple):
    """Where images come from, clean and corrupted."""

    dataset: Dataset
    source: Source
    subset: Subset

    @property
    def paired(self) -> bool:
        """Whether corrupted images pair with clean ones, image by image."""
        return self.source.pairing.paired


class WorkerSpec(NamedTuple):
    """All that another process needs to open the same study: it crosses as a pickle of our own making.

    Corruptions of the user's own travel by reference, so that their module must be importable there; the folder of
    the study file is on the path of every process that `multiprocessing` starts.
    """

    study: Study
    own_corruptions: tuple[Corruption, ...]

    @classmethod
    def of(cls, study: Study) -> "WorkerSpec":
        """The opening of a study that was read in this process."""
        names = set(study.corruptions.names)
        return cls(study, tuple(own for name, own in registered().items() if name in names))

    def open(self) -> tuple[Study, Dataset]:
        """Open the study here; images are mapped, not copied."""
        for corruption in self.own_corruptions:
            add_corruption(corruption)
        return self.study, open_dataset(self.study.dataset, self.study.cache)

    def to_bytes(self) -> bytes:
        """The pickle, for a process whose path is set only once it runs."""
        return pickle.dumps(self)


def open_evaluation_data(study: Study, dataset: Dataset) -> Iterator[EvaluationData]:
    """The materials of a study; a published set has no seeds, hence one."""
    corruptions = study.corruptions
    for seed in corruptions.seeds if corruptions.published is None else corruptions.seeds[:1]:
        source = open_pixel_source(corruptions, seed, dataset, study.cache)
        yield EvaluationData(dataset, source, choose_subset(dataset, source, source.pairing, study.dataset.images))
