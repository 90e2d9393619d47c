"""Grad-CAM by one backward pass from the logits to a layer, for models without closed form or for a requested layer.

Selvaraju et al. (2017): α_k = mean over space of ∂logit_c / ∂A_k (eq. 1; the mean is their 1/Z Σ) and the map is
ReLU(Σ_k α_k A_k) (eq. 2). Maps are raw: neither scaled to 0–1 nor enlarged, so that their mass is in logits.
"""

import torch
from torch import nn

from failmodes.evaluate.cam.cam_method import BACKWARD, CamOutput, LayerCam, TargetSelector
from failmodes.evaluate.cam.target_layers import TargetLayer
from failmodes.evaluate.models.model import Model


class GradientCam(LayerCam):
    """The CAM of any model with a layer that has positions on the image: forward, then backward to that layer.

    The graph begins at the layer's output: what runs before it costs no more than without gradients. At the layer of a
    closed form it gives the closed form's maps, unless the features are rectified behind the layer (torchvision's
    DenseNet): then the gradient is taken before the ReLU and is zero where the ReLU is inactive.

    Args:
        prepared: model, ready to run; its parameters need no gradients, so that no graph is built before the layer.
        target_layer: the layer; of a module that runs several times in a pass, the last run counts.
    """

    method = BACKWARD
    needs_gradient = True  # else features stand in for gradients, and are not read
    has_targets = True  # else all of an image's maps are one

    def __init__(self, prepared: Model, target_layer: TargetLayer) -> None:
        super().__init__(prepared, target_layer.layer)
        self.reshape_transform = target_layer.reshape_transform

    @torch.inference_mode(False)
    def __call__(self, inputs: torch.Tensor, select_targets: TargetSelector) -> CamOutput:
        """One forward pass and one backward pass for each column of targets that differs from the first."""
        with torch.enable_grad():
            logits, start = self._forward(inputs)  # the graph goes from the logits back to what the layer gave
        features = self.reshape_transform(start.detach()).float()
        targets = select_targets(logits.detach())
        columns = _differing_columns(targets) if self.has_targets else [0]
        maps: dict[int, torch.Tensor] = {}
        for column in columns:
            classes, gradients = targets[:, column], features
            if self.needs_gradient:
                # images do not mix in a model in evaluation mode: the gradient of the sum holds each one's
                total = logits.gather(1, classes[:, None]).sum()
                (gradients,) = torch.autograd.grad(total, start, retain_graph=column != columns[-1])
                gradients = self.reshape_transform(gradients).float()
            maps[column] = self.class_maps(inputs, classes, features, gradients)
        return CamOutput(logits.detach(), targets, _join_columns(maps, targets), None)

    def class_maps(
        self, inputs: torch.Tensor, classes: torch.Tensor, features: torch.Tensor, gradients: torch.Tensor
    ) -> torch.Tensor:
        """The rectified map (N, h, w) of one class an image.

        Args:
            inputs: (N, 3, H, W), for methods that run the model again.
            classes: (N,) the classes, for the same.
            features: (N, K, h, w) float32, the layer's output, detached.
            gradients: (N, K, h, w) float32, of each image's class logit with respect to the features.
        """
        return torch.einsum("nk,nkhw->nhw", gradients.mean((2, 3)), features).relu()

    def _capture(self, _module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor | None:
        if not self.listening:
            return None
        self.captured = output.detach().requires_grad_()
        return self.captured.clone()  # what follows may write into it, which torch forbids for the graph's beginning


def _differing_columns(targets: torch.Tensor) -> list[int]:
    """Columns of targets (N, T) that need maps of their own: the first, and those that differ from it anywhere."""
    differs = (targets != targets[:, :1]).any(0).tolist()
    return [column for column, other in enumerate(differs) if other or column == 0]


def _join_columns(maps: dict[int, torch.Tensor], targets: torch.Tensor) -> torch.Tensor:
    """Maps (N, T, h, w) of columns' maps (N, h, w); where a target equals the first, so does its map."""
    same = (targets == targets[:, :1])[:, :, None, None]
    columns = [maps.get(column, maps[0]) for column in range(targets.shape[1])]
    return torch.where(same, maps[0][:, None], torch.stack(columns, dim=1))
