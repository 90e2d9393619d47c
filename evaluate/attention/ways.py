"""Ways to attend: what every one of them takes and gives, whatever it does inside.

A way runs the network once, lets the caller choose targets from the logits, and gives the rectified map of each
target. Maps are (N, T, h, w) float32 on the network's device; coordinates and statistics are `statistics`' matter.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch

ChooseTargets = Callable[[torch.Tensor], torch.Tensor]  # logits (N, C) float32 → class indices (N, T)


class Attended(NamedTuple):
    """One batch through a network with attention.

    Attributes:
        logits: (N, C) float32, as `Network.logits` gives them.
        targets: (N, T) class indices that the caller chose.
        maps: (N, T, h, w) float32, rectified, of `targets`.
        identity_error: largest relative error of sum + bias = logit, a scalar tensor; None where nothing proves it.
    """

    logits: torch.Tensor
    targets: torch.Tensor
    maps: torch.Tensor
    identity_error: torch.Tensor | None


class Way(Protocol):
    """A way to attend, made for one network."""

    @property
    def method(self) -> str:
        """How maps are made, as it stands in the record; part of an evaluation's identity."""

    @property
    def layer(self) -> str | None:
        """The layer that is looked at, by its dotted name in the module; part of an evaluation's identity."""

    def __call__(self, inputs: torch.Tensor, choose: ChooseTargets) -> Attended:
        """Run `inputs` (N, 3, H, W), as `Network.inputs` gives them, and make the maps of the targets chosen."""


class NoWay(NamedTuple):
    """That there is no attention, and why."""

    reason: str
