"""What drift is measured against: the clean maps of an evaluation, kept in the record, and null pairs.

The null drift of an image is against the clean map of another image: of any class, and of its own class.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch

from failmodes.evaluate.engine.image_statistics import MapDrift, drift_between
from failmodes.evaluate.evaluation import Evaluation
from failmodes.warehouse.null_pairs import sample_null_pairs
from failmodes.warehouse.schema import CLEAN_MAPS
from failmodes.warehouse.shards.footer import damage_of
from failmodes.warehouse.shards.format import dimension_path, write_dimension
from failmodes.warehouse.shards.inventory import read_rows
from failmodes.warehouse.storage.files import StorePath


class CleanBaseline(NamedTuple):
    """Clean maps by position in the subset, on the model's device.

    Attributes:
        predicted: (N,) class predicted on the clean image.
        known: (N,) boolean on the host: whether one is, that is, whether its logits are finite.
        maps: (N + 1, 1, h, w) its map after the ReLU; the last is NaN and stands for "no other image".
        any_image: (N,) position of another image.
        same_class: (N,) position of another image of the same class, −1 where there is none.
    """

    predicted: torch.Tensor
    known: np.ndarray
    maps: torch.Tensor
    any_image: np.ndarray
    same_class: np.ndarray

    def drifts(self, maps: torch.Tensor, positions: np.ndarray) -> dict[str, MapDrift]:
        """Drift of maps (n, T, h, w) at `positions`, against their own clean maps and against both nulls."""
        others = {"": positions, "null_": self.any_image[positions], "null_class_": self.same_class[positions]}
        return {prefix: drift_between(maps, self.maps[other]) for prefix, other in others.items()}


class CleanMapBuffer:
    """Clean predictions and maps as they come in, in the memory that they stay in.

    Attributes:
        predicted: (N,) int64.
        maps: (N + 1, 1, h, w) float32; the last is NaN and stands for "no other image".
    """

    def __init__(self, count: int, like: torch.Tensor) -> None:
        """Room for `count` images with maps of the size and on the device of `like` (n, 1, h, w)."""
        self.predicted = torch.zeros(count, dtype=torch.int64, device=like.device)
        self.maps = torch.full((count + 1, *like.shape[1:]), torch.nan, device=like.device)

    def put(self, start: int, predicted: torch.Tensor, maps: torch.Tensor, known: torch.Tensor) -> None:
        """Fill in the images from position `start` on; the map of one whose prediction is not known (N,) is NaN."""
        self.predicted[start : start + len(predicted)] = predicted
        self.maps[start : start + len(maps)] = torch.where(known[:, None, None, None], maps, torch.nan)


def make_clean_baseline(evaluation: Evaluation, clean: CleanMapBuffer) -> CleanBaseline:
    """Join clean predictions and maps with null pairs."""
    null_pairs = sample_null_pairs(evaluation.data.dataset.labels[evaluation.data.subset.clean_ids])
    known = ~clean.maps[:-1].isnan().flatten(1).any(1).cpu().numpy()
    return CleanBaseline(clean.predicted, known, clean.maps, *null_pairs)


def save_clean_baseline(output: StorePath, evaluation: Evaluation, baseline: CleanBaseline) -> None:
    """Publish the clean maps, so that later runs need not make them again."""
    maps = baseline.maps[:-1].cpu()
    count, _, height, width = maps.shape
    offsets = np.arange(count + 1, dtype=np.int32) * (height * width)
    columns = {
        "evaluation_id": pa.array([evaluation.evaluation_id] * count),
        "image_id": pa.array(evaluation.data.subset.clean_ids, pa.int32()),
        "predicted": pa.array(baseline.predicted.cpu().numpy(), pa.int16()),
        "map": pa.ListArray.from_arrays(offsets, pa.array(maps.reshape(-1).numpy())),
        "map_height": pa.array(np.full(count, height), pa.int16()),
        "map_width": pa.array(np.full(count, width), pa.int16()),
    }
    write_dimension(output, CLEAN_MAPS, evaluation.evaluation_id, pa.table(columns))


def clean_baseline_path(output: StorePath, evaluation: Evaluation) -> StorePath:
    """Where an evaluation's clean maps lie."""
    return dimension_path(output, CLEAN_MAPS, evaluation.evaluation_id)


def load_clean_baseline(output: StorePath, evaluation: Evaluation) -> CleanBaseline:
    """Read the clean maps of an earlier run.

    Raises:
        DamagedShardError: they are missing or damaged, or not of this evaluation's images and classes.
    """
    path = clean_baseline_path(output, evaluation)
    rows = read_rows(path, CLEAN_MAPS)
    with damage_of(path):
        if not np.array_equal(rows["image_id"].to_numpy(), evaluation.data.subset.clean_ids):
            raise ValueError("its images are not those of the evaluation")
        height, width = rows["map_height"][0].as_py(), rows["map_width"][0].as_py()
        maps = rows["map"].combine_chunks().flatten().to_numpy().reshape(rows.num_rows, 1, height, width)
        predicted = torch.from_numpy(rows["predicted"].to_numpy().astype(np.int64))
        if not 0 <= int(predicted.min()) <= int(predicted.max()) < evaluation.logit_count:
            raise ValueError("it predicts classes that there are not")
    clean = CleanMapBuffer(len(maps), torch.empty(0, 1, height, width, device=evaluation.model.device))
    clean.put(0, predicted, torch.from_numpy(maps.copy()), torch.ones(len(maps), dtype=torch.bool))
    return make_clean_baseline(evaluation, clean)
