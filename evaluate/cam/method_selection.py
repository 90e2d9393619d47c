"""Which way a network can be attended to: found by looking at it."""

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
from failmodes.evaluate.cam.target_layers import TargetLayer, check_layer, find_target_layer, requested_target_layer
from failmodes.evaluate.models.network import Network
from failmodes.warehouse.errors import ModelError

SWITCHED_OFF = "switched off in the study"

NO_SPATIAL_LAYER = "no layer that the logits depend on has places on the image"


def select_cam_method(
    network: Network, image_shape: tuple[int, int], *, wanted: str = AUTO, layer: str | None = None
) -> CamMethod | CamUnavailable:
    """The way to attend to a network, found on a trial of three random images.

    Args:
        network: ready to run.
        image_shape: (height, width) of the images that it will meet, before its own resize.
        wanted: "auto" (closed form, else one backward pass, else none), "none", "grad-cam" (as "auto", but none is an
            error), "closed-form", "backward", or a method of the grad-cam package (`methods.PACKAGE_CLASSES`).
        layer: the layer to look at, by its dotted name; found if not given.

    Raises:
        ModelError: what was asked for cannot be done with this network, or it does not run on such images.
    """
    method = parse_method(wanted)
    if method == NONE:
        return CamUnavailable(SWITCHED_OFF)
    if layer is not None:
        check_layer(network, layer)
    inputs = probe_inputs(network, image_shape)
    pooled = find_pooled_linear_head(network, inputs, layer)
    if pooled is not None and pooled.places > 1:
        if method in (AUTO, GRAD_CAM, CLOSED_FORM):
            return pooled.way(network)
        return _way_at(network, method, TargetLayer(pooled.layer, pooled.layout))
    if layer is not None:
        spot: TargetLayer | None = requested_target_layer(
            network, inputs, layer, needs_gradient=method not in GRADIENT_FREE
        )
    else:
        spot = find_target_layer(network, inputs)
    if pooled is not None and (method == CLOSED_FORM or (spot is None and method in (AUTO, GRAD_CAM))):
        return pooled.way(network)  # a single place, for want of another
    return _way_at(network, method, spot)


def _way_at(network: Network, method: str, spot: TargetLayer | None) -> CamMethod | CamUnavailable:
    """The way other than closed form at a spot, or none."""
    if method == CLOSED_FORM:
        raise ModelError(
            f"{network.label} does not end in global average pooling and one linear layer (at the layer asked for, if "
            "one was), as the closed form needs: set attention to 'auto' or 'backward'"
        )
    if spot is not None:
        return (
            GradientCam(network, spot)
            if method in (AUTO, GRAD_CAM, BACKWARD)
            else GradCamLibrary(network, spot, method)
        )
    if method == AUTO:
        return CamUnavailable(NO_SPATIAL_LAYER)
    raise ModelError(f"{network.label}: {NO_SPATIAL_LAYER}, so there is no {method}: set attention to 'auto' or 'none'")
