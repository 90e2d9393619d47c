"""Attention on objects: how much of each map of a cell lies inside its image's object mask, beside another image's map.

It is measured once all maps of a cell are known, since the other image (`warehouse.null_pairs`) may be in any batch.
"""

import os
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from failmodes.evaluate.engine.image_statistics import mask_share, mask_weights, points_inside
from failmodes.evaluate.evaluation import Evaluation
from failmodes.warehouse.null_pairs import sample_null_pairs
from failmodes.warehouse.schema import ATTENTION
from failmodes.warehouse.shards.format import Cell

BLOCK_PIXELS = 1 << 22  # of masks, and of each target's enlarged maps, measured at a time
SHARES = ("mask_share", "mask_area", "null_mask_share")
HITS = ("pointing_hit", "null_pointing_hit")


class CellMaps:
    """The maps of one cell of an evaluation with object masks, by position in the subset, on the host."""

    def __init__(self) -> None:
        self._maps: list[torch.Tensor] = []
        self._known: list[np.ndarray] = []

    def add(self, maps: torch.Tensor, known: np.ndarray) -> None:
        """Add the next images: maps (n, T, h, w), and (n, T) whether there is such a target, else its row is null."""
        self._maps.append(maps.cpu())
        self._known.append(known)

    def columns(self, evaluation: Evaluation, cell: Cell) -> dict[str, pa.Array]:
        """Columns of `attention` about objects, image by image and target by target; none without masks here."""
        maps, known = torch.cat(self._maps), np.concatenate(self._known)
        data, device = evaluation.data, evaluation.model.device
        masks, ids = data.dataset.masks, data.subset.clean_ids
        others = sample_null_pairs(data.dataset.labels[ids]).any_image
        blocks = []
        step = max(1, BLOCK_PIXELS // int(np.prod(data.dataset.images.shape[1:3])))
        for start in range(0, len(ids), step):
            block = np.arange(start, min(start + step, len(ids)))
            inside = None if masks is None else np.asarray(masks[ids[block]])
            if inside is not None and not cell.is_clean:
                threads = os.cpu_count() or 1
                inside = data.source.moved_masks(inside, cell.corruption, cell.severity, ids[block], threads=threads)
            if inside is None:
                return {}
            other = torch.where(
                torch.from_numpy(others[block] >= 0)[:, None, None, None], maps[others[block]], torch.nan
            )
            on_device = [part.to(device) for part in (maps[block], other, torch.from_numpy(inside))]
            found = object_statistics(*on_device)
            blocks.append(torch.stack([found[name] for name in (*SHARES, *HITS)]).cpu())
        values = torch.cat(blocks, dim=1).flatten(1).numpy()
        return {
            name: _to_arrow(name, value, ~known.reshape(-1))
            for name, value in zip((*SHARES, *HITS), values, strict=True)
        }


def object_statistics(maps: torch.Tensor, others: torch.Tensor, masks: torch.Tensor) -> dict[str, torch.Tensor]:
    """Shares and hits of maps inside object masks, each (N, T) float32; NaN for an empty map, or one of no object.

    Args:
        maps: (N, T, h, w).
        others: (N, T, h, w) of another image each, NaN where there is none.
        masks: (N, H, W) boolean; where one is empty all but its area, which is 0, is NaN.
    """
    with torch.inference_mode():
        inside, whole = mask_weights(masks, *maps.shape[2:])
        area = masks.flatten(1).float().mean(1, keepdim=True).expand(-1, maps.shape[1])
        found = {
            "mask_share": mask_share(maps, inside, whole),
            "mask_area": area,
            "null_mask_share": mask_share(others, inside, whole),
            "pointing_hit": points_inside(maps, masks),
            "null_pointing_hit": points_inside(others, masks),
        }
        return {
            name: value if name == "mask_area" else torch.where(area > 0, value, torch.nan)
            for name, value in found.items()
        }


def with_columns(rows: pa.Table, columns: dict[str, pa.Array]) -> pa.Table:
    """Rows of `attention` with these columns in place of those of nulls."""
    for name, column in columns.items():
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), column)
    return rows


def _to_arrow(name: str, values: Any, absent: np.ndarray) -> pa.Array:
    kind = ATTENTION.arrow().field(name).type
    is_null = absent | np.isnan(values)
    return pa.array(values > 0 if name in HITS else values, kind, mask=is_null)
