"""The clean baseline of attention: maps of clean images, against which drift is measured.

The null drift of an image is measured against the clean map of another image: of any class, and of the same class.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch

from failmodes.evaluate.engine.statistics import drift_between
from failmodes.evaluate.evaluation import Evaluation
from failmodes.runtime.storage.files import StorePath
from failmodes.warehouse.null_pairs import sample_null_pairs
from failmodes.warehouse.schema import CLEAN_MAPS
from failmodes.warehouse.shards.format import damage_of, dimension_path, write_dimension
from failmodes.warehouse.shards.inventory import read_rows

COMPARED_IMAGES = 512  # clean images to compare a lower precision with float32


class CleanBaseline(NamedTuple):
    """Clean maps by position in the subset, on the model's device.

    Attributes:
        predicted: (N,) class predicted on the clean image.
        known: (N,) boolean on the host: whether its logits are finite.
        maps: (N + 1, 1, h, w) its map after the ReLU; the last is NaN, for "no other image".
        any_image: (N,) position of another image.
        same_class: (N,) position of another image of the same class, −1 if there is none.
    """

    predicted: torch.Tensor
    known: np.ndarray
    maps: torch.Tensor
    any_image: np.ndarray
    same_class: np.ndarray

    @classmethod
    def of(cls, evaluation: Evaluation, predicted: torch.Tensor, maps: torch.Tensor) -> "CleanBaseline":
        """Combine clean predictions (N,) and maps (N, 1, h, w), NaN without a prediction, with null pairs."""
        known = ~maps.isnan().flatten(1).any(1).cpu().numpy()
        no_map = maps.new_full((1, *maps.shape[1:]), torch.nan)
        null_pairs = sample_null_pairs(evaluation.data.dataset.labels[evaluation.data.subset.clean_ids])
        return cls(predicted, known, torch.cat([maps, no_map]), *null_pairs)

    def drifts(self, maps: torch.Tensor, positions: np.ndarray) -> dict[str, torch.Tensor]:
        """Drift of maps (n, T, h, w) at `positions`, by column: against their clean maps and both null maps."""
        others = {"": positions, "null_": self.any_image[positions], "null_class_": self.same_class[positions]}
        return {
            f"{prefix}{name}": drift
            for prefix, other in others.items()
            for name, drift in drift_between(maps, self.maps[other]).items()
        }


def save_clean_baseline(output: StorePath, evaluation: Evaluation, baseline: CleanBaseline) -> None:
    """Publish the clean maps, so that later runs do not recompute them."""
    maps = baseline.maps[:-1].cpu().numpy()
    count, _, height, width = maps.shape
    columns = {
        "evaluation_id": pa.repeat(evaluation.evaluation_id, count),
        "image_id": evaluation.data.subset.clean_ids,
        "predicted": baseline.predicted.cpu().numpy(),
        "map": pa.FixedSizeListArray.from_arrays(maps.reshape(-1), height * width),
        "map_height": np.full(count, height),
        "map_width": np.full(count, width),
    }
    write_dimension(output, CLEAN_MAPS, evaluation.evaluation_id, pa.table(columns))


def clean_baseline_path(output: StorePath, evaluation: Evaluation) -> StorePath:
    """The file of an evaluation's clean maps."""
    return dimension_path(output, CLEAN_MAPS, evaluation.evaluation_id)


def load_clean_baseline(output: StorePath, evaluation: Evaluation) -> CleanBaseline:
    """Read the clean maps of an earlier run.

    Raises:
        DamagedShardError: they are missing or damaged, or do not match the images and classes of the evaluation.
    """
    path = clean_baseline_path(output, evaluation)
    rows = read_rows(path, CLEAN_MAPS)
    with damage_of(path):
        if not np.array_equal(rows["image_id"].to_numpy(), evaluation.data.subset.clean_ids):
            raise ValueError("its images are not those of the evaluation")
        height, width = rows["map_height"][0].as_py(), rows["map_width"][0].as_py()
        maps = rows["map"].combine_chunks().flatten().to_numpy().reshape(rows.num_rows, 1, height, width)
        predicted = rows["predicted"].to_numpy().astype(np.int64)
        if not 0 <= predicted.min() <= predicted.max() < evaluation.logit_count:
            raise ValueError("it predicts unknown classes")
    device = evaluation.model.device
    return CleanBaseline.of(evaluation, torch.from_numpy(predicted).to(device), torch.tensor(maps, device=device))


def changed_predictions(evaluation: Evaluation, batch_size: int) -> float:
    """Share of up to COMPARED_IMAGES clean images for which float32 predicts another class, 0–1.

    Args:
        evaluation: a model at a lower precision, and its clean images.
        batch_size: batch size at that precision; both use half of it, since float32 takes twice the memory.
    """
    at_once = max(1, batch_size // 2)
    lower = evaluation.model
    full = dataclasses.replace(lower, precision="float32")
    ids = evaluation.data.subset.clean_ids[:COMPARED_IMAGES]
    changed = 0
    for start in range(0, len(ids), at_once):
        images = evaluation.data.dataset.images[ids[start : start + at_once]]
        changed += int((lower.predict(images).argmax(1) != full.predict(images).argmax(1)).sum())
    return changed / len(ids)
