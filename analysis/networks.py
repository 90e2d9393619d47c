"""Networks of a selection: evaluations of one label and several training seeds are one network."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

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
    def seeds(self) -> tuple[int, ...]:
        """Training seeds of the runs; empty where the only one is not stated."""
        return tuple(run.facts["training_seed"] for run in self.runs if run.facts["training_seed"] is not None)


def trained_networks(evaluations: Iterable[EvaluationInfo]) -> list[TrainedNetwork]:
    """The networks of some evaluations of the same images and corrupted pixels, in the order of their first run.

    Runs are one network where label (without the seed), architecture, recipe and precision are the same and each states
    another training seed. Checkpoints that state no seed, or the same, stay apart: nothing says that they are training
    runs of one recipe.
    """
    groups: dict[tuple[object, ...], list[EvaluationInfo]] = {}
    for evaluation in evaluations:
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
    return found


def _recipe(evaluation: EvaluationInfo) -> str | None:
    """The training recipe as the checkpoint states it, without the seed that one in plain text ends with."""
    recipe, seed = evaluation.facts["training_recipe"], evaluation.facts["training_seed"]
    return recipe if recipe is None or seed is None else re.sub(rf"[,\s]+seed {seed}\Z", "", recipe)
