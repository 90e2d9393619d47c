"""Models by the names that claims give them, among those of one selection."""

from collections.abc import Sequence

from failmodes.analysis.model_names import UnknownModelError, named_model
from failmodes.analysis.selection import EvaluationInfo, Selection
from failmodes.analysis.trained_models import TrainedModel, trained_models
from failmodes.warehouse.errors import shown


def evaluations_of(selection: Selection, name: str | None) -> Sequence[EvaluationInfo]:
    """The evaluations that a claim is about: those of the model of a name, all without one.

    Raises:
        UnknownModelError: there is no such model, or several.
    """
    return selection.evaluations if name is None else model_of(selection, name).runs


def model_of(selection: Selection, name: str) -> TrainedModel:
    """The model of a name (see `named_model`).

    Raises:
        UnknownModelError: there is no such model, several, or it was not evaluated to the end.
    """
    try:
        return named_model(trained_models(selection.evaluations), name)
    except UnknownModelError:
        if name in selection.left_out:
            raise UnknownModelError(f"{shown(name)} was not evaluated to the end") from None
        raise
