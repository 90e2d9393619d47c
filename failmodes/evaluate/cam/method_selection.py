"""Which CAM method a model allows: found by probing it."""

import torch
from torch import nn

from failmodes.evaluate.cam.cam_method import CamMethod, TargetLayer
from failmodes.evaluate.cam.methods.backward import BackwardCam
from failmodes.evaluate.cam.methods.closed_form import ClosedFormCam, find_pooled_layer
from failmodes.evaluate.cam.probe import probe_inputs
from failmodes.evaluate.cam.registry import AUTO, GRAD_CAM, NONE, cam_class, parse_method
from failmodes.evaluate.cam.target_layers import find_target_layer, requested_target_layer
from failmodes.evaluate.models.model import CamUnavailable, Model
from failmodes.warehouse.errors import StudyError

SWITCHED_OFF = "switched off in the study"
OPAQUE = "a function of pixels, not a model of layers"
TORCH_SCRIPT = "its layers are TorchScript, which PyTorch lets nobody look into"
QUANTIZED = "it has quantized layers, which PyTorch computes no gradients through"
NO_SPATIAL_LAYER = "no layer that the logits depend on has places on the image"


def select_cam_method(
    model: Model, image_shape: tuple[int, int], method: str = AUTO, layer: str | None = None
) -> CamMethod | CamUnavailable:
    """The CAM method for a model, found by probing it with three random images.

    Args:
        model: ready to run (`Model.to`).
        image_shape: (height, width) of the images that it will meet, before its own resize.
        method: one of `registry.method_meanings`.
        layer: the layer to look at, by its dotted name; found if not given.

    Raises:
        StudyError: the model does not allow the requested method or layer.
        ModelError: it does not run on such images.
    """
    method = parse_method(method)
    if method == NONE:
        return CamUnavailable(SWITCHED_OFF)
    inputs = probe_inputs(model, image_shape)
    if not inputs.is_floating_point():
        return _unavailable(model, method, OPAQUE)
    cam = None if method in (AUTO, GRAD_CAM) else cam_class(method)
    target = _target_layer(model, inputs, layer, cam)
    if target is None:
        return _unavailable(model, method, _why_no_layer(model.module))
    cam = cam or (BackwardCam if target.head is None else ClosedFormCam)
    if cam.needs_head and target.head is None:
        raise StudyError(
            f"{model.label} does not end in global average pooling and one linear layer (at the layer asked for, if "
            f"one was), as {method} needs: set attention to 'auto' or 'backward'"
        )
    return cam(model, target)


def _target_layer(
    model: Model, inputs: torch.Tensor, layer: str | None, cam: type[CamMethod] | None
) -> TargetLayer | None:
    """The layer for a method; without one, for closed form or else backward."""
    pooled = find_pooled_layer(model, inputs, layer)
    if pooled is not None and not pooled.single_position:
        return pooled
    if layer is None:
        found = find_target_layer(model, inputs)
    else:
        found = requested_target_layer(model, inputs, layer, needs_gradient=cam is None or cam.needs_gradient)
    needs_pooled = found is None if cam is None else cam.needs_head  # a single position, where there is no other layer
    return pooled if pooled is not None and needs_pooled else found


def _unavailable(model: Model, method: str, reason: str) -> CamUnavailable:
    """No attention, unless a method was requested."""
    if method == AUTO:
        return CamUnavailable(reason)
    raise StudyError(f"{model.label}: {reason}, so there is no {method}: set attention to 'auto' or 'none'")


def _why_no_layer(module: nn.Module) -> str:
    parts = list(module.modules())
    if any(isinstance(part, torch.jit.ScriptModule) for part in parts):
        return TORCH_SCRIPT
    return QUANTIZED if any(".quantized." in type(part).__module__ for part in parts) else NO_SPATIAL_LAYER
