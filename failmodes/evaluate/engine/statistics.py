"""Statistics of an image: of its logits for the table `predictions`, and of its maps for `attention`.

They are computed on the model's device and named like the columns of their table. Logits are (N, C), maps (N, T, h, w)
float32 with T targets per image. Coordinates are in 0 to 1 at pixel centers, (j + ½) / w.
"""

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from failmodes.warehouse.schema import FULL_LOGITS_CLASSES, PREDICTED_OUTPUT, TEMPERATURES, TOP_LOGITS

TIED = 1 - 1e-5  # share of the maximum: pixels that differ from it only by rounding
TIED_INSIDE = 0.5
ALWAYS_KNOWN = ("label", "finite")  # for any logits


def prediction_statistics(logits: torch.Tensor, labels: np.ndarray) -> dict[str, torch.Tensor]:
    """Statistics of each image's softmax, by column of `predictions`: (N,) each, those of several logits (N, L).

    Equal logits rank by class index, so that prediction, runner-up and rank are consistent. Rows whose logits are not
    finite have arbitrary values, and `finite` is False.

    Args:
        logits: (N, C) float32, C ≥ 2.
        labels: (N,) integers in 0…C−1.
    """
    label = torch.from_numpy(labels.astype(np.int64)).to(logits.device)
    ordered, classes = torch.sort(logits, dim=1, descending=True, stable=True)
    log_sum_exp = torch.logsumexp(logits, dim=1)
    log_p = logits - log_sum_exp[:, None]
    p = log_p.exp()
    label_log_p = log_p.gather(1, label[:, None])[:, 0]
    top = (ordered[:, :2] - log_sum_exp[:, None]).exp()
    statistics = {
        "label": label,
        "predicted": classes[:, 0],
        "runner_up": classes[:, 1],
        "label_rank": (classes == label[:, None]).int().argmax(1) + 1,
        "confidence": top[:, 0],
        "label_probability": label_log_p.exp(),
        "margin": top[:, 0] - top[:, 1],
        "entropy_nats": -(p * log_p).sum(1),
        "loss_nats": -label_log_p,
        "sum_p2": p.square().sum(1),
        "log_sum_exp": log_sum_exp,
        "max_logit": ordered[:, 0],
        "finite": torch.isfinite(logits).all(1),
    }
    if logits.shape[1] <= FULL_LOGITS_CLASSES:
        return {**statistics, "logits": logits}
    return {
        **statistics,
        "logits": ordered[:, :TOP_LOGITS],
        "logit_classes": classes[:, :TOP_LOGITS],
        "scaled_log_sum_exp": _scaled_log_sum_exp(ordered),
    }


def map_statistics(maps: torch.Tensor) -> dict[str, torch.Tensor]:
    """Mass, centroid, spread (root mean square distance from it), entropy and emptiness, by column of `attention`.

    Each is (N, T); NaN for an empty map, except mass (0).
    """
    mass = maps.sum((2, 3))
    share = _shares(maps)
    x, y = _centers(maps.shape[3], maps), _centers(maps.shape[2], maps)
    share_x, share_y = share.sum(2), share.sum(3)
    centroid_x, centroid_y = (share_x * x).sum(2), (share_y * y).sum(2)
    variance = (share_x * (x - centroid_x[..., None]) ** 2).sum(2) + (share_y * (y - centroid_y[..., None]) ** 2).sum(2)
    return {
        "mass": mass,
        "centroid_x": centroid_x,
        "centroid_y": centroid_y,
        "spread": variance.sqrt(),
        "attention_entropy_nats": -torch.special.xlogy(share, share).sum((2, 3)),
        "empty": ~(mass > 0) & ~mass.isnan(),
    }


def drift_between(maps: torch.Tensor, baseline: torch.Tensor) -> dict[str, torch.Tensor]:
    """Centroid shift, cosine similarity, and the 1-Wasserstein distances of the x and the y marginals, (N, T) each.

    NaN if either map is empty or missing. The marginals' distances bound the two-dimensional earth mover's distance
    (L1 ground metric) from below; they are not it. W1 in one dimension is the area between cumulative distributions.

    Args:
        maps: (N, T, h, w).
        baseline: (N, 1, h, w) or (N, T, h, w); NaN if missing.
    """
    share = _shares(maps)
    base = _shares(baseline)
    x, y = _centers(maps.shape[3], maps), _centers(maps.shape[2], maps)
    difference_x, difference_y = (share - base).sum(2), (share - base).sum(3)
    norms = share.square().sum((2, 3)).sqrt() * base.square().sum((2, 3)).sqrt()
    return {
        "centroid_shift": torch.hypot((difference_x * x).sum(2), (difference_y * y).sum(2)),
        "cosine": ((share * base).sum((2, 3)) / norms).clamp(max=1),
        "w1_x": difference_x.cumsum(2).abs().sum(2) / maps.shape[3],
        "w1_y": difference_y.cumsum(2).abs().sum(2) / maps.shape[2],
    }


@torch.inference_mode()
def object_statistics(maps: torch.Tensor, others: torch.Tensor, masks: torch.Tensor) -> dict[str, torch.Tensor]:
    """Shares and hits of maps inside object masks, (N, T) float32 each; NaN for an empty map or mask.

    Args:
        maps: (N, T, h, w).
        others: (N, T, h, w) of another image each, NaN if there is none.
        masks: (N, H, W) boolean; an empty mask has area 0.
    """
    both = torch.cat([maps, others], 1)
    area = masks.flatten(1).float().mean(1, keepdim=True)
    shares, hits = (
        torch.where(area > 0, value, torch.nan).chunk(2, 1)
        for value in (mask_shares(both, masks), points_inside(both, masks))
    )
    return {
        "mask_share": shares[0],
        "mask_area": area.expand(-1, maps.shape[1]),
        "null_mask_share": shares[1],
        "pointing_hit": hits[0],
        "null_pointing_hit": hits[1],
    }


def mask_shares(maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Share (N, T) of each map's energy inside its image's mask, 0–1; NaN for an empty map.

    Energy inside a mask (Wang et al. 2020, Score-CAM, energy-based pointing game) is taken on the map enlarged
    bilinearly to the image. Enlarging is linear, so Σ(mask · U m) = Σ(m · Uᵀ mask): the mask is reduced instead, once.

    Args:
        maps: (N, T, h, w).
        masks: (N, H, W) boolean.
    """
    rows, columns = _enlarging(maps, masks)
    inside = torch.einsum("Hh,nHW,Ww->nhw", rows, masks.float(), columns)
    total = (maps * torch.outer(rows.sum(0), columns.sum(0))).sum((2, 3))
    return (maps * inside[:, None]).sum((2, 3)) / torch.where(total > 0, total, torch.nan)


def points_inside(maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Whether each map points at the object (Zhang et al. 2018, the pointing game), (N, T): 1, 0; NaN if it is empty.

    A map points at the maximum of the map enlarged bilinearly to the image; if pixels tie, half of them must be inside
    the
    mask. There is no tolerance: the paper's 15 pixels around the point are half of a small image.

    Args:
        maps: (N, T, h, w).
        masks: (N, H, W) boolean.
    """
    rows, columns = _enlarging(maps, masks)
    enlarged = rows @ maps @ columns.T
    peak = enlarged.amax((2, 3))
    least = torch.where(peak > 0, peak * TIED, torch.inf)  # else all pixels of an empty map would tie
    tied = enlarged >= least[..., None, None]
    inside = tied & masks[:, None]
    is_inside = inside.sum((2, 3)) >= TIED_INSIDE * tied.sum((2, 3))
    return torch.where(peak > 0, is_inside.float(), torch.nan)


def prediction_columns(
    statistics: dict[str, torch.Tensor], outputs: np.ndarray | None = None, class_count: int = 0
) -> dict[str, Any]:
    """Columns of `predictions` on the host, by name; null if logits are not finite.

    Args:
        statistics: from `prediction_statistics`.
        outputs: output of the model of each logit, if other outputs compete with the classes; class indices from
            `class_count` become null.
        class_count: number of classes of the dataset.
    """
    host = {name: value.cpu().numpy() for name, value in statistics.items()}
    broken = ~host["finite"]
    columns: dict[str, Any] = {
        name: value if name in ALWAYS_KNOWN or value.ndim > 1 else np.ma.masked_array(value, broken)
        for name, value in host.items()
    }
    if outputs is not None:
        columns[PREDICTED_OUTPUT] = np.ma.masked_array(outputs[host["predicted"]], broken)
        for name in host.keys() & {"predicted", "runner_up", "logit_classes"}:
            columns[name] = np.ma.masked_where(host[name] >= class_count, columns[name])
    return columns


def attention_columns(values: dict[str, torch.Tensor], known: np.ndarray) -> dict[str, Any]:
    """Columns of `attention` on the host, by name, ordered by image and target.

    Args:
        values: (N, T) each, by column; non-finite values become null.
        known: (N, T) boolean: whether the target exists; otherwise its row is null. It does not exist if the logits
            that predict it are not finite, or for the clean target of an unpaired image.
    """
    absent = ~known.reshape(-1)
    host = {name: value.reshape(-1).cpu().numpy() for name, value in values.items()}
    return {name: np.ma.masked_array(value, absent | ~np.isfinite(value)) for name, value in host.items()}


def _scaled_log_sum_exp(ordered: torch.Tensor) -> torch.Tensor:
    """(N, T) log-sum-exp of logits (N, C), the largest first, at each of TEMPERATURES."""
    top = ordered[:, :1]
    below = ordered - top  # to prevent overflow
    sums = [(below / temperature).exp_().sum(1) for temperature in TEMPERATURES]
    scales = torch.tensor(TEMPERATURES, device=ordered.device)
    return torch.stack(sums, 1).log_() + top / scales


def _shares(maps: torch.Tensor) -> torch.Tensor:
    mass = maps.sum((2, 3), keepdim=True)
    return maps / torch.where(mass > 0, mass, torch.nan)


def _centers(count: int, like: torch.Tensor) -> torch.Tensor:
    return (torch.arange(count, device=like.device, dtype=like.dtype) + 0.5) / count


def _enlarging(maps: torch.Tensor, masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Matrices (H, h) and (W, w) of bilinear enlargement from maps (N, T, h, w) to the size of masks (N, H, W)."""
    rows, columns = (
        functional.interpolate(torch.eye(small, device=maps.device)[:, None], size=large, mode="linear")[:, 0].T
        for small, large in zip(maps.shape[2:], masks.shape[1:], strict=True)
    )
    return rows.contiguous(), columns.contiguous()
