"""Which way a network can be attended to: found by looking at it."""

from evaluate.attention.backward import Backward
from evaluate.attention.methods import AUTO, BACKWARD, CLOSED_FORM, GRAD_CAM, NONE, method_named
from evaluate.attention.package import WITHOUT_GRADIENT, Package
from evaluate.attention.pooling import find_pooled
from evaluate.attention.spots import Spot, asked_spot, check_layer, find_spot
from evaluate.attention.trial import trial_inputs
from evaluate.attention.ways import NoWay, Way
from evaluate.models.network import Network
from warehouse.errors import ModelError

SWITCHED_OFF = "switched off in the study"
NO_PLACES = "no layer that the logits depend on has places on the image"


def find_way(
    network: Network, image_shape: tuple[int, int], *, wanted: str = AUTO, layer: str | None = None
) -> Way | NoWay:
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
    method = method_named(wanted)
    if method == NONE:
        return NoWay(SWITCHED_OFF)
    if layer is not None:
        check_layer(network, layer)
    inputs = trial_inputs(network, image_shape)
    pooled = find_pooled(network, inputs, layer)
    if pooled is not None and pooled.places > 1:
        if method in (AUTO, GRAD_CAM, CLOSED_FORM):
            return pooled.way(network)
        return _way_at(network, method, Spot(pooled.layer, pooled.layout))
    if layer is not None:
        spot: Spot | None = asked_spot(network, inputs, layer, needs_gradient=method not in WITHOUT_GRADIENT)
    else:
        spot = find_spot(network, inputs)
    if pooled is not None and (method == CLOSED_FORM or (spot is None and method in (AUTO, GRAD_CAM))):
        return pooled.way(network)  # a single place, for want of another
    return _way_at(network, method, spot)


def _way_at(network: Network, method: str, spot: Spot | None) -> Way | NoWay:
    """The way other than closed form at a spot, or none."""
    if method == CLOSED_FORM:
        raise ModelError(
            f"{network.label} does not end in global average pooling and one linear layer (at the layer asked for, if "
            "one was), as the closed form needs: set attention to 'auto' or 'backward'"
        )
    if spot is not None:
        return Backward(network, spot) if method in (AUTO, GRAD_CAM, BACKWARD) else Package(network, spot, method)
    if method == AUTO:
        return NoWay(NO_PLACES)
    raise ModelError(f"{network.label}: {NO_PLACES}, so there is no {method}: set attention to 'auto' or 'none'")
