"""Grad-CAM in closed form, and what it says: statistics of maps, and drift against the clean map.

Where a network ends in global average pooling and one linear layer, logit_c = Σ_k w_ck mean(A_k) + b_c, so the gradient
of logit_c by A_kij is w_ck / HW and Grad-CAM (Selvaraju et al. 2017, eq. 1–2) at that layer is ReLU(Σ_k w_ck A_k) / HW:
no backward pass. The map before the ReLU sums to logit_c − b_c (Zhou et al. 2016), which proves each batch.

Maps are (N, T, h, w) float32: T targets an image. Coordinates run from 0 to 1 at pixel centres, (j + ½) / w.
"""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from evaluate.specification import Precision
from warehouse.errors import ModelError

METHOD = "grad-cam (closed form)"

# Largest |map sum + bias − logit| allowed, relative to the largest |logit| of the batch (at least 1). The network
# rounds its own logits: to 2⁻²⁴ a step in float32 over sums of ~1,000 terms, to 2⁻⁹ (bfloat16) and 2⁻¹¹ (float16).
IDENTITY_TOLERANCE: dict[Precision, float] = {"float32": 1e-4, "bfloat16": 2e-2, "float16": 5e-3}


class MapStatistics(NamedTuple):
    """Statistics of maps, each (N, T); NaN where a map is empty, but for mass (0)."""

    mass: torch.Tensor
    centroid_x: torch.Tensor
    centroid_y: torch.Tensor
    spread: torch.Tensor
    attention_entropy_nats: torch.Tensor
    empty: torch.Tensor


class Drift(NamedTuple):
    """Differences between maps and reference maps, each (N, T); NaN where either map is empty or missing."""

    centroid_shift: torch.Tensor
    cosine: torch.Tensor
    w1_x: torch.Tensor
    w1_y: torch.Tensor


class ClosedForm(NamedTuple):
    """Maps (N, T, h, w) and the largest relative error of the identity sum + bias = logit in this batch."""

    maps: torch.Tensor
    identity_error: float


def closed_form(features: torch.Tensor, logits: torch.Tensor, head: nn.Linear, targets: torch.Tensor) -> ClosedForm:
    """Grad-CAM of `targets` at the last feature map.

    Args:
        features: (N, K, h, w) float32, the map that is pooled.
        logits: (N, C) float32, as the network gave them.
        head: the linear layer, weight (C, K).
        targets: (N, T) class indices.
    """
    count, channels, height, width = features.shape
    weights = head.weight.detach().float()[targets]  # (N, T, K)
    evidence = torch.bmm(weights, features.reshape(count, channels, height * width)) / (height * width)
    bias = head.bias.detach().float()[targets] if head.bias is not None else 0.0
    target_logits = logits.gather(1, targets)
    error = (evidence.sum(2) + bias - target_logits).abs() / target_logits.abs().amax().clamp(min=1)
    error = torch.where(torch.isfinite(logits).all(1, keepdim=True), error, 0)
    return ClosedForm(evidence.relu().reshape(count, -1, height, width), float(error.max()))


def prove_identity(error: float, precision: Precision, model: str) -> None:
    """Refuse maps whose sums do not give the logits.

    Raises:
        ModelError: the network does not end in global average pooling and one linear layer, as closed form needs.
    """
    tolerance = IDENTITY_TOLERANCE[precision]
    if not error <= tolerance:
        raise ModelError(
            f"{model}: attention maps do not sum to the logits (relative error {error:.2g}, at most {tolerance:.0e} in "
            f"{precision}): this network does not end in global average pooling and one linear layer; set attention = "
            "false in [evaluation]"
        )


def map_statistics(maps: torch.Tensor) -> MapStatistics:
    """Mass, centroid, spread (root mean square distance from the centroid), entropy in nats, and emptiness."""
    mass = maps.sum((2, 3))
    share = maps / torch.where(mass > 0, mass, torch.nan)[..., None, None]
    x, y = _centres(maps.shape[3], maps), _centres(maps.shape[2], maps)
    share_x, share_y = share.sum(2), share.sum(3)
    centroid_x, centroid_y = (share_x * x).sum(2), (share_y * y).sum(2)
    variance = (share_x * (x - centroid_x[..., None]) ** 2).sum(2) + (share_y * (y - centroid_y[..., None]) ** 2).sum(2)
    entropy = -torch.special.xlogy(share, share).sum((2, 3))
    return MapStatistics(mass, centroid_x, centroid_y, variance.sqrt(), entropy, ~(mass > 0) & ~mass.isnan())


def drift_between(maps: torch.Tensor, reference: torch.Tensor) -> Drift:
    """Centroid shift, cosine similarity, and the 1-Wasserstein distances of the x and the y marginals.

    The marginals' distances bound the two-dimensional earth mover's distance (L1 ground metric) from below; they are
    not it. W1 in one dimension is the area between the cumulative distributions.

    Args:
        maps: (N, T, h, w).
        reference: (N, 1, h, w) or (N, T, h, w); NaN where there is none.
    """
    share, base = _shares(maps), _shares(reference)
    x, y = _centres(maps.shape[3], maps), _centres(maps.shape[2], maps)
    difference_x, difference_y = (share - base).sum(2), (share - base).sum(3)
    shift = torch.hypot((difference_x * x).sum(2), (difference_y * y).sum(2))
    dot = (share * base).sum((2, 3))
    norms = share.square().sum((2, 3)).sqrt() * base.square().sum((2, 3)).sqrt()
    return Drift(
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
    rows, columns = _enlarging(height, masks.shape[1]), _enlarging(width, masks.shape[2])  # (H, h), (W, w)
    inside = torch.einsum("Hh,nHW,Ww->nhw", rows, masks.float(), columns)
    return inside, torch.outer(rows.sum(0), columns.sum(0))


def mask_share(maps: torch.Tensor, inside: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """Share (N, T) of each map's energy inside its image's mask, 0–1; NaN for an empty map."""
    total = (maps * whole).sum((2, 3))
    return (maps * inside[:, None]).sum((2, 3)) / torch.where(total > 0, total, torch.nan)


def _shares(maps: torch.Tensor) -> torch.Tensor:
    mass = maps.sum((2, 3), keepdim=True)
    return maps / torch.where(mass > 0, mass, torch.nan)


def _centres(count: int, like: torch.Tensor) -> torch.Tensor:
    return (torch.arange(count, device=like.device, dtype=like.dtype) + 0.5) / count


def _enlarging(small: int, large: int) -> torch.Tensor:
    """The matrix (large, small) of bilinear enlargement along one axis."""
    return functional.interpolate(
        torch.eye(small)[:, None], size=large, mode="linear", align_corners=False
    )[:, 0].T.contiguous()  # fmt: skip
