"""How far a study is: cells published and cells missing, model by model, for `failmodes status`."""

from pathlib import Path
from typing import Any, NamedTuple

from failmodes.warehouse.extras import require


class EvaluationProgress(NamedTuple):
    """One evaluation: model, source of the pixels, identity, cells of the study and those that are missing."""

    model_label: str
    source_label: str
    evaluation_id: str
    cell_count: int
    missing_count: int


class StudyProgress(NamedTuple):
    """A study: its name, its models that are not trained yet, and its evaluations, none while some are not."""

    study_file: Path
    name: str
    untrained: list[str]
    evaluations: list[EvaluationProgress]

    @property
    def unfinished(self) -> str:
        """What is still to be done before its rows are loaded, and how; empty where nothing is."""
        go_on = f"`failmodes run {self.study_file}` goes on"
        if count := len(self.untrained):
            return f"{count:,} model{'s' if count > 1 else ''} not trained yet: {go_on}"
        missing = sum(one.missing_count for one in self.evaluations)
        return f"{missing:,} shard{'s' if missing > 1 else ''} not evaluated yet: {go_on}" if missing else ""

    def as_json(self) -> dict[str, Any]:
        """The same by the keys that the help of `failmodes status` names."""
        return {
            "name": self.name,
            "untrained": self.untrained,
            "evaluations": [one._asdict() for one in self.evaluations],
            "unfinished": self.unfinished or None,
        }


def study_progress(study_file: Path) -> StudyProgress | None:
    """How far a study is; None where its predictions are imported: the warehouse says what is there.

    Raises:
        MissingExtraError: the study names models, and PyTorch is not installed.
        StudyError: it is no study.
    """
    from failmodes.evaluate.study.study_file import read_study

    study = read_study(study_file, require_models=False)
    if not study.models:
        return None
    require("evaluate", "the progress of a study's models")
    from failmodes.evaluate.devices import choose_device
    from failmodes.evaluate.engine.plan import missing_cells, plan_evaluations
    from failmodes.evaluate.study_models import study_models
    from failmodes.ingest.datasets.opening import open_dataset

    dataset = open_dataset(study.dataset, study.cache)
    untrained = [model.label for model in study_models(study, dataset) if not model.is_there]
    if untrained:
        return StudyProgress(study_file, study.name, untrained, [])
    planned = plan_evaluations(study, dataset, choose_device(study.evaluation.device))
    evaluations = [
        EvaluationProgress(
            one.model.label,
            one.data.source.row()["source_label"],
            one.evaluation_id,
            len(study.cells),
            len(missing_cells(study, one)),
        )
        for group in planned
        for one in group
    ]
    return StudyProgress(study_file, study.name, [], evaluations)
