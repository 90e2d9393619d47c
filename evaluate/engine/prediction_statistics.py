"""Statistics of an image's logits, as `predictions` has them: all in float32, on the network's device."""

from typing import NamedTuple

import numpy as np
import torch

from failmodes.warehouse.schema import FULL_LOGITS_CLASSES, TOP_LOGITS


class PredictionStatistics(NamedTuple):
    """Columns of `predictions` for one batch, as tensors of length N (the last two are (N, L)).

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
    )


def predicted_classes(logits: torch.Tensor) -> torch.Tensor:
    """Predicted classes (N,) of logits (N, C), as `compute_prediction_statistics` gives: of equal logits the first."""
    return torch.sort(logits, dim=1, descending=True, stable=True).indices[:, 0]
