"""The study's networks: which checkpoint each one is, trained where it is missing."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from evaluate.devices import choose_device
from evaluate.models.loading import check_fits, load_model
from evaluate.models.model import Model
from evaluate.models.naming import definition_of, resolve
from evaluate.specification import ModelSpec
from evaluate.study import Study
from evaluate.training import Epoch, train
from ingest.datasets import Dataset, open_dataset
from warehouse.errors import ModelError
from warehouse.identity import identity_of

CHECKPOINTS = "checkpoints"
NOT_OF_WEIGHTS = {"label", "seeds", "attention", "attention_layer"}  # what trained weights do not depend on


class Entry(NamedTuple):
    """One network of a study: its specification, its training seed (None unless trained here), its file if any."""

    spec: ModelSpec
    seed: int | None
    path: Path | None

    @property
    def label(self) -> str:
        """What to call it while it is trained."""
        return (
            self.spec.label
            if self.seed is None or len(self.spec.seeds) == 1
            else f"{self.spec.label}, seed {self.seed}"
        )

    @property
    def is_there(self) -> bool:
        """Whether it need not be trained: its file is there, or it needs none."""
        return self.path is None or self.path.exists()


def entries(study: Study, dataset: Dataset) -> Iterator[Entry]:
    """All networks of a study, in order.

    A trained network's file is named after all that its weights depend on, so that a changed recipe or data set
    trains another network beside the first.
    """
    for spec in study.models:
        if spec.training is None:
            yield Entry(spec, None, spec.checkpoint)
            continue
        slug = re.sub(r"[^a-z0-9]+", "-", spec.label.lower()).strip("-") or spec.architecture
        recipe = _recipe_id(spec, dataset)
        for seed in spec.seeds:
            yield Entry(spec, seed, study.output / CHECKPOINTS / f"{slug}-{recipe[:8]}-seed{seed}.safetensors")


def _recipe_id(spec: ModelSpec, dataset: Dataset) -> str:
    """Hash of what is stated; what is left at its default is not in it, so that a new key retrains nothing."""
    stated = spec.model_dump(mode="json", exclude=NOT_OF_WEIGHTS, exclude_defaults=True)
    definition = definition_of(spec)
    return identity_of([stated, dataset.dataset_id, *([] if definition is None else [definition])])


def train_missing(
    study: Study, dataset: Dataset, on_epoch: Callable[[Entry, Epoch], None] = lambda _entry, _epoch: None
) -> list[Path]:
    """Train each network whose checkpoint is missing; gives the files that were made."""
    missing = [entry for entry in entries(study, dataset) if entry.seed is not None and not entry.is_there]
    if not missing:
        return []
    for spec in study.models:
        resolve(spec.architecture)  # a name that nobody knows is said before hours of training
    train_set = open_dataset(study.dataset, study.cache, split="train")
    device = choose_device(study.evaluation.device)
    made = []
    for entry in missing:
        assert entry.seed is not None
        assert entry.path is not None

        def report(epoch: Epoch, entry: Entry = entry) -> None:
            on_epoch(entry, epoch)

        made.append(
            train(
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


def load_zoo(study: Study, dataset: Dataset) -> list[Model]:
    """Load every network of a study, each checked against the data set by a forward pass of one image.

    Raises:
        ModelError: one is not trained yet, cannot be built or fetched, or does not fit.
    """
    zoo = []
    for entry in entries(study, dataset):
        if not entry.is_there:
            raise ModelError(f"model {entry.label!r} is not trained yet: run `failmodes train` first")
        model = load_model(entry.spec, dataset.class_names, entry.path)
        zoo.append(check_fits(model, dataset))
    return zoo
