"""An evaluation: one model over one subset of one data set and one source of corruption, and its identity."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from failmodes.evaluate.cam.cam_method import CamMethod, CamUnavailable
from failmodes.evaluate.evaluation_data import EvaluationData
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.models.prepared_model import PreparedModel
from failmodes.warehouse.hashing import identity_of
from failmodes.warehouse.null_pairs import NULL_SEED
from failmodes.warehouse.schema import FULL_LOGITS_CLASSES, SCHEMA_VERSION

NO_CAM_METHOD = "none"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All that a row of this evaluation depends on."""

    evaluation_id: str
    study: str
    model: Model
    model_id: str
    prepared: PreparedModel
    data: EvaluationData
    cam_method: CamMethod | CamUnavailable
    keeps_logits: bool = False  # all of them, beyond as many classes as are kept in any case

    @property
    def has_attention(self) -> bool:
        """Whether there are attention maps."""
        return not isinstance(self.cam_method, CamUnavailable)

    @property
    def logit_count(self) -> int:
        """How many logits an image has: those of the classes, and of other outputs where these take part."""
        return count_logits(self.model, self.data)

    def step(self, images: np.ndarray | torch.Tensor) -> None:
        """Put images (N, H, W, 3) uint8 through the model, with maps of two targets where it has attention."""
        if isinstance(self.cam_method, CamUnavailable):
            self.prepared.predict(images)
        else:
            self.cam_method(self.prepared.inputs(images), lambda logits: logits.argsort(1)[:, -2:])

    def assumptions(self) -> dict[str, str]:
        """What is taken for granted before the run, of the model and of all that travels with it: words by topic."""
        method = self.cam_method
        if isinstance(method, CamUnavailable):
            attention = f"none: {method.reason}"
        else:
            attention = f"{method.method} at {method.layer}"
        return {**self.model.assumptions(), "precision": self.prepared.precision, "attention": attention}

    def describe(self) -> list[str]:
        """What is about to run, a line a topic."""
        return [self.model.label, *(f"  {topic:<10} {words}" for topic, words in self.assumptions().items())]

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
            "precision": self.prepared.precision,
            "attention_method": NO_CAM_METHOD if isinstance(method, CamUnavailable) else method.method,
            "attention_layer": None if isinstance(method, CamUnavailable) else method.layer,
            "attention_note": method.reason if isinstance(method, CamUnavailable) else None,
            "paired": source.pairing.paired,
            "pairing_note": source.pairing.note,
        }


def count_logits(model: Model, data: EvaluationData) -> int:
    """How many logits an image has of a model."""
    return len(model.logit_outputs or data.dataset.class_names)


def make_evaluation(
    study: str,
    model: Model,
    prepared: PreparedModel,
    data: EvaluationData,
    cam_method: CamMethod | CamUnavailable,
    *,
    all_logits: bool = False,
) -> Evaluation:
    """Put an evaluation together under its identity: the hash of all that changes its rows, or what is kept of them."""
    model_id, method = model.model_id(), cam_method
    keeps_logits = all_logits and count_logits(model, data) > FULL_LOGITS_CLASSES
    facts = {
        "schema": SCHEMA_VERSION,
        "model": model_id,
        "dataset": data.dataset.dataset_id,
        "subset": data.subset.subset_id,
        "source": data.source.source_id,
        "precision": prepared.precision,
        "attention": None if isinstance(method, CamUnavailable) else [method.method, method.layer, NULL_SEED],
        "paired": data.paired,
    }
    if keeps_logits:
        facts["logits"] = "all"
    if data.dataset.masks_id is not None and facts["attention"] is not None:
        facts["masks"] = data.dataset.masks_id
    return Evaluation(identity_of(facts), study, model, model_id, prepared, data, cam_method, keeps_logits)
