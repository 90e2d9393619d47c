"""Grad-CAM in closed form, for models that end in global average pooling and one linear layer.

There logit_c = Σ_k w_ck mean(A_k) + b_c, so the gradient of logit_c by A_kij is w_ck / HW and Grad-CAM (Selvaraju et
al., 2017, eq. 1–2) at that layer is ReLU(Σ_k w_ck A_k) / HW, without a backward pass. The map before the ReLU sums to
logit_c − b_c (Zhou et al. 2016), which is verified for each batch. The layer is found from the outputs of modules.
"""

import torch
from torch import nn

from failmodes.evaluate.cam.cam_method import CamMethod, CamOutput, TargetLayer, TargetSelector
from failmodes.evaluate.cam.probe import run_probe
from failmodes.evaluate.cam.reshape_transform import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    ReshapeTransform,
    image_grids,
    token_transforms,
)
from failmodes.evaluate.models.model import Model
from failmodes.runtime.errors import ModelError

# Largest allowed |map sum + bias − logit|, relative to the largest |logit| of the batch (at least 1). Logits are
# rounded to 2⁻²⁴ per step in float32 over sums of ~1,000 terms, to 2⁻⁹ in bfloat16 and 2⁻¹¹ in float16.
IDENTITY_TOLERANCE: dict[str, float] = {"float32": 1e-4, "bfloat16": 2e-2, "float16": 5e-3}
SAME = 1e-4  # relative to the largest value: tensors that differ less are equal up to rounding of float32 means
CHECKED_TARGETS = 16  # classes per image for which the identity is verified


class ClosedFormCam(CamMethod, name="closed-form", method="grad-cam (closed form)"):
    """Grad-CAM without a backward pass, for models whose logits are linear in the mean of one feature map."""

    needs_head = True

    @torch.inference_mode()
    def __call__(self, inputs: torch.Tensor, select_targets: TargetSelector) -> CamOutput:
        """One forward pass, then one small matrix product."""
        logits, output = self._forward(inputs)
        targets = select_targets(logits)
        return CamOutput(logits, targets, *closed_form(self.model, self.target, output, logits, targets))

    def _capture(self, _module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        if self.listening:
            self.captured = output


def closed_form(
    model: Model, target: TargetLayer, output: torch.Tensor, logits: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps (N, T, h, w) of `targets`, and the largest relative error of the identity.

    Args:
        model: the model.
        target: its pooled layer.
        output: output of the layer.
        logits: (N, C) float32 of the model.
        targets: (N, T) class indices.
    """
    linear = model.torch_module.get_submodule(str(target.head))
    assert isinstance(linear, nn.Linear)
    features = target.reshape_transform(output).float()
    if target.relu:  # torchvision's DenseNet rectifies after `features`, in place only on some devices
        features = features.relu()
    count, channels, height, width = features.shape
    outputs = targets if model.logit_outputs is None else model.logit_outputs[targets]
    weights = linear.weight.detach().float()[outputs]
    evidence = torch.bmm(weights, features.reshape(count, channels, height * width)) / (height * width)
    bias = 0 if linear.bias is None else linear.bias.detach().float()[outputs]
    target_logits = logits.gather(1, targets)
    known = torch.isfinite(logits).all(1, keepdim=True)  # other rows are not verified and must not affect the scale
    scale = torch.where(known, target_logits.abs(), 0).amax().clamp(min=1)
    error = torch.where(known, (evidence.sum(2) + bias - target_logits).abs() / scale, 0)
    return evidence.relu().reshape(count, -1, height, width), error.max()


def check_logit_identity(error: float, precision: str, model: str) -> None:
    """Check that maps sum to the logits.

    Raises:
        ModelError: the model does not end in global average pooling and one linear layer, as closed form needs.
    """
    tolerance = IDENTITY_TOLERANCE[precision]
    if not error <= tolerance:
        raise ModelError(
            f"{model}: attention maps do not sum to the logits (relative error {error:.2g}, at most {tolerance:.0e} in "
            f"{precision}): the model does not end in global average pooling and one linear layer; set attention = "
            "'backward' or 'none' for it"
        )


def find_pooled_layer(model: Model, inputs: torch.Tensor, layer: str | None = None) -> TargetLayer | None:
    """The pooled layer with its linear head, verified on `inputs`; None if the model has none.

    Several modules may output the pooled tensor (a block, its stage, a dropout after it): the one with the fewest dots
    in its name is used, then the first that runs. A single position (1×1) is used only if no larger map is pooled, and
    a map before its ReLU only if no module outputs the rectified map.

    Args:
        model: ready to run (`Model.to`).
        inputs: (N, 3, h, w) of a probe.
        layer: the only layer accepted, if given.

    Raises:
        ModelError: the model does not run on the probe.
    """
    last_linear = _last_linear_layer(model, inputs)
    if last_linear is None:
        return None
    head, pooled = last_linear
    candidates: dict[str, tuple[tuple[bool, bool, int], TargetLayer, torch.Tensor]] = {}

    def watch(name: str, _source: torch.Tensor, output: torch.Tensor) -> None:
        candidates.pop(name, None)  # the last output of a module counts, as in `ClosedFormCam`
        for transform in _possible_transforms(model.torch_module, inputs, output, pooled):
            maps = transform(output)
            is_rectified_behind = not _are_close(maps.mean((2, 3)), pooled)
            if not is_rectified_behind or _are_close(maps.relu().mean((2, 3)), pooled):
                relu = is_rectified_behind or bool((maps >= 0).all())
                single = maps[0, 0].numel() == 1
                rank = (single, is_rectified_behind, name.count("."))
                candidates[name] = rank, TargetLayer(name, transform, head, relu, single), output
                return

    with torch.no_grad():
        logits = run_probe(model, inputs, watch)
    fitting = [candidate for name, candidate in candidates.items() if layer in (None, name)]
    if not fitting:
        return None
    _, target, output = min(fitting, key=lambda candidate: candidate[0])
    logits = model.mapped(logits).float()
    _, error = closed_form(model, target, output, logits, logits.argsort(1, descending=True)[:, :CHECKED_TARGETS])
    return target if float(error) <= IDENTITY_TOLERANCE["float32"] else None


def _last_linear_layer(model: Model, inputs: torch.Tensor) -> tuple[str, torch.Tensor] | None:
    """The linear layer whose output is that of the module, with its input (N, K); None if there is none."""
    seen: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def watch(name: str, source: torch.Tensor, output: torch.Tensor) -> None:
        if isinstance(model.torch_module.get_submodule(name), nn.Linear) and output.ndim == 2:
            seen[name] = source.clone(), output.clone()

    with torch.no_grad():
        logits = run_probe(model, inputs, watch).nan_to_num()  # NaN of a diverged model equals NaN
    same = [(name, source) for name, (source, output) in seen.items() if torch.equal(output.nan_to_num(), logits)]
    return same[-1] if same else None


def _possible_transforms(
    module: nn.Module, inputs: torch.Tensor, output: torch.Tensor, pooled: torch.Tensor
) -> list[ReshapeTransform]:
    """Transforms with which `output` has as many channels as the pooled features (N, K)."""
    count, channels = pooled.shape
    if output.shape[0] == count and output.ndim == 4:
        axes = ((CHANNELS_FIRST, 1), (CHANNELS_LAST, 3))
        return [transform for transform, axis in axes if output.shape[axis] == channels]
    if output.shape[0] == count and output.ndim == 3 and output.shape[2] == channels:
        return list(token_transforms(output.shape[1], *image_grids(module, inputs)))
    return []


def _are_close(first: torch.Tensor, second: torch.Tensor) -> bool:
    scale = float(second.abs().max())
    return scale > 0 and float((first - second).abs().max()) <= SAME * scale
