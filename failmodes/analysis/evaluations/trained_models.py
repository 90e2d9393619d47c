"""Models of a selection (evaluations of several training seeds are one model), and models by name."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from failmodes.analysis.evaluations.selection import EvaluationInfo, is_id, words_of_runs
from failmodes.analysis.render.formatting import format_count, join_names
from failmodes.runtime.errors import StudyError, did_you_mean, shown

# Facts that runs of one model share, besides selection and recipe; as in sql/marts/accuracy_by_model.sql
_SHARED_FACTS = ("comparable_id", "model_name", "architecture", "variant", "precision", "class_protocol")


class UnknownModelError(StudyError):
    """A name matches no model, or several."""


@dataclass(frozen=True)
class TrainedModel:
    """One model: one or more evaluations, one per training seed.

    Attributes:
        label: its label; with several runs the label without training seed.
        runs: its evaluations, by training seed.
    """

    label: str
    runs: tuple[EvaluationInfo, ...]

    @property
    def has_several_seeds(self) -> bool:
        """Whether conclusions extend to other training seeds."""
        return len(self.runs) > 1

    @property
    def label_with_seeds(self) -> str:
        """Its label, with the number of seeds if there are several: Fir (3 seeds)."""
        count = format_count(len(self.runs), words_of_runs(self.runs).short_seed)
        return f"{self.label} ({count})" if self.has_several_seeds else self.label

    @property
    def seeds(self) -> tuple[int, ...]:
        """Training seeds of the runs; empty if the only run states none."""
        return tuple(run.facts["training_seed"] for run in self.runs if run.facts["training_seed"] is not None)


def trained_models(evaluations: Iterable[EvaluationInfo]) -> list[TrainedModel]:
    """The models of evaluations of the same images and corruptions, in the order of their first run.

    Runs form one model if label (without seed), architecture, recipe and precision agree and their training seeds
    differ. Checkpoints without a seed, or with equal seeds, stay separate, since nothing shows that they are training
    runs of one recipe. Labels are distinct.
    """
    in_order = list(evaluations)
    groups: dict[tuple[object, ...], list[EvaluationInfo]] = {}
    for evaluation in in_order:
        shared = (_recipe(evaluation), *(evaluation.facts[name] for name in _SHARED_FACTS))
        groups.setdefault(shared, []).append(evaluation)
    models = []
    for runs in groups.values():
        seeds = [run.facts["training_seed"] for run in runs]
        if len(runs) > 1 and None not in seeds and len(set(seeds)) == len(seeds):
            ordered = tuple(sorted(runs, key=lambda run: int(run.facts["training_seed"])))
            models.append(TrainedModel(runs[0].facts["model_name"], ordered))
        else:
            models += [TrainedModel(run.label, (run,)) for run in runs]
    models.sort(key=lambda model: min(map(in_order.index, model.runs)))
    return _distinctly_labeled(models)


def noun_of_runs(evaluations: Iterable[EvaluationInfo]) -> str:
    """The noun for an evaluation in a count: "model", or that of a run if a model has several."""
    in_order = list(evaluations)
    several = any(model.has_several_seeds for model in trained_models(in_order))
    return words_of_runs(in_order).run if several else "model"


def pairs_of_models(evaluations: Iterable[EvaluationInfo]) -> list[tuple[EvaluationInfo, EvaluationInfo]]:
    """Pairs of evaluations of different models."""
    in_order = list(evaluations)
    models = {run: model for model in trained_models(in_order) for run in model.runs}
    return [(a, b) for a, b in combinations(in_order, 2) if models[a] != models[b]]


def _distinctly_labeled(models: list[TrainedModel]) -> list[TrainedModel]:
    """The models; shared labels get precision, architecture or ID in parentheses."""
    for column in ("precision", "architecture", "evaluation_id"):
        counts = Counter(model.label for model in models)
        models = [
            replace(model, label=f"{model.label} ({model.runs[0].facts[column]})")
            if counts[model.label] > 1 and model.has_several_seeds
            else model
            for model in models
        ]
    return models


def _recipe(evaluation: EvaluationInfo) -> str | None:
    """The training recipe as the checkpoint states it, without a seed at its end."""
    recipe = evaluation.facts["training_recipe"]
    seed = evaluation.facts["training_seed"]
    return recipe if recipe is None or seed is None else re.sub(rf"[,\s]+seed {seed}\Z", "", recipe)


def named_model(
    models: Sequence[TrainedModel], name: str, place: str = "was evaluated", known: str = "evaluated are"
) -> TrainedModel:
    """The model that a name matches.

    A name is, in this order: a label (of a model or of a training run), a label without training seed, an evaluation ID
    or its start, or the architecture of a single model.

    Args:
        models: the candidates, of one selection or several.
        name: the user's input.
        place: end of the error message, "no model 'X' <place>".
        known: text before the list of all labels.

    Returns:
        A model with all its training runs, or one of the runs as a model.

    Raises:
        UnknownModelError: no model or several models match.
    """
    runs = [TrainedModel(run.label, (run,)) for model in models for run in model.runs]
    called = [TrainedModel(name, (r,)) for m in models if m.label != name for r in m.runs if r.label == name]
    ways = (
        [*(model for model in models if name == model.label), *called],
        [model for model in runs if name == model.runs[0].facts["model_label"]],
        [model for model in runs if is_id(name, model.runs[0].evaluation_id)],
        [model for model in models if name.lower() == str(model.runs[0].facts["architecture"] or "").lower()],
    )
    matching = next((way for way in ways if way), [])
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise UnknownModelError(f"{shown(name)} matches several models: {_distinguished(matching)}")
    labels = list(dict.fromkeys(model.label for model in (*models, *runs)))
    architectures = {
        str(model.runs[0].facts["architecture"]) for model in models if model.runs[0].facts["architecture"]
    }
    hint = did_you_mean(name, [*labels, *sorted(architectures)], f"{known} {', '.join(map(repr, labels))}")
    raise UnknownModelError(f"no model {shown(name)} {place}: {hint}")


def _distinguished(models: Sequence[TrainedModel]) -> str:
    """Models by label, or by ID if labels are not distinct, with how to name one."""
    if len({model.label for model in models}) == len(models):
        return f"{join_names(model.label for model in models)}; name one by its label"
    facts = [(model.runs[0].evaluation_id, model.runs[0].facts) for model in models]
    ids = (
        f"{evaluation_id} ({run['image_count']:,} images of {run['dataset_label']}, {run['source_label']})"
        for evaluation_id, run in facts
    )
    return f"{join_names(ids)}; name one by its ID"
