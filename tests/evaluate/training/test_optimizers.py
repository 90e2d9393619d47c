"""Training runs: resumed exactly, stopped where they diverge, any classifier, the optimiser that the recipe says."""

import numpy as np
import pytest
import torch
from torch import nn

from failmodes.evaluate.study.study_schema import TrainingSpec
from failmodes.evaluate.training.optimizers import build_optimiser, clip_gradients


class _Tokens(nn.Module):
    """Parameters of every kind that a transformer has."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.norm, self.head = nn.Conv2d(3, 4, 2), nn.LayerNorm(4), nn.Linear(4, 2)
        for name in ("cls_token", "pos_embed", "other_token", "mixing"):
            self.register_parameter(name, nn.Parameter(torch.zeros(1, 2, 4)))

    def no_weight_decay(self) -> set[str]:
        return {"other_token"}


def test_adamw_decays_neither_norms_nor_biases_nor_positions() -> None:
    module = _Tokens()
    optimiser = build_optimiser(module, TrainingSpec(optimiser="adamw", momentum=0.8, weight_decay=0.3))
    assert isinstance(optimiser, torch.optim.AdamW)
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    decay = {names[id(p)]: group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    decayed = {"patch.weight", "head.weight", "mixing"}
    assert decay == {name: 0.3 if name in decayed else 0 for name in names.values()}
    assert {group["betas"] for group in optimiser.param_groups} == {(0.8, 0.999)}


@pytest.mark.parametrize(("optimiser", "expected"), [("adamw", [0.6, 0.8]), ("sgd", [3.0, 4.0])])
def test_gradients_are_clipped_for_adamw(optimiser: str, expected: list[float]) -> None:
    module = nn.Linear(2, 1, bias=False)
    module.weight.grad = torch.tensor([[3.0, 4.0]])  # of norm 5
    clip_gradients(module, TrainingSpec(optimiser=optimiser))
    np.testing.assert_allclose(module.weight.grad[0], expected, rtol=1e-5)
