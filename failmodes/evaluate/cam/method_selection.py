"""Which CAM method a model allows: found by looking at it."""

import torch

from failmodes.evaluate.cam.cam_method import (
    AUTO,
    BACKWARD,
    CLOSED_FORM,
    GRAD_CAM,
    NONE,
    CamMethod,
    CamUnavailable,
    parse_method,
)
from failmodes.evaluate.cam.grad_cam_library import GRADIENT_FREE, GradCamLibrary
from failmodes.evaluate.cam.gradient import GradientCam
from failmodes.evaluate.cam.pooled_head import find_pooled_linear_head
from failmodes.evaluate.cam.probe import probe_inputs
from failmodes.evaluate.cam.target_layers import TargetLayer, find_target_layer, requested_target_layer
from failmodes.evaluate.models.model import Model
from failmodes.warehouse.errors import StudyError

SWITCHED_OFF = "switched off in the study"
OPAQUE = "a function of pixels, not a model of layers"
TORCH_SCRIPT = "its layers are TorchScript, which PyTorch lets nobody look into"
NO_SPATIAL_LAYER = "no layer that the logits depend on has places on the image"


def select_cam_method(
    prepared: Model, image_shape: tuple[int, int], method: str = AUTO, layer: str | None = None
) -> CamMethod | CamUnavailable:
    """The CAM method for a model, found by probing it with three random images.

    Args:
        prepared: ready to run.
        image_shape: (height, width) of the images that it will meet, before its own resize.
        method: "auto" (closed form, else one backward pass, else none), "none", "grad-cam" (as "auto", but none is an
            error), "closed-form", "backward", or a method of the grad-cam package (`LIBRARY_CLASSES`).
        layer: the layer to look at, by its dotted name; found if not given.

    Raises:
        StudyError: the model does not allow the requested method or layer.
        ModelError: it does not run on such images.
    """
    method = parse_method(method)
    if method == NONE:
        return CamUnavailable(SWITCHED_OFF)
    inputs = probe_inputs(prepared, image_shape)
    if not inputs.is_floating_point():
        if method != AUTO:
            raise StudyError(f"{prepared.label} is {OPAQUE}: there is no {method}; set attention to 'auto' or 'none'")
        return CamUnavailable(OPAQUE)
    head = find_pooled_linear_head(prepared, inputs, layer)
    may_be_closed = method in (AUTO, GRAD_CAM, CLOSED_FORM)
    if head is not None and head.spatial_positions > 1:
        if may_be_closed:
            return head.closed_form(prepared)
        target_layer: TargetLayer | None = TargetLayer(head.layer, head.reshape_transform)
    elif layer is not None:
        target_layer = requested_target_layer(prepared, inputs, layer, needs_gradient=method not in GRADIENT_FREE)
    else:
        target_layer = find_target_layer(prepared, inputs)
    if head is not None and may_be_closed and (method == CLOSED_FORM or target_layer is None):
        return head.closed_form(prepared)  # a single position, where there is no other layer
    return _method_at(prepared, method, target_layer)


def _method_at(prepared: Model, method: str, target_layer: TargetLayer | None) -> CamMethod | CamUnavailable:
    """The method other than closed form at a layer, or why there is none."""
    if method == CLOSED_FORM:
        raise StudyError(
            f"{prepared.label} does not end in global average pooling and one linear layer (at the layer asked for, if "
            "one was), as the closed form needs: set attention to 'auto' or 'backward'"
        )
    if target_layer is None:
        is_script = any(isinstance(part, torch.jit.ScriptModule) for part in prepared.module.modules())
        reason = TORCH_SCRIPT if is_script else NO_SPATIAL_LAYER
        if method == AUTO:
            return CamUnavailable(reason)
        raise StudyError(f"{prepared.label}: {reason}, so there is no {method}: set attention to 'auto' or 'none'")
    if method in (AUTO, GRAD_CAM, BACKWARD):
        return GradientCam(prepared, target_layer)
    return GradCamLibrary(prepared, target_layer, method)
