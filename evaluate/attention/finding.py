"""Which way a network can be attended to: found by looking at it."""

from evaluate.attention.closed_form import ClosedForm
from evaluate.attention.ways import NoWay, Way
from evaluate.models.architectures import ARCHITECTURES
from evaluate.models.network import Network

SWITCHED_OFF = "switched off in the study"


def find_way(
    network: Network, image_shape: tuple[int, int], *, wanted: str = "auto", layer: str | None = None
) -> Way | NoWay:
    """The way to attend to a network.

    Args:
        network: ready to run.
        image_shape: (height, width) of the images that it will meet, before its own resize.
        wanted: "auto" (closed form, else one backward pass, else none), "none", or a method by name.
        layer: the layer to look at, by its dotted name; found if not given.

    Raises:
        ModelError: what was asked for cannot be done with this network.
    """
    if wanted == "none":
        return NoWay(SWITCHED_OFF)
    architecture = ARCHITECTURES[network.architecture]
    return ClosedForm(network, architecture.attention_layer, architecture.head)
