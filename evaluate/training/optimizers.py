"""Optimisers of a recipe, and their gradient clipping."""

from collections.abc import Callable, Iterable
from typing import cast

import torch
from torch import nn

from failmodes.evaluate.study.study_schema import TrainingSpec

MAX_GRADIENT_NORM = 1.0

# Learnt tokens and positions by their usual names; timm's networks name further ones themselves
NO_WEIGHT_DECAY = {
    "pos_embed", "pos_embedding", "cls_token", "class_token", "dist_token", "relative_position_bias_table",
}  # fmt: skip


def build_optimiser(module: nn.Module, recipe: TrainingSpec) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum on all parameters alike, or AdamW.

    AdamW (Loshchilov & Hutter 2019) decays no norm, bias, position or class token, as is usual for transformers
    (Touvron et al. 2021); momentum is its β₁, β₂ is 0.999.
    """
    rate, decay = recipe.peak_learning_rate, recipe.weight_decay
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(_groups(module, decay), lr=rate, betas=(recipe.momentum, 0.999))
    nesterov = recipe.momentum > 0
    return torch.optim.SGD(
        module.parameters(), lr=rate, momentum=recipe.momentum, nesterov=nesterov, weight_decay=decay
    )


def _groups(module: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Parameters that decay, and those that do not: vectors, positions and what the network itself exempts."""
    exempted = getattr(module, "no_weight_decay", None)  # timm's networks have such a method
    exempt = set(cast(Callable[[], Iterable[str]], exempted)()) if callable(exempted) else set()
    decayed, kept = [], []
    for name, parameter in module.named_parameters():
        if parameter.ndim <= 1 or name in exempt or name.rsplit(".", 1)[-1] in NO_WEIGHT_DECAY:
            kept.append(parameter)
        else:
            decayed.append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]


def clip_gradients(module: nn.Module, recipe: TrainingSpec) -> None:
    """Scale AdamW's gradients to a norm of at most 1 over all parameters (Pascanu et al. 2013); SGD's stay."""
    if recipe.optimiser == "adamw":
        nn.utils.clip_grad_norm_(module.parameters(), MAX_GRADIENT_NORM)
