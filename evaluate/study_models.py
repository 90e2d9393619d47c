"""The study's networks: which checkpoint each one is, trained where it is missing."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from failmodes.evaluate.devices import choose_device
from failmodes.evaluate.models.loading import check_model_outputs, load_model
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.models.registry import resolve_architecture, source_hash
from failmodes.evaluate.study.study_schema import ModelSpec, Study
from failmodes.evaluate.training.loop import train_model
from failmodes.evaluate.training.trainer import EpochMetrics
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.warehouse.errors import ModelError
from failmodes.warehouse.hashing import identity_of

CHECKPOINT_FOLDER = "checkpoints"

KEYS_WITHOUT_EFFECT_ON_WEIGHTS = {
    "label",
    "seeds",
    "attention",
    "attention_layer",
}  # what trained weights do not depend on


class StudyModel(NamedTuple):
    """One network of a study: its specification, its training seed (None unless trained here), its file if any."""

    spec: ModelSpec
    seed: int | None
    path: Path | None

    @property
    def label(self) -> str:
        """What to call it while it is trained."""
        return self.spec.label_of(self.seed)

    @property
    def is_there(self) -> bool:
        """Whether it need not be trained: its file is there, or it needs none."""
        return self.path is None or self.path.exists()


def study_models(study: Study, dataset: Dataset) -> Iterator[StudyModel]:
    """All networks of a study, in order.

    A trained network's file is named after all that its weights depend on, so that a changed recipe or data set
    trains another network beside the first.
    """
    for spec in study.models:
        if spec.training is None:
            yield StudyModel(spec, None, spec.checkpoint)
            continue
        slug = re.sub(r"[^a-z0-9]+", "-", spec.label.lower()).strip("-") or spec.architecture
        recipe = _recipe_id(spec, dataset)
        for seed in spec.seeds:
            yield StudyModel(
                spec, seed, study.output / CHECKPOINT_FOLDER / f"{slug}-{recipe[:8]}-seed{seed}.safetensors"
            )


def _recipe_id(spec: ModelSpec, dataset: Dataset) -> str:
    """Hash of what is stated; what is left at its default is not in it, so that a new key retrains nothing."""
    stated = spec.model_dump(mode="json", exclude=KEYS_WITHOUT_EFFECT_ON_WEIGHTS, exclude_defaults=True)
    definition = source_hash(spec)
    return identity_of([stated, dataset.dataset_id, *([] if definition is None else [definition])])


def train_missing(
    study: Study, dataset: Dataset, on_epoch: Callable[[StudyModel, EpochMetrics], None] = lambda _entry, _epoch: None
) -> list[Path]:
    """Train each network whose checkpoint is missing; gives the files that were made."""
    missing = [entry for entry in study_models(study, dataset) if entry.seed is not None and not entry.is_there]
    if not missing:
        return []
    for spec in study.models:
        resolve_architecture(spec.architecture)  # a name that nobody knows is said before hours of training
    train_set = open_dataset(study.dataset, study.cache, split="train")
    device = choose_device(study.evaluation.device)
    made = []
    for entry in missing:
        assert entry.seed is not None
        assert entry.path is not None

        def report(epoch: EpochMetrics, entry: StudyModel = entry) -> None:
            on_epoch(entry, epoch)

        made.append(
            train_model(
                entry.spec,
                entry.seed,
                train_set=train_set,
                test_set=dataset,
                path=entry.path,
                device=device,
                on_epoch=report,
            )
        )
    return made


def load_study_models(study: Study, dataset: Dataset) -> list[Model]:
    """Load every network of a study, each checked against the data set by a forward pass of one image.

    Raises:
        ModelError: one is not trained yet, cannot be built or fetched, or does not fit.
    """
    zoo = []
    for entry in study_models(study, dataset):
        if not entry.is_there:
            raise ModelError(f"model {entry.label!r} is not trained yet: run `failmodes train` first")
        model = load_model(entry.spec, dataset.class_names, entry.path)
        zoo.append(check_model_outputs(model, dataset))
    return zoo
