"""Which model a name means: one rule for claims, comparisons, gates and exports."""

from collections.abc import Sequence

from failmodes.analysis.render.formatting import join_names
from failmodes.analysis.trained_models import TrainedModel
from failmodes.warehouse.errors import StudyError, did_you_mean, shown

LEAST_LETTERS = 4  # of an evaluation's identity


class UnknownModelError(StudyError):
    """A name means no model, or several."""


def named_model(
    models: Sequence[TrainedModel], name: str, place: str = "was evaluated", known: str = "evaluated are"
) -> TrainedModel:
    """The model that a name means.

    A name is a label (of a model, or of one of its training runs), one without its training seed, an evaluation's
    identity or its first letters, or the architecture that one model alone has; what comes first here counts.

    Args:
        models: those that can be meant, of one selection or of several.
        name: as a user gives it.
        place: what an error says that no such model was, or is in.
        known: what it says before the labels of all that there are.

    Returns:
        A model with all its training runs, or one of the runs as a model.

    Raises:
        UnknownModelError: there is no such model, or several.
    """
    runs = [TrainedModel(run.label, (run,)) for model in models for run in model.runs]
    ways = (
        [*(one for one in models if name == one.label), *_runs_called(models, name)],
        [one for one in runs if name == one.runs[0].facts["model_label"]],
        [one for one in runs if len(name) >= LEAST_LETTERS and one.runs[0].evaluation_id.startswith(name)],
        [one for one in models if name.lower() == str(one.runs[0].facts["architecture"] or "").lower()],
    )
    found = next((way for way in ways if way), [])
    if len(found) == 1:
        return found[0]
    if found:
        raise UnknownModelError(f"{shown(name)} names several models, {_distinguished(found)}")
    labels = list(dict.fromkeys(one.label for one in (*models, *runs)))
    architectures = {str(one.runs[0].facts["architecture"]) for one in models if one.runs[0].facts["architecture"]}
    hint = did_you_mean(name, [*labels, *sorted(architectures)], f"{known} {', '.join(map(repr, labels))}")
    raise UnknownModelError(f"no model {shown(name)} {place}: {hint}")


def _runs_called(models: Sequence[TrainedModel], name: str) -> list[TrainedModel]:
    """Training runs of a label, of models that are not called so themselves."""
    return [
        TrainedModel(run.label, (run,))
        for model in models
        if name != model.label
        for run in model.runs
        if name == run.label
    ]


def _distinguished(found: Sequence[TrainedModel]) -> str:
    """Models with what to name one by: labels, or identities where labels do not tell them apart."""
    if len({one.label for one in found}) == len(found):
        return f"{join_names(one.label for one in found)}: name one by its label"
    facts = [(one.runs[0].evaluation_id, one.runs[0].facts) for one in found]
    ids = (
        f"{key} ({one['image_count']:,} images of {one['dataset_label']}, {one['source_label']})" for key, one in facts
    )
    return f"{join_names(ids)}: name one by its identity"
