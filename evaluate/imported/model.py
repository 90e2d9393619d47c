"""A model known by its predictions only."""

from dataclasses import dataclass
from typing import Any

from evaluate.imported.columns import Kind
from warehouse.identity import identity_of
from warehouse.schema import IMPORTED_FAMILY


@dataclass(frozen=True)
class ImportedModel:
    """What stands in `models` for predictions made elsewhere.

    Attributes:
        label: its name on charts.
        kind: what the file holds.
        content: hash of the predictions.
        class_names: classes, in order.
        architecture: what the user says it is.
    """

    label: str
    kind: Kind
    content: str
    class_names: tuple[str, ...]
    architecture: str = IMPORTED_FAMILY

    def model_id(self) -> str:
        """Hash of the predictions and the class map: two labels for the same predictions are one model."""
        return identity_of({"imported": self.content, "kind": self.kind, "classes": self.class_names})

    def row(self) -> dict[str, Any]:
        """The row of `models`; what only a network has is null."""
        return {
            "model_id": self.model_id(),
            "model_label": self.label,
            "architecture": self.architecture,
            "family": IMPORTED_FAMILY,
            "class_count": len(self.class_names),
        }
