"""Grad-CAM by one backward pass from the logits to a layer, for networks without closed form or for a layer asked for.

Selvaraju et al. (2017): α_k = mean over space of ∂logit_c / ∂A_k (eq. 1; the mean is their 1/Z Σ) and the map is
ReLU(Σ_k α_k A_k) (eq. 2). Maps are raw: neither scaled to 0–1 nor enlarged, so that their mass is in logits.
"""

from typing import NamedTuple

import torch
from torch import nn

from failmodes.evaluate.cam.cam_method import BACKWARD, CamOutput, TargetSelector
from failmodes.evaluate.cam.target_layers import TargetLayer
from failmodes.evaluate.models.network import Network


class ForwardResult(NamedTuple):
    """One batch that went forward.

    Attributes:
        logits: (N, C) float32, with the graph back to `start`.
        start: what the layer gave, in its own shape and dtype, the graph's beginning.
    """

    logits: torch.Tensor
    start: torch.Tensor


class LayerGraph:
    """A network whose graph begins at one layer's output: what runs before it costs no more than without gradients.

    Args:
        network: ready to run; its parameters need no gradients, so that no graph is built before the layer.
        spot: the layer; of a module that runs several times in a pass, the last run counts.
    """

    def __init__(self, network: Network, spot: TargetLayer) -> None:
        self.network, self.layout = network, spot.layout
        self.listening = False
        self.start: torch.Tensor | None = None
        network.module.get_submodule(spot.layer).register_forward_hook(self._begin)

    @torch.enable_grad()
    def forward(self, inputs: torch.Tensor) -> ForwardResult:
        """Run the network; nothing of the pass is kept here."""
        self.listening = True
        try:
            logits = self.network.logits(inputs)
            assert self.start is not None
            return ForwardResult(logits, self.start)
        finally:
            self.listening, self.start = False, None

    def gradients(self, passed: ForwardResult, classes: torch.Tensor, *, keep: bool) -> torch.Tensor:
        """Gradient (N, K, h, w) float32 of each image's logit of its class, by the layer's output.

        Images do not meet in a network in evaluation mode, so the gradient of the sum over the batch holds each one's.

        Args:
            passed: a pass.
            classes: (N,) a class an image.
            keep: keep the graph for another call.
        """
        total = passed.logits.gather(1, classes[:, None]).sum()
        (gradient,) = torch.autograd.grad(total, passed.start, retain_graph=keep)
        return self.layout.maps(gradient).float()

    def features(self, passed: ForwardResult) -> torch.Tensor:
        """The layer's output (N, K, h, w) float32, without graph."""
        return self.layout.maps(passed.start.detach()).float()

    def _begin(self, _module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor | None:
        if not self.listening:
            return None
        self.start = output.detach().requires_grad_()
        return self.start.clone()  # what follows may write into it, which torch forbids for the graph's beginning


class GradientCam:
    """The way of any network with a layer that has places: a forward pass, and backward through what follows it.

    At the layer of a closed form it gives the closed form's maps, unless the features are rectified behind the layer
    (torchvision's DenseNet): then the gradient is taken before the ReLU and is nought where the ReLU shut.
    """

    method = BACKWARD

    def __init__(self, network: Network, spot: TargetLayer) -> None:
        self.layer = spot.layer
        self.tail = LayerGraph(network, spot)

    @torch.inference_mode(False)
    def __call__(self, inputs: torch.Tensor, choose: TargetSelector) -> CamOutput:
        """One forward pass and one backward pass for each column of targets that is not like the first."""
        passed = self.tail.forward(inputs)
        logits = passed.logits.detach()
        targets = choose(logits)
        features = self.tail.features(passed)
        columns = differing_columns(targets)
        maps: dict[int, torch.Tensor] = {}
        for column in columns:
            gradient = self.tail.gradients(passed, targets[:, column], keep=column != columns[-1])
            maps[column] = torch.einsum("nk,nkhw->nhw", gradient.mean((2, 3)), features).relu()
        return CamOutput(logits, targets, join_columns(maps, targets), None)


def differing_columns(targets: torch.Tensor) -> list[int]:
    """Columns of targets (N, T) that need maps of their own: the first, and such as differ from it for some image."""
    differs = (targets != targets[:, :1]).any(0).tolist()
    return [column for column, other in enumerate(differs) if other or column == 0]


def join_columns(maps: dict[int, torch.Tensor], targets: torch.Tensor) -> torch.Tensor:
    """Maps (N, T, h, w) of columns' maps (N, h, w); an image whose target is that of the first column has its map."""
    same = (targets == targets[:, :1])[:, :, None, None]
    columns = [maps.get(column, maps[0]) for column in range(targets.shape[1])]
    return torch.where(same, maps[0][:, None], torch.stack(columns, dim=1))
