"""Networks of a selection: evaluations of one label and several training seeds are one network."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import combinations

from failmodes.analysis.formatting import format_count
from failmodes.analysis.selection import EvaluationInfo

# What runs of one network share, beside what a selection shares and the recipe; as in sql/marts/accuracy_by_network.sql
_SHARED_FACTS = ("network_label", "architecture", "variant", "precision", "class_protocol")


@dataclass(frozen=True)
class TrainedNetwork:
    """One network: an evaluation for each training seed, one at least.

    Attributes:
        label: its name on charts; with several runs that of the models, without their seeds.
        runs: its evaluations, by training seed.
    """

    label: str
    runs: tuple[EvaluationInfo, ...]

    @property
    def has_several_seeds(self) -> bool:
        """Whether something can be said of other training seeds, and so of the architecture."""
        return len(self.runs) > 1

    @property
    def label_with_seeds(self) -> str:
        """Its label, and of several how many seeds: Fir (3 seeds)."""
        return f"{self.label} ({format_count(len(self.runs), 'seed')})" if self.has_several_seeds else self.label

    @property
    def seeds(self) -> tuple[int, ...]:
        """Training seeds of the runs; empty where the only one is not stated."""
        return tuple(run.facts["training_seed"] for run in self.runs if run.facts["training_seed"] is not None)


def trained_networks(evaluations: Iterable[EvaluationInfo]) -> list[TrainedNetwork]:
    """The networks of some evaluations of the same images and corrupted pixels, in the order of their first run.

    Runs are one network where label (without the seed), architecture, recipe and precision are the same and each states
    another training seed. Checkpoints that state no seed, or the same, stay apart: nothing says that they are training
    runs of one recipe. No two labels are the same.
    """
    given = list(evaluations)
    groups: dict[tuple[object, ...], list[EvaluationInfo]] = {}
    for evaluation in given:
        shared = (_recipe(evaluation), *(evaluation.facts[name] for name in _SHARED_FACTS))
        groups.setdefault(shared, []).append(evaluation)
    found = []
    for runs in groups.values():
        seeds = [run.facts["training_seed"] for run in runs]
        if len(runs) > 1 and None not in seeds and len(set(seeds)) == len(seeds):
            ordered = tuple(sorted(runs, key=lambda run: int(run.facts["training_seed"])))
            found.append(TrainedNetwork(runs[0].facts["network_label"], ordered))
        else:
            found += [TrainedNetwork(run.label, (run,)) for run in runs]
    found.sort(key=lambda network: min(map(given.index, network.runs)))
    return _distinctly_labelled(found)


def network_of_runs(evaluations: Iterable[EvaluationInfo]) -> dict[EvaluationInfo, TrainedNetwork]:
    """The network of each evaluation, in the order of the evaluations."""
    given = list(evaluations)
    found = {run: network for network in trained_networks(given) for run in network.runs}
    return {evaluation: found[evaluation] for evaluation in given}


def noun_of_runs(evaluations: Iterable[EvaluationInfo]) -> str:
    """What one of the evaluations is called where they are counted: a network, or a training run of one of several."""
    several = any(network.has_several_seeds for network in trained_networks(evaluations))
    return "training run" if several else "network"


def pairs_of_networks(evaluations: Iterable[EvaluationInfo]) -> list[tuple[EvaluationInfo, EvaluationInfo]]:
    """Pairs of evaluations that are worth comparing: not two training runs of one network."""
    network = network_of_runs(evaluations)
    return [(a, b) for a, b in combinations(network, 2) if network[a] != network[b]]


def _distinctly_labelled(networks: list[TrainedNetwork]) -> list[TrainedNetwork]:
    """The networks; of labels that several share, each with precision, architecture or an identity in brackets."""
    for column in ("precision", "architecture", "evaluation_id"):
        counts = Counter(network.label for network in networks)
        networks = [
            replace(network, label=f"{network.label} ({network.runs[0].facts[column]})")
            if counts[network.label] > 1 and network.has_several_seeds
            else network
            for network in networks
        ]
    return networks


def _recipe(evaluation: EvaluationInfo) -> str | None:
    """The training recipe as the checkpoint states it, without the seed that one in plain text ends with."""
    recipe, seed = evaluation.facts["training_recipe"], evaluation.facts["training_seed"]
    return recipe if recipe is None or seed is None else re.sub(rf"[,\s]+seed {seed}\Z", "", recipe)
