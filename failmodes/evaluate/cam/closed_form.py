"""Grad-CAM in closed form, for models that end in global average pooling and one linear layer.

There logit_c = Σ_k w_ck mean(A_k) + b_c, so the gradient of logit_c by A_kij is w_ck / HW and Grad-CAM (Selvaraju et
al., 2017, eq. 1–2) at that layer is ReLU(Σ_k w_ck A_k) / HW: no backward pass. The map before the ReLU sums to
logit_c − b_c (Zhou et al. 2016), which proves each batch.
"""

import torch
from torch import nn

from failmodes.evaluate.cam.cam_method import CLOSED_FORM, CamOutput, LayerCam, TargetSelector
from failmodes.evaluate.cam.reshape_transform import CHANNELS_FIRST, ReshapeTransform
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.study.study_schema import Precision
from failmodes.warehouse.errors import ModelError

# Largest |map sum + bias − logit| allowed, relative to the largest |logit| of the batch (at least 1). The model
# rounds its own logits: to 2⁻²⁴ a step in float32 over sums of ~1,000 terms, to 2⁻⁹ (bfloat16) and 2⁻¹¹ (float16).
IDENTITY_TOLERANCE: dict[Precision, float] = {"float32": 1e-4, "bfloat16": 2e-2, "float16": 5e-3}


class ClosedFormCam(LayerCam):
    """The CAM of models whose logits are a linear function of the mean of one feature map.

    Args:
        prepared: model, ready to run.
        layer: the module whose output is pooled.
        head: the linear layer that the pooled features go to.
        reshape_transform: of the layer's output.
        relu: rectify the features first. torchvision's DenseNet does so after `features`, in place on some devices;
            doing it here in every case (a second ReLU changes nothing) makes the map independent of the device.
    """

    method = CLOSED_FORM

    def __init__(
        self,
        prepared: Model,
        layer: str,
        head: str,
        reshape_transform: ReshapeTransform = CHANNELS_FIRST,
        relu: bool = True,
    ) -> None:
        super().__init__(prepared, layer)
        self.reshape_transform, self.relu = reshape_transform, relu
        linear = prepared.module.get_submodule(head)
        assert isinstance(linear, nn.Linear)
        chosen = slice(None) if prepared.outputs is None else prepared.outputs
        self.weight = linear.weight.detach().float()[chosen]  # (C, K)
        self.bias = linear.bias.detach().float()[chosen] if linear.bias is not None else None

    @torch.inference_mode()
    def __call__(self, inputs: torch.Tensor, select_targets: TargetSelector) -> CamOutput:
        """One forward pass, then one small matrix product."""
        logits, output = self._forward(inputs)
        features = self.reshape_transform(output).float()
        targets = select_targets(logits)
        maps, error = self._maps(features.relu() if self.relu else features, logits, targets)
        return CamOutput(logits, targets, maps, error)

    def _maps(
        self, features: torch.Tensor, logits: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Maps (N, T, h, w) of `targets`, and the largest relative error of the identity.

        Args:
            features: (N, K, h, w) float32, the map that is pooled.
            logits: (N, C) float32, as the model gave them.
            targets: (N, T) class indices.
        """
        count, channels, height, width = features.shape
        evidence = torch.bmm(self.weight[targets], features.reshape(count, channels, height * width)) / (height * width)
        bias = self.bias[targets] if self.bias is not None else 0.0
        target_logits = logits.gather(1, targets)
        known = torch.isfinite(logits).all(1, keepdim=True)  # other rows prove nothing, and must not spoil the scale
        scale = torch.where(known, target_logits.abs(), 0).amax().clamp(min=1)
        error = torch.where(known, (evidence.sum(2) + bias - target_logits).abs() / scale, 0)
        return evidence.relu().reshape(count, -1, height, width), error.max()


def check_logit_identity(error: float, precision: Precision, model: str) -> None:
    """Refuse maps whose sums do not give the logits.

    Raises:
        ModelError: the model does not end in global average pooling and one linear layer, as closed form needs.
    """
    tolerance = IDENTITY_TOLERANCE[precision]
    if not error <= tolerance:
        raise ModelError(
            f"{model}: attention maps do not sum to the logits (relative error {error:.2g}, at most {tolerance:.0e} in "
            f"{precision}): this model does not end in global average pooling and one linear layer; set attention = "
            "'backward' or 'none' for it"
        )
