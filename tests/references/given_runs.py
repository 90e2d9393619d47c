"""Models whose rows are given as arrays, without a warehouse."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from failmodes.analysis.statistics.run_rows import CellKey, ModelRows, RunRows

CELLS: list[CellKey] = [("fog", 1.0), ("fog", 2.0), ("none", 0.0), ("snow", 1.0)]


def given_run(
    correct: NDArray[np.bool_],
    cells: Sequence[CellKey] = CELLS,
    image_ids: Sequence[int] | None = None,
    *,
    shares_images: bool = True,
    **columns: NDArray[Any],
) -> RunRows:
    """One training run: (N, C) whether images are right, and other columns (N, C)."""
    ids = np.arange(len(correct)) if image_ids is None else np.asarray(image_ids)
    hashes = (str(ids.tolist()),) * len(cells)
    of_cells = {"image_id": np.tile(ids[:, None], (1, len(cells))), **columns}
    return RunRows("run", shares_images, list(cells), correct, hashes, columns=of_cells)


def given_model(*runs: RunRows, dataset_id: str = "images") -> ModelRows:
    """A model of some training runs."""
    return ModelRows(runs, dataset_id, "seed 0")


def random_columns(rng: np.random.Generator, correct: NDArray[np.bool_], classes: int = 4) -> dict[str, NDArray[Any]]:
    """Columns that fit some answers: labels, predictions, and confidences, higher where right, some of them ties."""
    images, cells = correct.shape
    labels = np.tile((np.arange(images) % classes)[:, None], (1, cells)).astype(np.int16)
    predicted = np.where(correct, labels, (labels + rng.integers(1, classes, correct.shape)) % classes)
    confidence = np.round(rng.beta(4 + 3 * correct, 2, correct.shape), 2).clip(0.3, 0.99).astype(np.float32)
    other = (1 - confidence) / (classes - 1)
    label_probability = np.where(correct, confidence, other).astype(np.float32)
    return {
        "label": labels, "predicted": predicted.astype(np.int16), "confidence": confidence,
        "margin": (confidence - other).astype(np.float32), "label_probability": label_probability,
        "entropy_nats": (1 - confidence).astype(np.float32), "log_sum_exp": (5 * confidence).astype(np.float32),
        "loss_nats": -np.log(label_probability), "finite": np.ones(correct.shape, bool),
        "sum_p2": (confidence**2 + (classes - 1) * other**2).astype(np.float32),
    }  # fmt: skip
