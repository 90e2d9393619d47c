"""The interface of CAM methods.

Maps are (N, T, h, w) float32 on the model's device; their statistics are computed in `engine`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import nn

from failmodes.evaluate.cam.reshape_transform import ReshapeTransform
from failmodes.evaluate.models.model import Model

TargetSelector = Callable[[torch.Tensor], torch.Tensor]  # logits (N, C) float32 → class indices (N, T)


class CamOutput(NamedTuple):
    """Logits and CAMs of one batch.

    Attributes:
        logits: (N, C) float32, from `Model.logits`.
        targets: (N, T) class indices selected by the caller.
        maps: (N, T, h, w) float32, rectified, of `targets`.
        identity_error: largest relative error of sum + bias = logit, a scalar tensor; None if not checked.
    """

    logits: torch.Tensor
    targets: torch.Tensor
    maps: torch.Tensor
    identity_error: torch.Tensor | None


class TargetLayer(NamedTuple):
    """The layer whose output a CAM is computed from.

    Attributes:
        layer: its dotted name in the module; if it runs several times in a pass, the last run counts.
        reshape_transform: maps its output to image positions.
        head: the linear layer whose output is the logits and whose input is the mean of this layer's output over all
            positions; None for other models.
        relu: with a head, whether the output is rectified before the mean, or is never negative.
        single_position: with a head, whether the output has only one position (1×1).
    """

    layer: str
    reshape_transform: ReshapeTransform
    head: str | None = None
    relu: bool = True
    single_position: bool = False


@dataclass(frozen=True)
class CamUnavailable:
    """The reason why a model has no attention maps."""

    reason: str
    method: ClassVar[str] = "none"
    layer: ClassVar[None] = None


METHODS: dict[str, type["CamMethod"]] = {}  # by the name that a study gives


class CamMethod:
    """A CAM method at one layer of a model. `class Mine(CamMethod, name="mine")` in the folder `methods` adds one.

    It defines `class_maps`, which receives the layer's output and its gradient, or `__call__`. A forward hook captures
    the output. It stays registered, so that a module compiled later includes it, and is inactive except during a call.

    Args:
        model: ready to run; its parameters need no gradients, so that no graph is built before the layer.
        target: the layer.

    Attributes:
        method: its name in results, by default the `name` in a study; part of an evaluation's identity.
        needs_head: whether the target layer must have a `head`.
        needs_gradient: whether `class_maps` reads gradients; otherwise they are not computed.
        has_targets: whether maps depend on the class; otherwise all maps of an image are the same.
        layer: dotted name of the layer; part of an evaluation's identity.
    """

    method: ClassVar[str]
    needs_head: ClassVar[bool] = False
    needs_gradient: ClassVar[bool] = True
    has_targets: ClassVar[bool] = True
    reason: ClassVar[None] = None  # available, in contrast to `CamUnavailable`

    def __init__(self, model: Model, target: TargetLayer) -> None:
        self.model = model
        self.target = target
        self.layer = target.layer
        self.listening = False
        self.captured: torch.Tensor | None = None
        self.handle = model.torch_module.get_submodule(target.layer).register_forward_hook(self._capture)

    def __init_subclass__(cls, *, name: str = "", method: str = "") -> None:
        cls.method = method or name
        if name:
            METHODS[name] = cls

    def for_model(self, model: Model) -> "CamMethod":
        """This method at the same layer, for the same module with another output map."""
        return self if model is self.model else type(self)(model, self.target)

    def class_maps(
        self, inputs: torch.Tensor, classes: torch.Tensor, features: torch.Tensor, gradients: torch.Tensor
    ) -> torch.Tensor:
        """The rectified map (N, h, w) float32 of one class per image.

        Args:
            inputs: (N, 3, H, W), for methods that run the model again.
            classes: (N,) classes, for such methods.
            features: (N, K, h, w) float32, the layer's output, detached.
            gradients: (N, K, h, w) float32, of each image's class logit with respect to the features.
        """
        raise NotImplementedError

    @torch.inference_mode(False)
    def __call__(self, inputs: torch.Tensor, select_targets: TargetSelector) -> CamOutput:
        """Run `inputs` (N, 3, H, W) from `Model.inputs` and compute the maps of the selected targets.

        One forward pass, and one backward pass to the layer for each column of targets that differs from the first.
        """
        with torch.enable_grad():
            logits, start = self._forward(inputs)  # the graph starts at the layer's output
        features = self.target.reshape_transform(start.detach()).float()
        targets = select_targets(logits.detach())
        same = targets == targets[:, :1]
        is_same = same.all(0).tolist()
        maps: list[torch.Tensor] = []
        for column, classes in enumerate(targets.unbind(1)):
            if maps and (is_same[column] or not self.has_targets):
                maps.append(maps[0])
                continue
            gradients = features
            if self.needs_gradient:
                # images are independent in evaluation mode: the gradient of the sum contains that of each image
                total = logits.gather(1, classes[:, None]).sum()
                (gradients,) = torch.autograd.grad(total, start, retain_graph=not all(is_same[column + 1 :]))
                gradients = self.target.reshape_transform(gradients).float()
            class_maps = self.class_maps(inputs, classes, features, gradients)
            maps.append(torch.where(same[:, column, None, None], maps[0] if maps else class_maps, class_maps))
        return CamOutput(logits.detach(), targets, torch.stack(maps, 1), None)

    def _forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and the layer's output; no reference to it is kept, even if the model runs out of memory."""
        self.listening = True
        try:
            logits = self.model.logits(inputs)
            assert self.captured is not None
            return logits, self.captured
        finally:
            self.listening = False
            self.captured = None

    def _capture(self, _module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor | None:
        if not self.listening:
            return None
        self.captured = output.detach().requires_grad_()
        return self.captured.clone()  # later layers may write in place, which torch forbids for a leaf
