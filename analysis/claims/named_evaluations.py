"""Networks by the names that claims give them, among those of one selection."""

from collections.abc import Sequence

from failmodes.analysis.formatting import join_names
from failmodes.analysis.networks import TrainedNetwork, trained_networks
from failmodes.analysis.selection import EvaluationInfo, Selection
from failmodes.warehouse.errors import StudyError, did_you_mean, shown

LEAST_LETTERS = 4  # of an evaluation's identity


class UnknownNetworkError(StudyError):
    """A claim names a network that a selection does not have, or several of it."""


def evaluations_of(selection: Selection, name: str | None) -> Sequence[EvaluationInfo]:
    """The evaluations that a claim is about: those of the network of a name, all without one.

    Raises:
        UnknownNetworkError: there is no such network, or several.
    """
    return selection.evaluations if name is None else network_of(selection, name).runs


def network_of(selection: Selection, name: str) -> TrainedNetwork:
    """The network of a name.

    A name is a label, one without its training seed, an evaluation's identity or its first letters, or the architecture
    that one network alone has.

    Raises:
        UnknownNetworkError: there is no such network, or several.
    """
    networks = trained_networks(selection.evaluations)
    runs = [TrainedNetwork(run.label, (run,)) for network in networks for run in network.runs]
    ways = (
        [one for one in networks if name == one.label],
        [one for one in runs if name in (one.label, one.runs[0].facts["model_label"])],
        [one for one in runs if len(name) >= LEAST_LETTERS and one.runs[0].evaluation_id.startswith(name)],
        [one for one in networks if name.lower() == str(one.runs[0].facts["architecture"]).lower()],
    )
    found = next((way for way in ways if way), [])
    labels = list(dict.fromkeys(one.label for one in (*networks, *runs)))
    if len(found) == 1:
        return found[0]
    if found:
        several = join_names(one.label for one in found)
        raise UnknownNetworkError(f"{shown(name)} names several networks, {several}: name one by its label")
    if name in selection.left_out:
        raise UnknownNetworkError(f"{shown(name)} was not evaluated to the end")
    architectures = {str(one.runs[0].facts["architecture"]) for one in networks}
    hint = did_you_mean(name, [*labels, *architectures], f"evaluated are {', '.join(map(repr, labels))}")
    raise UnknownNetworkError(f"no network {shown(name)} was evaluated: {hint}")
