"""Which networks are in colour: all of up to four; of more the two with the highest and the lowest mean accuracy.

Training runs of one network share its colour.
"""

from typing import NamedTuple

import duckdb

from failmodes.analysis.charts.style.labels import LegendEntry
from failmodes.analysis.charts.style.theme import GREY, MODEL_COLOURS, MODEL_DASHES
from failmodes.analysis.formatting import format_percent
from failmodes.analysis.networks import TrainedNetwork, trained_networks
from failmodes.analysis.selection import Selection
from failmodes.analysis.statistics.network_accuracy import network_accuracies


class NetworkColours(NamedTuple):
    """How networks are told apart.

    Attributes:
        colours: colour by network, of all networks in order.
        legend_names: the networks that are not in the grey background, with their names in the legend.
        networks: of the selection, in order.
    """

    colours: dict[str, str]
    legend_names: dict[str, str]
    networks: tuple[TrainedNetwork, ...]

    @property
    def trained(self) -> list[TrainedNetwork]:
        """Networks of several training runs."""
        return [network for network in self.networks if network.has_several_seeds]

    @property
    def of_runs(self) -> dict[str, str]:
        """The network of each training run, by label."""
        return {run.label: network.label for network in self.networks for run in network.runs}

    @property
    def run_colours(self) -> dict[str, str]:
        """Colour by training run."""
        return {run: self.colours[network] for run, network in self.of_runs.items()}

    @property
    def background(self) -> list[str]:
        """Networks that are drawn in grey."""
        return [label for label in self.colours if label not in self.legend_names]

    def entries(self) -> list[LegendEntry]:
        """The legend: a line a network, nothing of a single one."""
        if len(self.colours) == 1:
            return []
        entries = [LegendEntry(name, self.colours[label]) for label, name in self.legend_names.items()]
        if self.background:
            return [*entries, LegendEntry("the others", GREY)]
        return [entry._replace(dash=dash) for entry, dash in zip(entries, MODEL_DASHES, strict=False)]

    def phrase(self, averaged: str) -> str:
        """What is in colour, where not all are: for a subtitle; `averaged` tells what the mean is over."""
        which = f"of {len(self.colours)} networks those with the highest and the lowest mean accuracy over {averaged}"
        return f"in colour: {which}" if self.background else ""


def network_colours(con: duckdb.DuckDBPyConnection, selection: Selection) -> NetworkColours:
    """Colours of the networks of a selection."""
    networks = tuple(trained_networks(selection.evaluations))
    labels = [network.label for network in networks]
    if len(labels) <= len(MODEL_COLOURS):
        names = {network.label: network.label_with_seeds for network in networks}
        return NetworkColours(dict(zip(labels, MODEL_COLOURS, strict=False)), names, networks)
    found = network_accuracies(con, selection)
    means = {e.label: one.corrupted.value for e, one in found.items() if one.corrupted is not None}
    if not means:
        return NetworkColours(dict.fromkeys(labels, GREY), {}, networks)
    most, least = max(means, key=means.__getitem__), min(reversed(means), key=means.__getitem__)
    legend_names = {label: f"{label}, {rank} mean accuracy ({format_percent(means[label])})"
                    for label, rank in ((most, "highest"), (least, "lowest"))}  # fmt: skip
    coloured = dict(zip(legend_names, MODEL_COLOURS, strict=False))
    return NetworkColours({label: coloured.get(label, GREY) for label in labels}, legend_names, networks)
