"""Ways to attend: what every one of them takes and gives, whatever it does inside.

A way runs the network once, lets the caller choose targets from the logits, and gives the rectified map of each
target. Maps are (N, T, h, w) float32 on the network's device; coordinates and statistics are `statistics`' matter.

Methods of attention by name, as a study asks for them; no network is needed to check one.
"""

from collections.abc import Callable
from difflib import get_close_matches
from typing import NamedTuple, Protocol

import torch

from failmodes.warehouse.errors import ModelError

TargetSelector = Callable[[torch.Tensor], torch.Tensor]  # logits (N, C) float32 → class indices (N, T)

AUTO, NONE, GRAD_CAM = "auto", "none", "grad-cam"

CLOSED_FORM, BACKWARD = "grad-cam (closed form)", "grad-cam (backward)"

METHOD_ALIASES = {"closed-form": CLOSED_FORM, "backward": BACKWARD}

# Methods of the grad-cam package that give a map from one layer's output and gradient, and the package's class for
# each. Those that give a scaled picture only, replace layers of the network or are drawn at random are left out.
LIBRARY_CLASSES = {
    "gradcam++": "GradCAMPlusPlus",
    "hirescam": "HiResCAM",
    "xgradcam": "XGradCAM",
    "gradcamelementwise": "GradCAMElementWise",
    "layercam": "LayerCAM",
    "eigencam": "EigenCAM",
    "eigengradcam": "EigenGradCAM",
    "scorecam": "ScoreCAM",
}

LIBRARY_SUFFIX = " (grad-cam package)"

METHODS = (AUTO, NONE, GRAD_CAM, CLOSED_FORM, BACKWARD, *METHOD_ALIASES, *LIBRARY_CLASSES)


class CamOutput(NamedTuple):
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


class CamMethod(Protocol):
    """A way to attend, made for one network."""

    @property
    def method(self) -> str:
        """How maps are made, as it stands in the record; part of an evaluation's identity."""

    @property
    def layer(self) -> str | None:
        """The layer that is looked at, by its dotted name in the module; part of an evaluation's identity."""

    def __call__(self, inputs: torch.Tensor, choose: TargetSelector) -> CamOutput:
        """Run `inputs` (N, 3, H, W), as `Network.inputs` gives them, and make the maps of the targets chosen."""


class CamUnavailable(NamedTuple):
    """That there is no attention, and why."""

    reason: str


def parse_method(wanted: str) -> str:
    """The method that a study's word stands for; case does not matter, and names from the record are understood.

    Raises:
        ModelError: there is no such method.
    """
    name = wanted.strip().lower().removesuffix(LIBRARY_SUFFIX)
    if name not in METHODS:
        near = get_close_matches(name, METHODS, n=1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        raise ModelError(f"unknown attention method {wanted!r}{meant}: choose from {', '.join(METHODS)}")
    return METHOD_ALIASES.get(name, name)
