"""Networks of a selection: evaluations of one label and several training seeds are one network."""

from collections.abc import Iterable
from dataclasses import dataclass

from failmodes.analysis.selection import EvaluationInfo

# What runs of one network share, beside what a selection shares; the recipe as the checkpoint states it
_SHARED_FACTS = ("network_label", "architecture", "variant", "training_recipe", "precision", "class_protocol")


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
        groups.setdefault(tuple(evaluation.facts[name] for name in _SHARED_FACTS), []).append(evaluation)
    found = []
    for runs in groups.values():
        seeds = [run.facts["training_seed"] for run in runs]
        if len(runs) > 1 and None not in seeds and len(set(seeds)) == len(seeds):
            ordered = tuple(sorted(runs, key=lambda run: int(run.facts["training_seed"])))
            found.append(TrainedNetwork(runs[0].facts["network_label"], ordered))
        else:
            found += [TrainedNetwork(run.label, (run,)) for run in runs]
    return found
