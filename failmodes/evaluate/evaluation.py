"""An evaluation: one model on one subset of one dataset and one source of corrupted images, and its identity."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from failmodes.evaluate.cam.cam_method import CamMethod, CamUnavailable
from failmodes.evaluate.evaluation_data import EvaluationData
from failmodes.evaluate.models.model import Model
from failmodes.runtime.hashing import identity_of
from failmodes.warehouse.null_pairs import NULL_SEED
from failmodes.warehouse.schema import FULL_LOGITS_CLASSES, SCHEMA_VERSION


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Everything that the rows of an evaluation depend on.

    Attributes:
        study: the study's name.
        model: the model on its device, with its map to the classes of the images.
        attention: the CAM method of the model, or the reason why there is none.
        data: the images.
        all_logits: whether the study stores every logit.
    """

    study: str
    model: Model
    attention: CamMethod | CamUnavailable
    data: EvaluationData
    all_logits: bool = False

    @cached_property
    def evaluation_id(self) -> str:
        """Hash of everything that changes the stored rows."""
        dataset, source, subset, _ = self.data
        facts: dict[str, Any] = {
            "schema": SCHEMA_VERSION,
            "model": self.model.model_id,
            "dataset": dataset.dataset_id,
            "subset": subset.subset_id,
            "source": source.source_id,
            "precision": self.model.precision,
            "attention": None,
            "paired": self.data.paired,
        }
        if self.has_attention:
            facts["attention"] = [self.attention.method, self.attention.layer, NULL_SEED]
            if dataset.masks_id is not None:
                facts["masks"] = dataset.masks_id
        if self.keeps_logits:
            facts["logits"] = "all"
        if self.model.is_partial:
            facts["classes"] = [self.model.output_map.classes, self.model.output_map.protocol]
        return identity_of(facts)

    @property
    def has_attention(self) -> bool:
        """Whether there are attention maps."""
        return self.attention.reason is None

    @property
    def logit_count(self) -> int:
        """Number of logits per image: of the classes, and of other outputs if these compete."""
        return len(self.model.output_map.logits)

    @property
    def keeps_logits(self) -> bool:
        """Whether all logits are stored in a separate table, which few classes do not need."""
        return self.all_logits and self.logit_count > FULL_LOGITS_CLASSES

    def assumptions(self) -> dict[str, str]:
        """Assumptions about the model, its precision and its attention: text by topic."""
        method = self.attention
        attention = f"{method.method} at {method.layer}" if self.has_attention else f"none: {method.reason}"
        precision = {} if self.model.precision == "float32" else {"precision": self.model.precision}
        shape = self.data.dataset.images.shape[1:]
        return {**self.model.assumptions(shape), **precision, "attention": attention}

    def row(self) -> dict[str, Any]:
        """The row of `evaluations`."""
        (dataset, source, subset, _) = self.data
        method = self.attention
        return {
            "evaluation_id": self.evaluation_id,
            "study": self.study,
            "model_id": self.model.model_id,
            "dataset_id": dataset.dataset_id,
            "source_id": source.source_id,
            "image_count": len(subset.clean_ids),
            "subset": subset.description,
            "subset_id": subset.subset_id,
            "precision": self.model.precision,
            "attention_method": method.method,
            "attention_layer": method.layer,
            "attention_note": method.reason,
            "paired": source.pairing.paired,
            "pairing_note": source.pairing.note,
        }
