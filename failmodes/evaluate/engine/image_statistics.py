"""Statistics of an image: of its logits, as `predictions` has them, and of its CAMs, as `attention` has them.

Logits are (N, C), statistics float32 on the model's device. Maps are (N, T, h, w) float32: T targets an image.
Coordinates run from 0 to 1 at pixel centers, (j + ½) / w.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from failmodes.warehouse.schema import FULL_LOGITS_CLASSES, TEMPERATURES, TOP_LOGITS

TIED = 1 - 1e-5  # of the maximum: pixels that rounding alone tells from it
TIED_INSIDE = 0.5


class PredictionStatistics(NamedTuple):
    """Columns of `predictions` for one batch, as tensors of length N (the last three are (N, L)).

    Rows whose logits are not finite hold whatever arithmetic gives; `finite` says which they are.
    """

    label: torch.Tensor
    predicted: torch.Tensor
    runner_up: torch.Tensor
    label_rank: torch.Tensor
    confidence: torch.Tensor
    label_probability: torch.Tensor
    margin: torch.Tensor
    entropy_nats: torch.Tensor
    loss_nats: torch.Tensor
    sum_p2: torch.Tensor
    log_sum_exp: torch.Tensor
    max_logit: torch.Tensor
    finite: torch.Tensor
    logits: torch.Tensor
    logit_classes: torch.Tensor | None
    scaled_log_sum_exp: torch.Tensor | None


def compute_prediction_statistics(logits: torch.Tensor, labels: np.ndarray) -> PredictionStatistics:
    """Statistics of each image's softmax.

    Args:
        logits: (N, C) float32, C ≥ 2.
        labels: (N,) integers in 0…C−1.

    Equal logits rank by class index, so that prediction, runner-up and rank always agree with each other.
    """
    label = torch.from_numpy(labels.astype(np.int64)).to(logits.device)
    ordered, classes = torch.sort(logits, dim=1, descending=True, stable=True)
    log_sum_exp = torch.logsumexp(logits, dim=1)
    log_p = logits - log_sum_exp[:, None]
    p = log_p.exp()
    label_log_p = log_p.gather(1, label[:, None])[:, 0]
    top = (ordered[:, :2] - log_sum_exp[:, None]).exp()
    keep_all = logits.shape[1] <= FULL_LOGITS_CLASSES
    return PredictionStatistics(
        label=label,
        predicted=classes[:, 0],
        runner_up=classes[:, 1],
        label_rank=(classes == label[:, None]).int().argmax(1) + 1,
        confidence=top[:, 0],
        label_probability=label_log_p.exp(),
        margin=top[:, 0] - top[:, 1],
        entropy_nats=-(p * log_p).sum(1),
        loss_nats=-label_log_p,
        sum_p2=p.square().sum(1),
        log_sum_exp=log_sum_exp,
        max_logit=ordered[:, 0],
        finite=torch.isfinite(logits).all(1),
        logits=logits if keep_all else ordered[:, :TOP_LOGITS],
        logit_classes=None if keep_all else classes[:, :TOP_LOGITS],
        scaled_log_sum_exp=None if keep_all else _scaled_log_sum_exp(ordered),
    )


def _scaled_log_sum_exp(ordered: torch.Tensor) -> torch.Tensor:
    """(N, T) log-sum-exp of logits (N, C), the largest first, at each of TEMPERATURES."""
    top = ordered[:, :1]
    below = ordered - top  # so that nothing overflows
    sums = [(below / temperature).exp_().sum(1) for temperature in TEMPERATURES]
    scales = torch.tensor(TEMPERATURES, device=ordered.device)
    return torch.stack(sums, 1).log_() + top / scales


def predicted_classes(logits: torch.Tensor) -> torch.Tensor:
    """Predicted classes (N,) of logits (N, C), as `compute_prediction_statistics` gives: of equal logits the first."""
    return logits.argmax(1)  # the first of equal ones, and NaN above all, as in a stable sort


class MapStatistics(NamedTuple):
    """Statistics of maps, each (N, T); NaN where a map is empty, but for mass (0)."""

    mass: torch.Tensor
    centroid_x: torch.Tensor
    centroid_y: torch.Tensor
    spread: torch.Tensor
    attention_entropy_nats: torch.Tensor
    empty: torch.Tensor


class MapDrift(NamedTuple):
    """Differences between maps and baseline maps, each (N, T); NaN where either map is empty or missing."""

    centroid_shift: torch.Tensor
    cosine: torch.Tensor
    w1_x: torch.Tensor
    w1_y: torch.Tensor


def map_statistics(maps: torch.Tensor) -> MapStatistics:
    """Mass, centroid, spread (root mean square distance from the centroid), entropy in nats, and emptiness."""
    mass = maps.sum((2, 3))
    share = maps / torch.where(mass > 0, mass, torch.nan)[..., None, None]
    x, y = _centers(maps.shape[3], maps), _centers(maps.shape[2], maps)
    share_x, share_y = share.sum(2), share.sum(3)
    centroid_x, centroid_y = (share_x * x).sum(2), (share_y * y).sum(2)
    variance = (share_x * (x - centroid_x[..., None]) ** 2).sum(2) + (share_y * (y - centroid_y[..., None]) ** 2).sum(2)
    entropy = -torch.special.xlogy(share, share).sum((2, 3))
    return MapStatistics(mass, centroid_x, centroid_y, variance.sqrt(), entropy, ~(mass > 0) & ~mass.isnan())


def drift_between(maps: torch.Tensor, baseline: torch.Tensor) -> MapDrift:
    """Centroid shift, cosine similarity, and the 1-Wasserstein distances of the x and the y marginals.

    The marginals' distances bound the two-dimensional earth mover's distance (L1 ground metric) from below; they are
    not it. W1 in one dimension is the area between the cumulative distributions.

    Args:
        maps: (N, T, h, w).
        baseline: (N, 1, h, w) or (N, T, h, w); NaN where there is none.
    """
    share, base = _shares(maps), _shares(baseline)
    x, y = _centers(maps.shape[3], maps), _centers(maps.shape[2], maps)
    difference_x, difference_y = (share - base).sum(2), (share - base).sum(3)
    shift = torch.hypot((difference_x * x).sum(2), (difference_y * y).sum(2))
    dot = (share * base).sum((2, 3))
    norms = share.square().sum((2, 3)).sqrt() * base.square().sum((2, 3)).sqrt()
    return MapDrift(
        centroid_shift=shift,
        cosine=(dot / norms).clamp(max=1),
        w1_x=difference_x.cumsum(2).abs().sum(2) / maps.shape[3],
        w1_y=difference_y.cumsum(2).abs().sum(2) / maps.shape[2],
    )


def mask_weights(masks: torch.Tensor, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights that give a map's energy inside object masks without enlarging the map.

    Energy inside a mask (Wang et al. 2020, Score-CAM, energy-based pointing game) is taken on the map enlarged
    bilinearly to the image. Enlarging is linear, so Σ(mask · U m) = Σ(m · Uᵀ mask): the mask shrinks instead, once.

    Args:
        masks: (N, H, W) boolean.
        height: rows of the maps.
        width: columns of the maps.

    Returns:
        inside (N, h, w) and whole (h, w): a map's share inside is Σ(m · inside) / Σ(m · whole).
    """
    rows, columns = (
        _enlarging(height, masks.shape[1], masks),
        _enlarging(width, masks.shape[2], masks),
    )  # (H, h), (W, w)
    inside = torch.einsum("Hh,nHW,Ww->nhw", rows, masks.float(), columns)
    return inside, torch.outer(rows.sum(0), columns.sum(0))


def mask_share(maps: torch.Tensor, inside: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """Share (N, T) of each map's energy inside its image's mask, 0–1; NaN for an empty map."""
    total = (maps * whole).sum((2, 3))
    return (maps * inside[:, None]).sum((2, 3)) / torch.where(total > 0, total, torch.nan)


def points_inside(maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Whether each map points at the object (Zhang et al. 2018, the pointing game), (N, T): 1, 0; NaN if it is empty.

    A map points at the maximum of itself enlarged bilinearly to the image; where pixels tie, half of them must lie
    inside the mask. There is no tolerance: the paper's 15 pixels around the point are half of a small image.

    Args:
        maps: (N, T, h, w).
        masks: (N, H, W) boolean.
    """
    rows, columns = _enlarging(maps.shape[2], masks.shape[1], maps), _enlarging(maps.shape[3], masks.shape[2], maps)
    enlarged = rows @ maps @ columns.T
    peak = enlarged.amax((2, 3))
    least = torch.where(peak > 0, peak * TIED, torch.inf)  # of an empty map all pixels would tie
    image, target, y, x = (enlarged >= least[..., None, None]).nonzero(as_tuple=True)
    of_map = image * maps.shape[1] + target
    tied, inside = (torch.zeros(peak.numel(), device=maps.device) for _ in range(2))
    tied.index_add_(0, of_map, torch.ones_like(of_map, dtype=tied.dtype))
    inside.index_add_(0, of_map, masks[image, y, x].to(inside.dtype))
    is_inside = (inside >= TIED_INSIDE * tied).reshape(peak.shape)
    return torch.where(peak > 0, is_inside.float(), torch.nan)


def _shares(maps: torch.Tensor) -> torch.Tensor:
    mass = maps.sum((2, 3), keepdim=True)
    return maps / torch.where(mass > 0, mass, torch.nan)


def _centers(count: int, like: torch.Tensor) -> torch.Tensor:
    return (torch.arange(count, device=like.device, dtype=like.dtype) + 0.5) / count


def _enlarging(small: int, large: int, like: torch.Tensor) -> torch.Tensor:
    """The matrix (large, small) of bilinear enlargement along one axis, on the device of `like`."""
    return functional.interpolate(
        torch.eye(small, device=like.device)[:, None], size=large, mode="linear", align_corners=False
    )[:, 0].T.contiguous()  # fmt: skip
