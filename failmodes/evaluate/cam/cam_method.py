"""CAM methods: their common interface, and their names in a study and in the record.

A method runs the model once, lets the caller select targets from the logits, and gives the rectified map of each
target. Maps are (N, T, h, w) float32 on the model's device; coordinates and statistics are `map_statistics`' matter.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import nn

from failmodes.evaluate.models.model import Model
from failmodes.warehouse.errors import StudyError, did_you_mean

TargetSelector = Callable[[torch.Tensor], torch.Tensor]  # logits (N, C) float32 → class indices (N, T)
AUTO, NONE, GRAD_CAM = "auto", "none", "grad-cam"
CLOSED_FORM, BACKWARD = "grad-cam (closed form)", "grad-cam (backward)"
METHOD_ALIASES = {"closed-form": CLOSED_FORM, "backward": BACKWARD}

# Methods of the grad-cam package that give a map from one layer's output and gradient, and the package's class for
# each. Those that give a scaled picture only, replace layers of the model or sample at random are left out.
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
    """One batch through a model with its CAMs.

    Attributes:
        logits: (N, C) float32, as `Model.logits` gives them.
        targets: (N, T) class indices that the caller selected.
        maps: (N, T, h, w) float32, rectified, of `targets`.
        identity_error: largest relative error of sum + bias = logit, a scalar tensor; None where nothing proves it.
    """

    logits: torch.Tensor
    targets: torch.Tensor
    maps: torch.Tensor
    identity_error: torch.Tensor | None


class CamMethod(Protocol):
    """A CAM method, made for one model."""

    @property
    def method(self) -> str:
        """How maps are made, as it stands in the record; part of an evaluation's identity."""
        ...

    @property
    def layer(self) -> str | None:
        """The target layer, by its dotted name in the module; part of an evaluation's identity."""
        ...

    def __call__(self, inputs: torch.Tensor, select_targets: TargetSelector) -> CamOutput:
        """Run `inputs` (N, 3, H, W), as `Model.inputs` gives them, and make the maps of the targets selected."""
        ...


class LayerCam:
    """Base of CAM methods at one layer: a forward hook that captures the layer's output, during a call only.

    The hook is registered once and stays, so that a module compiled afterwards has it.
    """

    def __init__(self, prepared: Model, layer: str) -> None:
        self.prepared, self.layer = prepared, layer
        self.listening = False
        self.captured: torch.Tensor | None = None
        self.handle = prepared.module.get_submodule(layer).register_forward_hook(self._capture)

    def _forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and the layer's output; no reference to it is kept here, even if the model runs out of memory."""
        self.listening = True
        try:
            logits = self.prepared.logits(inputs)
            assert self.captured is not None
            return logits, self.captured
        finally:
            self.listening, self.captured = False, None

    def _capture(self, _module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor | None:
        if self.listening:
            self.captured = output
        return None


class CamUnavailable(NamedTuple):
    """Why no CAM is available."""

    reason: str


def parse_method(name: str) -> str:
    """The method of that name in a study or in the record; case does not matter.

    Raises:
        StudyError: there is no such method.
    """
    method = name.strip().lower().removesuffix(LIBRARY_SUFFIX)
    if method not in METHODS:
        hint = did_you_mean(method, METHODS, "")
        raise StudyError(
            f"unknown attention method {name!r}{f' ({hint})' if hint else ''}: choose from {', '.join(METHODS)}"
        )
    return METHOD_ALIASES.get(method, method)
