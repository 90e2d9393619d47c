"""The models that a study states, in their order, and which of them is the baseline."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from failmodes.runtime.errors import StudyError, did_you_mean, shown
from failmodes.runtime.storage.locations import read_toml, study_files


class StatedModel(NamedTuple):
    """One model of a study, or one of its training runs, and whether it is the baseline."""

    label: str
    is_baseline: bool


def run_label(label: str, seed: int | None, seeds: Sequence[int]) -> str:
    """The label of a training run of a model: the model's, followed by the seed if several are trained."""
    return label if len(seeds) < 2 or seed is None else f"{label}, seed {seed}"


def stated_models(models: Mapping[str, Sequence[int]], baseline: str | None) -> list[StatedModel]:
    """The models of a study in their order.

    Args:
        models: training seeds by label.
        baseline: a label of a model; of one that is imported if there are no models.

    Raises:
        StudyError: no model has this label.
    """
    if baseline is not None and baseline not in models:
        if models:
            raise StudyError(f"baseline: no model {shown(baseline)}: {did_you_mean(baseline, list(models))}")
        return [StatedModel(baseline, is_baseline=True)]
    return [
        StatedModel(run_label(label, seed, seeds), is_baseline=label == baseline)
        for label, seeds in models.items()
        for seed in (seeds or (None,))
    ]


def models_of_studies(locations: Iterable[str | Path | None]) -> list[StatedModel] | None:
    """The models of the study files among some locations; None if none is a study file.

    Args:
        locations: as for `find_results`.

    Raises:
        StudyError: a study cannot be read, or its baseline is none of its models.
    """
    studies = study_files(locations)
    return [model for path in studies for model in _models_of(path)] if studies else None


def _models_of(path: Path) -> list[StatedModel]:
    content = read_toml(path)
    tables = content.get("models")
    models: dict[str, list[Any]] = {}
    for table in tables if isinstance(tables, list) else []:
        if isinstance(table, Mapping) and isinstance(table.get("label"), str):
            seeds = table.get("seeds")
            models[table["label"]] = seeds if isinstance(seeds, list) else []
    baseline = content.get("baseline")
    if not isinstance(baseline, str | None):
        raise StudyError(f"{path}: baseline: expected the label of a model (given: {shown(baseline)})")
    try:
        return stated_models(models, baseline)
    except StudyError as error:
        raise StudyError(f"{path}: {error}") from None
