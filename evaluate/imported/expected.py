"""What a study expects of a file of predictions: which cells, which images in each, and their labels."""

from dataclasses import dataclass

import numpy as np

from evaluate.evaluation import Subset, choose_subset
from evaluate.imported.scratch import CellKey
from evaluate.study import Study
from ingest.corruptions.severity import as_severity
from ingest.datasets import Dataset
from ingest.sources import Source, open_source
from warehouse.errors import StudyError
from warehouse.record import ZERO
from warehouse.schema import CLEAN

CLEAN_KEY = CellKey(CLEAN, ZERO)


@dataclass(frozen=True, eq=False)
class Images:
    """The images of a cell.

    Attributes:
        ids: (N,) those to be there, rising.
        labels: (M,) labels of all images by number, chosen or not.
        wanted: (M,) whether each is to be there.
    """

    ids: np.ndarray
    labels: np.ndarray
    wanted: np.ndarray


@dataclass(frozen=True, eq=False)
class Expected:
    """One evaluation's worth of cells, clean first, then in the order of the study."""

    dataset: Dataset
    source: Source
    subset: Subset
    cells: tuple[CellKey, ...]
    clean: Images
    corrupted: Images

    def images(self, cell: CellKey) -> Images:
        """The images that a cell holds: corrupted ones go by the source's numbers."""
        return self.clean if cell == CLEAN_KEY else self.corrupted


def expect(study: Study, dataset: Dataset, seed: int | None = None) -> Expected:
    """What the study asks for, under one of its seeds (the first if not given).

    Raises:
        StudyError: it has no such seed.
        DataError: the corrupted set is missing or damaged.
    """
    seeds = study.corruptions.seeds
    if seed is not None and (study.corruptions.published is not None or seed not in seeds):
        known = "a published set has none" if study.corruptions.published else f"it has {', '.join(map(str, seeds))}"
        raise StudyError(f"the study {study.name!r} has no corruption seed {seed}: {known}")
    source = open_source(study.corruptions, seeds[0] if seed is None else seed, dataset, study.cache)
    subset = choose_subset(dataset, source, source.pairing, study.dataset.images)
    labels = dataset.labels if source.pairing.paired else source.labels(dataset)
    severities = sorted(as_severity(severity) for severity in study.corruptions.severities)
    cells = [CellKey(name, severity) for name in study.corruptions.names for severity in severities]
    return Expected(
        dataset, source, subset, (CLEAN_KEY, *cells),
        _images(subset.clean_ids, dataset.labels), _images(subset.corrupted_ids, labels),
    )  # fmt: skip


def _images(ids: np.ndarray, labels: np.ndarray) -> Images:
    wanted = np.zeros(len(labels), bool)
    wanted[ids] = True
    return Images(ids.astype(np.int64), labels, wanted)
