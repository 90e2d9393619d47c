"""An evaluation: one network over one subset of one data set and one source of corruption, and its identity."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from failmodes.evaluate.cam.cam_method import CamMethod, CamUnavailable
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.models.network import Network
from failmodes.evaluate.study.study_schema import Study
from failmodes.ingest.corrupted_sets.opening import PublishedSource
from failmodes.ingest.datasets.dataset import Dataset, balanced_subset
from failmodes.ingest.sources import GeneratedSource, Source
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
        description: how it was chosen, for reports.
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
    """Where images come from, clean and corrupted, and which of them are evaluated."""

    dataset: Dataset
    source: Source
    subset: Subset

    @property
    def paired(self) -> bool:
        """Whether corrupted images pair with clean ones, image by image."""
        return self.source.pairing.paired


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All that a row of this evaluation depends on."""

    evaluation_id: str
    study: str
    model: Model
    model_id: str
    network: Network
    data: EvaluationData
    cam_method: CamMethod | CamUnavailable

    @property
    def has_attention(self) -> bool:
        """Whether there are attention maps."""
        return not isinstance(self.cam_method, CamUnavailable)

    def describe(self) -> str:
        """One line on what is about to run: the network, what travels with it, and how its attention is measured."""
        method = self.cam_method
        attention = (
            f"no attention: {method.reason}"
            if isinstance(method, CamUnavailable)
            else f"{method.method} at {method.layer}"
        )
        return f"{self.model.describe()}; {self.network.precision}; {attention}"

    def row(self) -> dict[str, Any]:
        """The row of `evaluations`."""
        (dataset, source, subset), method = self.data, self.cam_method
        return {
            "evaluation_id": self.evaluation_id,
            "study": self.study,
            "model_id": self.model_id,
            "dataset_id": dataset.dataset_id,
            "source_id": source.source_id,
            "image_count": len(subset.clean_ids),
            "subset": subset.description,
            "subset_id": subset.subset_id,
            "precision": self.network.precision,
            "attention_method": NO_CAM_METHOD if isinstance(method, CamUnavailable) else method.method,
            "attention_layer": None if isinstance(method, CamUnavailable) else method.layer,
            "attention_note": method.reason if isinstance(method, CamUnavailable) else None,
            "paired": source.pairing.paired,
            "pairing_note": source.pairing.note,
        }


def open_evaluation_data(
    study: Study, dataset: Dataset, seeds: Sequence[int] | None = None
) -> Iterator[EvaluationData]:
    """The images of a study, once for each seed of its corruptions, in their order; a published set has no seeds.

    Args:
        study: names corruptions, their source, and how many images.
        dataset: its data set.
        seeds: of the study's seeds only these.

    Raises:
        DataError: the corrupted set is missing or damaged.
    """
    spec = study.corruptions
    every = spec.seeds if spec.published is None else spec.seeds[:1]
    for seed in every if seeds is None else seeds:
        source: Source = (
            GeneratedSource.from_spec(spec, seed)
            if spec.published is None
            else PublishedSource.from_spec(spec, dataset, study.cache)
        )
        yield EvaluationData(dataset, source, choose_subset(dataset, source, study.dataset.images))


def choose_subset(dataset: Dataset, source: Source, images: int | None) -> Subset:
    """The images to evaluate, balanced over classes; of a source that pairs with some images, paired images only."""
    pairing = source.pairing
    if pairing.image_pairs is not None:
        held = pairing.image_pairs.clean_ids
        positions, description = balanced_subset(dataset.labels[held], images)
        ids = held[positions]
        of_all = f"of the {len(held):,} (of {len(dataset.labels):,}) that the corrupted set holds"
        return Subset(ids, ids, dataset.labels[ids], f"{description}, {of_all}")
    clean_ids, description = balanced_subset(dataset.labels, images)
    if pairing.paired:
        return Subset(clean_ids, clean_ids, dataset.labels[clean_ids], description)
    labels = source.labels(dataset)
    corrupted_ids, _ = balanced_subset(labels, images)
    return Subset(clean_ids, corrupted_ids, labels[corrupted_ids], f"{description}; corrupted images chosen likewise")


def make_evaluation(
    study: str, model: Model, network: Network, data: EvaluationData, cam_method: CamMethod | CamUnavailable
) -> Evaluation:
    """Put an evaluation together under its identity: the hash of all that changes its rows."""
    model_id, method = model.model_id(), cam_method
    facts = {
        "schema": SCHEMA_VERSION.split(".")[0],
        "model": model_id,
        "dataset": data.dataset.dataset_id,
        "subset": data.subset.subset_id,
        "source": data.source.source_id,
        "precision": network.precision,
        "attention": None if isinstance(method, CamUnavailable) else [method.method, method.layer, NULL_SEED],
        "paired": data.paired,
    }
    return Evaluation(identity_of(facts), study, model, model_id, network, data, cam_method)
