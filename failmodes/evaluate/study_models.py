"""The models of a study: their checkpoints, training of missing ones, and loading."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from failmodes.evaluate.devices import choose_device
from failmodes.evaluate.models.load import load_model
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.models.sources import resolve_architecture, to_download
from failmodes.evaluate.study.study_schema import OWN_CODE, ModelSpec, Study
from failmodes.evaluate.training import EpochMetrics, state_file, train_model
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.layout import open_dataset
from failmodes.runtime.errors import ModelError
from failmodes.runtime.hashing import identity_of
from failmodes.runtime.storage.locks import RUN_LOCK, file_lock

CHECKPOINT_FOLDER = "checkpoints"
KEYS_WITHOUT_EFFECT_ON_WEIGHTS = {"label", "seeds", "attention", "attention_layer"}


class StudyModel(NamedTuple):
    """One model of a study: its specification, its training seed (None unless trained here), and its file if any."""

    spec: ModelSpec
    seed: int | None
    path: Path | None

    @property
    def label(self) -> str:
        """Its label, with the seed if several are trained."""
        return self.spec.label_of(self.seed)

    @property
    def is_ready(self) -> bool:
        """Whether it needs no training: its file exists, or it needs none."""
        return self.path is None or self.path.exists()

    @property
    def to_download(self) -> str | None:
        """The command that downloads its weights; None if they are on this machine."""
        return to_download(self.spec) if self.path is None and self.spec.live is None else None


def study_models(study: Study, dataset: Dataset) -> Iterator[StudyModel]:
    """All models of a study, in order.

    A trained model's file is named after everything that its weights depend on, so that a changed recipe or dataset
    trains another model beside the first.
    """
    for spec in study.models:
        if spec.training is None:
            yield StudyModel(spec, None, spec.checkpoint)
            continue
        # without defaults, so that a new key of the study does not retrain models
        recipe_keys = spec.model_dump(mode="json", exclude=KEYS_WITHOUT_EFFECT_ON_WEIGHTS, exclude_defaults=True)
        architecture = resolve_architecture(spec.architecture)
        code = [architecture.module.definition(architecture.name)] if spec.source == OWN_CODE else []
        recipe = identity_of([recipe_keys, dataset.dataset_id, *code])
        for seed in spec.seeds:
            file = f"{spec.slug or spec.architecture}-{recipe[:8]}-seed{seed}.safetensors"
            yield StudyModel(spec, seed, study.output / CHECKPOINT_FOLDER / file)


def train_missing(
    study: Study, dataset: Dataset, on_epoch: Callable[[StudyModel, EpochMetrics], None] = lambda _model, _epoch: None
) -> list[Path]:
    """Train each model whose checkpoint is missing; returns the files written.

    Raises:
        WarehouseError: another run is training or evaluating into the same output folder.
        ModelError, StudyError, StorageError: as the message says.
    """
    for model in study_models(study, dataset):
        if model.seed is not None and model.path is not None and model.is_ready:
            # left by a training that was killed after writing its checkpoint
            state_file(model.path).unlink(missing_ok=True)
    if not _untrained(study, dataset):
        return []
    for spec in study.models:
        resolve_architecture(spec.architecture)  # report an unknown name before hours of training
    train_set = open_dataset(study.dataset, study.cache, split="train")
    device = choose_device(study.evaluation.device)
    message = f"another run ({{process}}) is training or evaluating into {study.output}: wait for it"
    with file_lock(study.output / RUN_LOCK, message):
        return [
            train_model(
                model.spec, seed, train_set=train_set, test_set=dataset, path=path, device=device,
                on_epoch=partial(on_epoch, model),
            )
            for model, seed, path in _untrained(study, dataset)  # again, since another run may have trained some
        ]  # fmt: skip


def _untrained(study: Study, dataset: Dataset) -> list[tuple[StudyModel, int, Path]]:
    return [
        (model, model.seed, model.path)
        for model in study_models(study, dataset)
        if model.seed is not None and model.path is not None and not model.is_ready
    ]


def load_study_models(study: Study, dataset: Dataset) -> list[Model]:
    """Load every model of a study, each checked against the dataset by a forward pass.

    Raises:
        StudyError: a model has an unknown architecture or other classes than the dataset, or required keys are missing.
        ModelError: a model is not trained yet, cannot be built or downloaded, or does not match its checkpoint.
    """
    models = []
    for study_model in study_models(study, dataset):
        if not study_model.is_ready:
            raise ModelError(f"model {study_model.label!r} is not trained yet: run `failmodes train` first")
        models.append(load_model(study_model.spec, dataset, study_model.path))
    return models
