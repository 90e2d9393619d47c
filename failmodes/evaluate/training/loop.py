"""From a recipe to a checkpoint, with the normalization and the accuracy that training measures."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from failmodes.evaluate.models.checkpoints import save_checkpoint
from failmodes.evaluate.models.model import Model, to_channels_last
from failmodes.evaluate.models.preprocessing import Preprocessing
from failmodes.evaluate.models.sources import build_module
from failmodes.evaluate.study.study_schema import BUILTIN, STEM, ModelSpec, Normalization
from failmodes.evaluate.training.data import default_workers
from failmodes.evaluate.training.trainer import EpochMetrics, Trainer
from failmodes.ingest.datasets.dataset import Dataset, balanced_subset

STATE_SUFFIX = ".resume.pt"


def state_file(path: Path) -> Path:
    """The file beside a checkpoint that training goes on from; of no use once the checkpoint is there."""
    return path.with_name(path.name + STATE_SUFFIX)


def train_model(
    spec: ModelSpec,
    seed: int,
    *,
    train_set: Dataset,
    test_set: Dataset,
    path: Path,
    device: torch.device,
    on_epoch: Callable[[EpochMetrics], None] = lambda _: None,
    workers: int | None = None,
) -> Path:
    """Train a model and write it to `path` with its recipe, seed and measured accuracy inside.

    Args:
        spec: the model, with a training recipe.
        seed: seed of initial weights, order, augmentation and dropout.
        train_set: images to learn from.
        test_set: images whose accuracy is measured at the end, never learnt from.
        path: where the `.safetensors` goes; the state between epochs lies beside it until then.
        device: where to train.
        on_epoch: called after each epoch.
        workers: processes that augment images for AugMix and TrivialAugment; the weights do not depend on it.
            `default_workers` if None.

    Returns:
        `path`.

    Raises:
        ModelError: the model gives no logits, training diverged (the state of the last good epoch stays beside
            `path`), or a worker died.
    """
    recipe = spec.training
    assert recipe is not None
    image_ids, _ = balanced_subset(train_set.labels, recipe.images)
    normalization = spec.normalization or channel_mean_std(train_set, image_ids)
    torch.manual_seed(seed)
    module = to_channels_last(build_module(spec, len(train_set.class_names)), device)
    trainer = Trainer(
        module, spec, seed, device, dataset=train_set, image_ids=image_ids, normalization=normalization,
        workers=default_workers(device) if workers is None else workers,
    )  # fmt: skip
    state_path = state_file(path)
    for epoch in range(trainer.resume(state_path), recipe.epochs):
        on_epoch(trainer.run_epoch(epoch))
        trainer.save(state_path, epoch + 1)
    model = Model(module=module, spec=spec, architecture=spec.architecture, preprocessing=Preprocessing(normalization))
    accuracy = measure_accuracy(model.to(device), test_set)
    metadata = {
        "architecture": spec.architecture,
        **({"width": str(spec.width), "stem": STEM} if spec.source == BUILTIN else {}),
        "classes": str(len(train_set.class_names)),
        "class_names": json.dumps(train_set.class_names),
        "normalization": normalization.model_dump_json(),
        "recipe": recipe.model_dump_json(),
        "augmentation": recipe.augmentation_in_words,
        "seed": str(seed),
        "dataset": f"{train_set.label}, {train_set.split} split, {len(image_ids):,} images",
        "precision": "float32",
        "clean_accuracy": f"{accuracy:.4f}",
        "measured_on": f"{test_set.label}, {test_set.split} split, {len(test_set.labels):,} images",
    }
    save_checkpoint(path, module, metadata)
    state_path.unlink(missing_ok=True)
    return path


def channel_mean_std(dataset: Dataset, image_ids: np.ndarray) -> Normalization:
    """Mean and standard deviation of each channel over all pixels of the training images, of values / 255."""
    total, squares, pixels = np.zeros(3), np.zeros(3), 0
    for start in range(0, len(image_ids), 1024):
        batch = np.asarray(dataset.images[image_ids[start : start + 1024]], np.float64).reshape(-1, 3) / 255
        total, squares, pixels = total + batch.sum(0), squares + (batch**2).sum(0), pixels + len(batch)
    mean = total / pixels
    std = np.sqrt(np.maximum(squares / pixels - mean**2, 1e-6))
    return Normalization(mean=tuple(mean.round(4).tolist()), std=tuple(std.round(4).tolist()))


def measure_accuracy(model: Model, dataset: Dataset) -> float:
    """Share of a data set's images that the model classifies correctly."""
    correct = 0
    for start in range(0, len(dataset.labels), 256):
        logits = model.predict(dataset.images[start : start + 256])
        correct += int((logits.argmax(1).cpu().numpy() == dataset.labels[start : start + 256]).sum())
    return correct / len(dataset.labels)
