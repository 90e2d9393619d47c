"""What drift is measured against: the clean maps of an evaluation, kept in the record, with the null's partners."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch

from evaluate.attention.partners import choose_partners
from evaluate.attention.statistics import Drift, drift_between, mask_weights
from evaluate.evaluation import Evaluation
from warehouse.place import Place
from warehouse.record import dimension_path, read_stored, write_dimension
from warehouse.schema import CLEAN_MAPS


class Reference(NamedTuple):
    """Clean maps by position in the subset, on the network's device.

    Attributes:
        predicted: (N,) class predicted on the clean image.
        known: (N,) boolean on the host: whether one is, that is, whether its logits are finite.
        maps: (N + 1, 1, h, w) its rectified map; the last is NaN and stands for "no other image".
        any_image: (N,) position of another image.
        same_class: (N,) position of another image of the same class, −1 where there is none.
        inside: (N, h, w) weights of the object masks, or None without masks.
        whole: (h, w) weights of the whole image, or None.
    """

    predicted: torch.Tensor
    known: np.ndarray
    maps: torch.Tensor
    any_image: np.ndarray
    same_class: np.ndarray
    inside: torch.Tensor | None
    whole: torch.Tensor | None

    def drifts(self, maps: torch.Tensor, positions: np.ndarray) -> dict[str, Drift]:
        """Drift of maps (n, T, h, w) at `positions`, against their own clean maps and against both nulls."""
        partners = {"": positions, "null_": self.any_image[positions], "null_class_": self.same_class[positions]}
        return {prefix: drift_between(maps, self.maps[partner]) for prefix, partner in partners.items()}


class CleanMaps:
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


def make_reference(evaluation: Evaluation, clean: CleanMaps) -> Reference:
    """Join clean predictions and maps with partners and masks."""
    ids, masks = evaluation.subset.clean_ids, evaluation.dataset.masks
    partners = choose_partners(evaluation.dataset.labels[ids])
    inside = whole = None
    if masks is not None:
        inside, whole = mask_weights(torch.from_numpy(masks[ids]), *clean.maps.shape[2:])
        inside, whole = inside.to(clean.maps.device), whole.to(clean.maps.device)
    known = ~clean.maps[:-1].isnan().flatten(1).any(1).cpu().numpy()
    return Reference(clean.predicted, known, clean.maps, partners.any_image, partners.same_class, inside, whole)


def keep_reference(output: Place, evaluation: Evaluation, reference: Reference) -> None:
    """Publish the clean maps, so that later runs need not make them again."""
    maps = reference.maps[:-1].cpu()
    count, _, height, width = maps.shape
    offsets = np.arange(count + 1, dtype=np.int32) * (height * width)
    columns = {
        "evaluation_id": pa.array([evaluation.evaluation_id] * count),
        "image_id": pa.array(evaluation.subset.clean_ids, pa.int32()),
        "predicted": pa.array(reference.predicted.cpu().numpy(), pa.int16()),
        "map": pa.ListArray.from_arrays(offsets, pa.array(maps.reshape(-1).numpy())),
        "map_height": pa.array(np.full(count, height), pa.int16()),
        "map_width": pa.array(np.full(count, width), pa.int16()),
    }
    write_dimension(output, CLEAN_MAPS, evaluation.evaluation_id, pa.table(columns))


def reference_path(output: Place, evaluation: Evaluation) -> Place:
    """Where an evaluation's clean maps lie."""
    return dimension_path(output, CLEAN_MAPS, evaluation.evaluation_id)


def recall_reference(output: Place, evaluation: Evaluation) -> Reference:
    """Read the clean maps of an earlier run.

    Raises:
        DamagedShardError: they are missing or damaged.
    """
    rows = read_stored(reference_path(output, evaluation)).rows
    height, width = rows["map_height"][0].as_py(), rows["map_width"][0].as_py()
    maps = rows["map"].combine_chunks().flatten().to_numpy().reshape(-1, 1, height, width)
    predicted = torch.from_numpy(rows["predicted"].to_numpy().astype(np.int64))
    clean = CleanMaps(len(maps), torch.empty(0, 1, height, width, device=evaluation.network.device))
    clean.put(0, predicted, torch.from_numpy(maps.copy()), torch.ones(len(maps), dtype=torch.bool))
    return make_reference(evaluation, clean)
