"""What the clean images tell before all others: accuracy by both protocols, and whether the order of outputs fits.

A model whose outputs are taken in the wrong order gives wrong numbers that look right: an accuracy at chance, or one
that another order would make much better.
"""

import numpy as np
import torch

from failmodes.evaluate.models.model import Model
from failmodes.warehouse.metrics.class_order import far_better_order

SHOWN = 4  # classes of another order that are named


class CleanPredictions:
    """Labels and answers of the clean images of one model, as they come in."""

    def __init__(self, model: Model, class_count: int) -> None:
        self.model, self.class_count = model, class_count
        self.labels: list[np.ndarray] = []
        self.among_classes: list[np.ndarray] = []  # the class of the largest logit among the data set's classes
        self.among_all: list[np.ndarray] = []  # whether the label's logit is the largest among all outputs

    def add(self, labels: np.ndarray, logits: torch.Tensor, others: torch.Tensor | None) -> None:
        """Take some images in.

        Args:
            labels: (N,) class indices.
            logits: (N, C or more) of the classes, and of the other outputs where these take part.
            others: (N,) the largest logit of other outputs, where these take no part; None where there are none.
        """
        largest, predictions = logits[:, : self.class_count].max(1)
        if others is None:
            others = logits[:, self.class_count :].amax(1) if logits.shape[1] > self.class_count else None
        correct = (predictions.cpu().numpy() == labels) & logits.isfinite().all(1).cpu().numpy()
        self.labels.append(labels)
        self.among_classes.append(predictions.cpu().numpy())
        self.among_all.append(correct if others is None else correct & (largest > others).cpu().numpy())

    def notes(self) -> list[str]:
        """What a reader should know, a line each."""
        labels, predictions = np.concatenate(self.labels), np.concatenate(self.among_classes)
        found = [
            self._protocols(labels, predictions),
            self._at_chance(labels, predictions),
            self._other_order(labels, predictions),
        ]
        return [f"{self.model.label}: {line}" for line in found if line]

    def _protocols(self, labels: np.ndarray, predictions: np.ndarray) -> str | None:
        if self.model.protocol is None:
            return None
        here, other = ("all", "subset") if self.model.protocol == "all" else ("subset", "all")
        return (
            f"clean accuracy {np.mean(predictions == labels):.1%} among the {self.class_count:,} classes of the data "
            f"set, {np.concatenate(self.among_all).mean():.1%} among all {self.model.output_count:,} outputs; "
            f'`classes = "{here}"` counts here, and "{other}" is the other'
        )

    def _at_chance(self, labels: np.ndarray, predictions: np.ndarray) -> str | None:
        accuracy = float(np.mean(predictions == labels))
        if accuracy > 1 / self.class_count:
            return None
        return (
            f"clean accuracy is {accuracy:.1%}, at or below chance ({1 / self.class_count:.1%}; n = {len(labels):,}): "
            "check the order of its outputs (`class_names`), its normalization and the labels"
        )

    def _other_order(self, labels: np.ndarray, predictions: np.ndarray) -> str | None:
        found = far_better_order(labels, predictions, self.class_count)
        if found is None:
            return None
        names, outputs = self.model.class_names, self.model.class_outputs or list(range(self.class_count))
        order = found.outputs.tolist()
        moved = [f"{names[i]} = {outputs[order[i]]}" for i in range(self.class_count) if order[i] != i]
        more = ", …" if len(moved) > SHOWN else ""
        return (
            f"with its outputs in another order ({', '.join(moved[:SHOWN])}{more}) clean accuracy would be "
            f"{found.matched:.1%} instead of {found.actual:.1%} (n = {found.images:,}, on which that order was not "
            "chosen): if it is right, say so by `class_names`, or `class_map`"
        )
