"""Training by a recipe: SGD with Nesterov momentum, a one-cycle rate, crop and flip; resumed after a kill.

Each epoch draws its order, crops and flips from (seed, epoch), and the state is published after each epoch, so that a
run killed at any instant goes on from its last whole epoch and sees the same batches as an undisturbed one.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from evaluate.devices import runs_bfloat16
from evaluate.models.architectures import ARCHITECTURES, STEM
from evaluate.models.checkpoints import save_checkpoint
from evaluate.models.network import channels_last, prepare
from evaluate.specification import ModelSpec, Normalisation, TrainingSpec
from ingest.datasets import Dataset
from ingest.subset import choose_images
from warehouse.publish import publish

STATE_SUFFIX = ".resume.pt"


class Epoch(NamedTuple):
    """What one epoch reports: its number from 1, of how many, its mean loss in nats and training accuracy, 0–1."""

    number: int
    of: int
    loss_nats: float
    accuracy: float


def train(
    spec: ModelSpec,
    seed: int,
    *,
    train_set: Dataset,
    test_set: Dataset,
    path: Path,
    device: torch.device,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Path:
    """Train a network and publish it at `path` with its recipe, seed and measured accuracy inside.

    Args:
        spec: the model, with a training recipe.
        seed: seed of initial weights, order, crops and flips.
        train_set: images to learn from.
        test_set: images whose accuracy is measured at the end, never learnt from.
        path: where the `.safetensors` goes; the state between epochs lies beside it until then.
        device: where to train.
        on_epoch: called after each epoch.

    Returns:
        `path`.
    """
    recipe = spec.training
    assert recipe is not None
    image_ids, _ = choose_images(train_set.labels, recipe.images)
    normalisation = spec.normalisation or measure_normalisation(train_set, image_ids)
    torch.manual_seed(seed)
    module = ARCHITECTURES[spec.architecture].build(len(train_set.class_names), spec.width)
    module = channels_last(module, device)
    learner = _Learner(module, recipe, seed, device, len(image_ids))
    state_path = path.with_name(path.name + STATE_SUFFIX)
    for epoch in range(learner.resume(state_path), recipe.epochs):
        on_epoch(learner.run_epoch(epoch, train_set, image_ids, normalisation))
        learner.save(state_path, epoch + 1)
    accuracy = measure_accuracy(module, spec, normalisation, test_set, device)
    save_checkpoint(path, module, _metadata(spec, seed, train_set, test_set, len(image_ids), normalisation, accuracy))
    state_path.unlink(missing_ok=True)
    return path


def measure_normalisation(dataset: Dataset, image_ids: np.ndarray) -> Normalisation:
    """Mean and standard deviation of each channel over all pixels of the training images, of values / 255."""
    total, squares, pixels = np.zeros(3), np.zeros(3), 0
    for start in range(0, len(image_ids), 1024):
        block = np.asarray(dataset.images[image_ids[start : start + 1024]], np.float64).reshape(-1, 3) / 255
        total, squares, pixels = total + block.sum(0), squares + (block**2).sum(0), pixels + len(block)
    mean = total / pixels
    std = np.sqrt(np.maximum(squares / pixels - mean**2, 1e-6))
    return Normalisation(mean=tuple(mean.round(4).tolist()), std=tuple(std.round(4).tolist()))


def measure_accuracy(
    module: nn.Module, spec: ModelSpec, normalisation: Normalisation, dataset: Dataset, device: torch.device
) -> float:
    """Share of a data set's images that the network classifies correctly, in float32."""
    network = prepare(module, spec.architecture, normalisation, device, "float32")
    correct = 0
    for start in range(0, len(dataset.labels), 256):
        logits = network.predict(dataset.images[start : start + 256])
        correct += int((logits.argmax(1).cpu().numpy() == dataset.labels[start : start + 256]).sum())
    return correct / len(dataset.labels)


def augment(
    images: torch.Tensor, recipe: TrainingSpec, generator: torch.Generator, fill: torch.Tensor | float = 0.0
) -> torch.Tensor:
    """Random crop after padding, then a horizontal flip with probability ½, each image its own draw.

    Args:
        images: (N, 3, H, W) normalised floats.
        recipe: padding in pixels, and whether to flip.
        generator: source of the draws, on the CPU so that they are the same for every device.
        fill: value of the padding: 0 is the mean pixel after normalisation.
    """
    count, _, height, width = images.shape
    pad = recipe.crop_padding_px
    if pad:
        padded = functional.pad(images - fill, (pad, pad, pad, pad)) + fill
        top = torch.randint(0, 2 * pad + 1, (count, 1), generator=generator)
        left = torch.randint(0, 2 * pad + 1, (count, 1), generator=generator)
        rows = (top + torch.arange(height)).to(images.device)
        columns = (left + torch.arange(width)).to(images.device)
        index = torch.arange(count, device=images.device)[:, None, None]
        images = padded.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    if recipe.flip:
        flipped = (torch.rand(count, generator=generator) < 0.5).to(images.device)
        images = torch.where(flipped[:, None, None, None], images.flip(3), images)
    return images


class _Learner:
    """Optimiser, schedule and epochs of one training run."""

    def __init__(self, module: nn.Module, recipe: TrainingSpec, seed: int, device: torch.device, images: int) -> None:
        self.module, self.recipe, self.seed, self.device = module, recipe, seed, device
        self.batches = max(1, images // recipe.batch_size)  # a last, smaller batch is left out: batch norm needs many
        self.optimiser = torch.optim.SGD(
            module.parameters(),
            lr=recipe.peak_learning_rate,
            momentum=recipe.momentum,
            nesterov=recipe.momentum > 0,
            weight_decay=recipe.weight_decay,
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, max_lr=recipe.peak_learning_rate, total_steps=self.batches * recipe.epochs
        )

    def run_epoch(self, epoch: int, dataset: Dataset, image_ids: np.ndarray, normalisation: Normalisation) -> Epoch:
        self.module.train()
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = image_ids[torch.randperm(len(image_ids), generator=generator).numpy()]
        size = self.recipe.batch_size
        mean, std = (
            torch.tensor(v, device=self.device).view(1, 3, 1, 1) for v in (normalisation.mean, normalisation.std)
        )
        loss_sum = torch.zeros((), device=self.device)
        correct = torch.zeros((), device=self.device)
        seen = 0
        for batch in range(self.batches):
            chosen = order[batch * size : (batch + 1) * size]
            pixels = torch.from_numpy(np.ascontiguousarray(dataset.images[chosen])).to(self.device)
            inputs = augment((pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std, self.recipe, generator)
            labels = torch.from_numpy(dataset.labels[chosen]).to(self.device)
            logits, loss = self._step(inputs.contiguous(memory_format=torch.channels_last), labels)
            loss_sum += loss * len(chosen)
            correct += (logits.argmax(1) == labels).sum()
            seen += len(chosen)
        return Epoch(epoch + 1, self.recipe.epochs, float(loss_sum) / seen, float(correct) / seen)

    def _step(self, inputs: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=runs_bfloat16(self.device)):
            logits = self.module(inputs)
            loss = functional.cross_entropy(logits, labels)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.schedule.step()
        return logits.detach(), loss.detach()

    def save(self, path: Path, epochs_done: int) -> None:
        state = {
            "recipe": self.recipe.model_dump_json(),
            "seed": self.seed,
            "epochs_done": epochs_done,
            "module": self.module.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
        }
        with publish(path) as temporary:
            torch.save(state, temporary)

    def resume(self, path: Path) -> int:
        """Load the state of a killed run of the same recipe and seed; gives the number of epochs done."""
        with suppress(FileNotFoundError):
            state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
            if (state["recipe"], state["seed"]) == (self.recipe.model_dump_json(), self.seed):
                self.module.load_state_dict(state["module"])
                self.optimiser.load_state_dict(state["optimiser"])
                self.schedule.load_state_dict(state["schedule"])
                return int(state["epochs_done"])
        return 0


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
        "width": str(spec.width),
        "stem": STEM,
        "classes": str(len(train_set.class_names)),
        "class_names": json.dumps(train_set.class_names),
        "normalisation": normalisation.model_dump_json(),
        "recipe": spec.training.model_dump_json(),
        "seed": str(seed),
        "dataset": f"{train_set.label}, {train_set.split} split, {images:,} images",
        "precision": "float32",
        "clean_accuracy": f"{accuracy:.4f}",
        "measured_on": f"{test_set.label}, {test_set.split} split, {len(test_set.labels):,} images",
    }
