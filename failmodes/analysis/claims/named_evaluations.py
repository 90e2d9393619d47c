"""Networks by the names that claims give them, among those of one selection."""

from collections.abc import Sequence

from failmodes.analysis.network_names import UnknownNetworkError, named_network
from failmodes.analysis.networks import TrainedNetwork, trained_networks
from failmodes.analysis.selection import EvaluationInfo, Selection
from failmodes.warehouse.errors import shown


def evaluations_of(selection: Selection, name: str | None) -> Sequence[EvaluationInfo]:
    """The evaluations that a claim is about: those of the network of a name, all without one.

    Raises:
        UnknownNetworkError: there is no such network, or several.
    """
    return selection.evaluations if name is None else network_of(selection, name).runs


def network_of(selection: Selection, name: str) -> TrainedNetwork:
    """The network of a name (see `named_network`).

    Raises:
        UnknownNetworkError: there is no such network, several, or it was not evaluated to the end.
    """
    try:
        return named_network(trained_networks(selection.evaluations), name)
    except UnknownNetworkError:
        if name in selection.left_out:
            raise UnknownNetworkError(f"{shown(name)} was not evaluated to the end") from None
        raise
