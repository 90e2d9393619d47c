"""An evaluation: one network over one subset of one data set and one source of corruption, and its identity."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from failmodes.evaluate.cam.cam_method import CamMethod, CamUnavailable
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.models.network import Network
from failmodes.ingest.datasets.dataset import Dataset, balanced_subset
from failmodes.ingest.sources import ImagePairs, Pairing, Source
from failmodes.warehouse.hashing import fingerprint_of, identity_of
from failmodes.warehouse.schema import SCHEMA_VERSION

NO_CAM_METHOD = "none"

NULL_SEED = 0  # part of every evaluation's identity


@dataclass(frozen=True, eq=False)
class Subset:
    """Which images are evaluated: clean ones and their corrupted counterparts.

    Attributes:
        clean_ids: (N,) indices into the data set.
        corrupted_ids: (M,) indices into the corrupted set; the same ones where the two pair.
        corrupted_labels: (M,) their labels.
        words: the subset in words.
    """

    clean_ids: np.ndarray
    corrupted_ids: np.ndarray
    corrupted_labels: np.ndarray
    words: str

    @property
    def subset_id(self) -> str:
        """Hash of both lists of indices."""
        return fingerprint_of([self.clean_ids.astype(np.int64), self.corrupted_ids.astype(np.int64)])


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All that a row of this evaluation depends on."""

    evaluation_id: str
    study: str
    model: Model
    model_id: str
    network: Network
    dataset: Dataset
    source: Source
    subset: Subset
    pairing: Pairing
    way: CamMethod | CamUnavailable

    @property
    def attends(self) -> bool:
        """Whether there is attention."""
        return not isinstance(self.way, CamUnavailable)

    def words(self) -> str:
        """One line on what is about to run: the network, what travels with it, and how it is attended to."""
        way = self.way
        attention = f"no attention: {way.reason}" if isinstance(way, CamUnavailable) else f"{way.method} at {way.layer}"
        return f"{self.model.words()}; {self.network.precision}; {attention}"

    def row(self) -> dict[str, Any]:
        """The row of `evaluations`."""
        return {
            "evaluation_id": self.evaluation_id,
            "study": self.study,
            "model_id": self.model_id,
            "dataset_id": self.dataset.dataset_id,
            "source_id": self.source.source_id,
            "image_count": len(self.subset.clean_ids),
            "subset": self.subset.words,
            "subset_id": self.subset.subset_id,
            "precision": self.network.precision,
            "attention_method": NO_CAM_METHOD if isinstance(self.way, CamUnavailable) else self.way.method,
            "attention_layer": None if isinstance(self.way, CamUnavailable) else self.way.layer,
            "attention_note": self.way.reason if isinstance(self.way, CamUnavailable) else None,
            "paired": self.pairing.paired,
            "pairing_note": self.pairing.note,
        }


def choose_subset(dataset: Dataset, source: Source, pairing: Pairing, images: int | None) -> Subset:
    """The images to evaluate, balanced over classes; where some pair and others do not, only such as do."""
    if pairing.image_pairs is not None:
        return _subset_of_twins(dataset, pairing.image_pairs, images)
    clean_ids, words = balanced_subset(dataset.labels, images)
    if pairing.paired:
        return Subset(clean_ids, clean_ids, dataset.labels[clean_ids], words)
    labels = source.labels(dataset)
    corrupted_ids, _ = balanced_subset(labels, images)
    return Subset(clean_ids, corrupted_ids, labels[corrupted_ids], f"{words}; corrupted images chosen likewise")


def _subset_of_twins(dataset: Dataset, twins: ImagePairs, images: int | None) -> Subset:
    places, words = balanced_subset(dataset.labels[twins.clean_ids], images)
    ids = twins.clean_ids[places]
    held = f"of the {len(twins.clean_ids):,} (of {len(dataset.labels):,}) that the corrupted set holds"
    return Subset(ids, ids, dataset.labels[ids], f"{words}, {held}")


def make_evaluation(
    study: str,
    model: Model,
    network: Network,
    dataset: Dataset,
    source: Source,
    subset: Subset,
    pairing: Pairing,
    way: CamMethod | CamUnavailable,
) -> Evaluation:
    """Put an evaluation together under its identity: the hash of all that changes its rows."""
    model_id = model.model_id()
    facts = {
        "schema": SCHEMA_VERSION.split(".")[0],
        "model": model_id,
        "dataset": dataset.dataset_id,
        "subset": subset.subset_id,
        "source": source.source_id,
        "precision": network.precision,
        "attention": None if isinstance(way, CamUnavailable) else [way.method, way.layer, NULL_SEED],
        "paired": pairing.paired,
    }
    return Evaluation(identity_of(facts), study, model, model_id, network, dataset, source, subset, pairing, way)
