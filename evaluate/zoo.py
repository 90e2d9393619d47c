"""The study's networks: which checkpoint each one is, trained where it is missing."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from evaluate.devices import choose_device
from evaluate.models.checkpoints import Model, load_checkpoint
from evaluate.specification import ModelSpec
from evaluate.study import Study
from evaluate.training import Epoch, train
from ingest.datasets import Dataset, open_dataset
from warehouse.errors import ModelError
from warehouse.identity import identity_of

CHECKPOINTS = "checkpoints"


class Entry(NamedTuple):
    """One network of a study: its specification, its training seed (None for a given checkpoint), its file."""

    spec: ModelSpec
    seed: int | None
    path: Path

    @property
    def label(self) -> str:
        """What to call it while it is trained."""
        return (
            self.spec.label
            if self.seed is None or len(self.spec.seeds) == 1
            else f"{self.spec.label}, seed {self.seed}"
        )


def entries(study: Study, dataset: Dataset) -> Iterator[Entry]:
    """All networks of a study, in order.

    A trained network's file is named after all that its weights depend on, so that a changed recipe or data set
    trains another network beside the first.
    """
    for spec in study.models:
        if spec.checkpoint is not None:
            yield Entry(spec, None, spec.checkpoint)
            continue
        slug = re.sub(r"[^a-z0-9]+", "-", spec.label.lower()).strip("-") or spec.architecture
        recipe = identity_of([spec.model_dump(mode="json", exclude={"label", "seeds"}), dataset.dataset_id])
        for seed in spec.seeds:
            yield Entry(spec, seed, study.output / CHECKPOINTS / f"{slug}-{recipe[:8]}-seed{seed}.safetensors")


def train_missing(
    study: Study, dataset: Dataset, on_epoch: Callable[[Entry, Epoch], None] = lambda _entry, _epoch: None
) -> list[Path]:
    """Train each network whose checkpoint is missing; gives the files that were made."""
    missing = [entry for entry in entries(study, dataset) if not entry.path.exists()]
    if not missing:
        return []
    train_set = open_dataset(study.dataset, study.cache, split="train")
    device = choose_device(study.evaluation.device)
    made = []
    for entry in missing:
        assert entry.seed is not None

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
    """Load every network of a study.

    Raises:
        ModelError: one is not trained yet, or does not fit.
    """
    zoo = []
    for entry in entries(study, dataset):
        if not entry.path.exists():
            raise ModelError(f"model {entry.label!r} is not trained yet: run `failmodes train` first")
        zoo.append(load_checkpoint(entry.path, entry.spec, dataset.class_names))
    return zoo
