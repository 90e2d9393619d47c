"""From a recipe to a published checkpoint."""

import json
from collections.abc import Callable
from pathlib import Path

import torch

from evaluate.models.architectures import STEM
from evaluate.models.building import build_module
from evaluate.models.checkpoints import save_checkpoint
from evaluate.models.network import channels_last
from evaluate.specification import ModelSpec, Normalisation
from evaluate.training.batches import default_workers
from evaluate.training.learner import Epoch, Learner
from evaluate.training.measuring import measure_accuracy, measure_normalisation
from ingest.datasets import Dataset
from ingest.subset import choose_images

STATE_SUFFIX = ".resume.pt"


def train(
    spec: ModelSpec,
    seed: int,
    *,
    train_set: Dataset,
    test_set: Dataset,
    path: Path,
    device: torch.device,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    workers: int | None = None,
) -> Path:
    """Train a network and publish it at `path` with its recipe, seed and measured accuracy inside.

    Args:
        spec: the model, with a training recipe.
        seed: seed of initial weights, order, augmentation and dropout.
        train_set: images to learn from.
        test_set: images whose accuracy is measured at the end, never learnt from.
        path: where the `.safetensors` goes; the state between epochs lies beside it until then.
        device: where to train.
        on_epoch: called after each epoch.
        workers: processes that augment images for AugMix and TrivialAugment; the weights do not depend on it. As many
            as the machine bears if None.

    Returns:
        `path`.

    Raises:
        ModelError: the network gives no logits, training diverged (the state of the last good epoch stays beside
            `path`), or a worker died.
    """
    recipe = spec.training
    assert recipe is not None
    image_ids, _ = choose_images(train_set.labels, recipe.images)
    normalisation = spec.normalisation or measure_normalisation(train_set, image_ids)
    torch.manual_seed(seed)
    module = channels_last(build_module(spec, len(train_set.class_names)), device)
    learner = Learner(
        module, spec, seed, device, dataset=train_set, image_ids=image_ids, normalisation=normalisation,
        workers=default_workers(device) if workers is None else workers,
    )  # fmt: skip
    state_path = path.with_name(path.name + STATE_SUFFIX)
    for epoch in range(learner.resume(state_path), recipe.epochs):
        on_epoch(learner.run_epoch(epoch))
        learner.save(state_path, epoch + 1)
    accuracy = measure_accuracy(module, spec, normalisation, test_set, device)
    save_checkpoint(path, module, _metadata(spec, seed, train_set, test_set, len(image_ids), normalisation, accuracy))
    state_path.unlink(missing_ok=True)
    return path


def _metadata(
    spec: ModelSpec,
    seed: int,
    train_set: Dataset,
    test_set: Dataset,
    images: int,
    normalisation: Normalisation,
    accuracy: float,
) -> dict[str, str]:
    assert spec.training is not None
    return {
        "architecture": spec.architecture,
        **({"width": str(spec.width), "stem": STEM} if spec.is_ours else {}),
        "classes": str(len(train_set.class_names)),
        "class_names": json.dumps(train_set.class_names),
        "normalisation": normalisation.model_dump_json(),
        "recipe": spec.training.model_dump_json(),
        "augmentation": spec.training.augmentation_in_words,
        "seed": str(seed),
        "dataset": f"{train_set.label}, {train_set.split} split, {images:,} images",
        "precision": "float32",
        "clean_accuracy": f"{accuracy:.4f}",
        "measured_on": f"{test_set.label}, {test_set.split} split, {len(test_set.labels):,} images",
    }
