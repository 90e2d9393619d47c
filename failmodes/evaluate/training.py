"""Training by a recipe: crop and flip, AugMix or TrivialAugment; SGD or AdamW; resumed after a kill.

Order, crops and flips of an epoch are seeded by (seed, epoch), the augmentation of an image by (seed, epoch, image),
and the state is written after each epoch. So a killed run resumes from its last finished epoch with the same batches as
an uninterrupted one, for any number of worker processes.
"""

import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as Items
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from failmodes.evaluate.child_processes import begin_worker, identity_collate, interrupts_blocked
from failmodes.evaluate.devices import runs_bfloat16
from failmodes.evaluate.models.checkpoints import read_pickled, save_checkpoint
from failmodes.evaluate.models.model import Model, to_channels_last
from failmodes.evaluate.models.preprocessing import Preprocessing
from failmodes.evaluate.models.sources import build_module
from failmodes.evaluate.study.study_schema import BUILTIN, STEM, Augmentation, ModelSpec, Normalization, TrainingSpec
from failmodes.ingest.datasets.dataset import Dataset, ImageArray, balanced_subset
from failmodes.runtime.errors import ModelError, StorageError, StudyError, first_line
from failmodes.runtime.storage.files import atomic_write

STATE_SUFFIX = ".resume.pt"
MAX_GRADIENT_NORM = 1.0
# Learned tokens and positions by their usual names; timm models list further ones
NO_WEIGHT_DECAY = {
    "pos_embed", "pos_embedding", "cls_token", "class_token", "dist_token", "relative_position_bias_table",
}  # fmt: skip
MAX_WORKERS = 8
AugmentationPolicy = Callable[[torch.Tensor], torch.Tensor]  # one uint8 image (3, H, W), augmented
BatchIndices = tuple[int, NDArray[np.int64]]  # the epoch from 0, and the indices (N,) of images in the dataset
Batch = tuple[NDArray[np.uint8], NDArray[np.int64]]  # augmented images (N, 3, H, W), and their labels (N,)

# Augmentation of an image before crop and flip, by torchvision with its defaults. AugMix is the augmentation chain of
# Hendrycks et al. 2020 (arXiv:1912.02781), all operations, without the paper's Jensen–Shannon loss: each image is seen
# once per epoch, with cross-entropy. TrivialAugment is the wide space of Müller & Hutter 2021 (arXiv:2103.10158)
POLICIES: dict[Augmentation, AugmentationPolicy] = {"augmix": v2.AugMix(), "trivialaugment": v2.TrivialAugmentWide()}


class _AugmentedImages(Items[Batch]):
    """Images of a batch, each augmented with random numbers seeded by (seed, epoch, image).

    Each worker has a copy. The random state of its process is not changed.
    """

    def __init__(self, images: ImageArray, labels: NDArray[np.int64], augmentation: Augmentation, seed: int) -> None:
        self.images = images
        self.labels = labels
        self.policy = POLICIES.get(augmentation)
        self.seed = seed

    def __getitem__(self, batch: BatchIndices) -> Batch:
        epoch, image_ids = batch
        pixels = np.ascontiguousarray(self.images[image_ids].transpose(0, 3, 1, 2))
        if self.policy is not None:
            with torch.random.fork_rng(devices=[]):
                for image, image_id in zip(torch.from_numpy(pixels), image_ids.tolist(), strict=True):
                    # torchvision transforms use torch's default generator
                    torch.default_generator.manual_seed(image_seed(self.seed, epoch, image_id))
                    image.copy_(self.policy(image))
        return pixels, self.labels[image_ids]


def training_batches(
    dataset: Dataset, augmentation: Augmentation, seed: int, indices: Iterable[BatchIndices], workers: int
) -> Iterator[Batch]:
    """Yield augmented images (N, 3, H, W) and labels (N,) of each batch, the same for any number of workers.

    Args:
        dataset: training images.
        augmentation: augmentation before crop and flip.
        seed: seed of the augmentation.
        indices: batches of all epochs.
        workers: number of processes that prepare batches; not used without augmentation.

    Raises:
        ModelError: a worker died.
    """
    workers = workers if augmentation in POLICIES else 0
    loader: DataLoader[Any] = DataLoader(
        _AugmentedImages(dataset.images, dataset.labels, augmentation, seed),
        batch_size=None,
        sampler=indices,
        num_workers=workers,
        collate_fn=identity_collate,
        worker_init_fn=begin_worker,
        # a forked worker shares the memory map; forking is only safe on Linux
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
        generator=torch.Generator(),  # otherwise it would use torch's default generator
    )
    try:
        with interrupts_blocked():  # starts the workers
            batches = iter(loader)
        yield from batches
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise ModelError(
            "a process that augments training images was killed, most likely out of memory: free some and train"
            " again, which resumes from the last finished epoch"
        ) from error


def default_workers(device: torch.device) -> int:
    """0 on a CPU with at most two cores, which the model needs; otherwise one less than cores, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 0 if device.type == "cpu" and cores <= 2 else min(MAX_WORKERS, cores - 1)


def image_seed(seed: int, epoch: int, image_id: int) -> int:
    """Seed of one image's augmentation, 32 bits, mixed so that adjacent values give independent seeds."""
    return int(np.random.SeedSequence((seed, epoch, image_id)).generate_state(1)[0])


def random_crop_and_flip(images: torch.Tensor, recipe: TrainingSpec, generator: torch.Generator) -> torch.Tensor:
    """Random crop after padding, then a horizontal flip with probability ½, sampled for each image.

    Args:
        images: (N, 3, H, W) normalized floats; they are padded with 0, the mean pixel.
        recipe: the training recipe.
        generator: random numbers, on the CPU so that they are the same for every device.
    """
    count, _, height, width = images.shape
    pad = recipe.crop_padding_px
    if pad:
        top, left = (torch.randint(0, 2 * pad + 1, (count,), generator=generator).tolist() for _ in range(2))
        padded = functional.pad(images, [pad])
        crops = zip(padded, top, left, strict=True)
        images = torch.stack([functional.crop(image, y, x, height, width) for image, y, x in crops])
    if recipe.flip:
        flipped = (torch.rand(count, generator=generator) < 0.5).to(images.device)
        images = torch.where(flipped[:, None, None, None], functional.horizontal_flip(images), images)
    return images


class EpochMetrics(NamedTuple):
    """Metrics of an epoch: its number from 1, the total, mean loss in nats and training accuracy, 0–1."""

    number: int
    total: int
    loss_nats: float
    accuracy: float


def state_file(path: Path) -> Path:
    """The file beside a checkpoint from which training resumes; obsolete once the checkpoint exists."""
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
    """Train a model and write it to `path`, with recipe, seed and measured accuracy in its metadata.

    Args:
        spec: the model, with a training recipe.
        seed: seed of initial weights, order, augmentation and dropout.
        train_set: training images.
        test_set: images to measure accuracy on at the end.
        path: the `.safetensors` to write; the state between epochs is beside it.
        device: where to train.
        on_epoch: called after each epoch.
        workers: number of processes for AugMix and TrivialAugment; the weights do not depend on it. Default:
            `default_workers`.

    Returns:
        `path`.

    Raises:
        StudyError: the model does not return logits.
        ModelError: training diverged (the state of the last good epoch remains beside `path`), that state is damaged,
            or a worker died.
    """
    trainer = Trainer(spec, seed, train_set, device)
    state_path = state_file(path)
    recipe = trainer.recipe
    epochs = range(trainer.resume(state_path), recipe.epochs)
    batches = training_batches(
        train_set, recipe.augmentation, seed, trainer.batch_indices(epochs),
        default_workers(device) if workers is None else workers,
    )  # fmt: skip
    for epoch in epochs:
        on_epoch(trainer.run_epoch(epoch, islice(batches, trainer.batch_count)))
        trainer.save(state_path, epoch + 1)
    preprocessing = Preprocessing(trainer.normalization)
    model = Model(module=trainer.module, spec=spec, architecture=spec.architecture, preprocessing=preprocessing)
    metadata = {
        "architecture": spec.architecture,
        **({"width": str(spec.width), "stem": STEM} if spec.source == BUILTIN else {}),
        "classes": str(len(train_set.class_names)),
        "class_names": json.dumps(train_set.class_names),
        "normalization": trainer.normalization.model_dump_json(),
        "recipe": recipe.model_dump_json(),
        "augmentation": recipe.augmentation_in_words,
        "seed": str(seed),
        "dataset": f"{train_set.label}, {train_set.split} split, {len(trainer.image_ids):,} images",
        "precision": "float32",
        "clean_accuracy": f"{measure_accuracy(model.to(device), test_set):.4f}",
        "measured_on": f"{test_set.label}, {test_set.split} split, {len(test_set.labels):,} images",
    }
    save_checkpoint(path, trainer.module, metadata)
    state_path.unlink(missing_ok=True)
    return path


class Trainer:
    """One training run: the model, its optimizer and schedule, and their state between epochs.

    Args:
        spec: the model, with a training recipe; its forward returns logits (N, C).
        seed: training seed, of initial weights, order, augmentation and dropout.
        dataset: training images.
        device: where to train.
    """

    def __init__(self, spec: ModelSpec, seed: int, dataset: Dataset, device: torch.device) -> None:
        assert spec.training is not None
        self.spec = spec
        self.recipe = spec.training
        self.seed = seed
        self.dataset = dataset
        self.device = device
        self.image_ids, _ = balanced_subset(dataset.labels, self.recipe.images)
        self.normalization = spec.normalization or channel_mean_std(dataset, self.image_ids)
        # the last, smaller batch is skipped: batch norm needs many images
        self.batch_count = max(1, len(self.image_ids) // self.recipe.batch_size)
        torch.manual_seed(seed)
        self.module = to_channels_last(build_module(spec, len(dataset.class_names)), device)
        self.optimizer = build_optimizer(self.module, self.recipe)
        # one cycle (Smith & Topin 2019) over all steps, also of SGD's momentum; AdamW's β₁ is constant
        self.schedule = OneCycleLR(
            self.optimizer, max_lr=self.recipe.peak_learning_rate, total_steps=self.batch_count * self.recipe.epochs,
            cycle_momentum=self.recipe.optimizer == "sgd",
        )  # fmt: skip
        self.stateful: dict[str, Any] = {"module": self.module, "optimizer": self.optimizer, "schedule": self.schedule}

    def batch_indices(self, epochs: Iterable[int]) -> Iterator[BatchIndices]:
        """The batches of epochs, numbered from 0."""
        for epoch in epochs:
            order, _ = self._shuffled(epoch)
            batches = np.split(order[: self.batch_count * self.recipe.batch_size], self.batch_count)
            yield from ((epoch, image_ids) for image_ids in batches)

    def _shuffled(self, epoch: int) -> tuple[NDArray[np.int64], torch.Generator]:
        """The images in the order of an epoch, and the generator of its crops and flips."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        return self.image_ids[torch.randperm(len(self.image_ids), generator=generator).numpy()], generator

    def run_epoch(self, epoch: int, batches: Iterable[Batch]) -> EpochMetrics:
        """Train on the batches of an epoch, numbered from 0.

        Raises:
            StudyError: the model does not give one tensor of logits, one per class.
            ModelError: the loss or the weights are no longer finite.
        """
        self.module.train()
        _, generator = self._shuffled(epoch)
        torch.manual_seed(generator.initial_seed())  # for dropout: a resumed run equals an uninterrupted one
        losses = []
        hits = []
        for images, targets in batches:
            pixels, labels = (torch.from_numpy(values).to(self.device) for values in (images, targets))
            inputs = functional.normalize(
                pixels.float() / 255, list(self.normalization.mean), list(self.normalization.std)
            )
            inputs = random_crop_and_flip(inputs, self.recipe, generator)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=runs_bfloat16(self.device)):
                logits = self.module(inputs.contiguous(memory_format=torch.channels_last))
                self._check_logits(logits, len(labels))
                loss = nn.functional.cross_entropy(logits, labels)
            self.optimizer.zero_grad()
            torch.autograd.backward(loss)
            clip_gradients(self.module, self.recipe)
            self.optimizer.step()
            self.schedule.step()
            losses.append(loss.detach())
            hits.append(logits.argmax(1) == labels)
        mean_loss, accuracy = float(torch.stack(losses).mean()), float(torch.cat(hits).float().mean())
        self._check_finite(mean_loss, epoch + 1)
        return EpochMetrics(epoch + 1, self.recipe.epochs, mean_loss, accuracy)

    def _check_logits(self, logits: Any, count: int) -> None:
        expected = (count, len(self.dataset.class_names))
        returned = tuple(logits.shape) if isinstance(logits, torch.Tensor) else f"a {type(logits).__name__}"
        if returned != expected:
            raise StudyError(
                f"model {self.spec.label!r}: {self.spec.architecture} returns {returned}, but training needs one "
                f"tensor of logits {expected}: switch off its auxiliary outputs, or choose another architecture"
            )

    def _check_finite(self, loss_nats: float, number: int) -> None:
        floats = [value for value in self.module.state_dict().values() if value.is_floating_point()]
        rate = self.recipe.peak_learning_rate
        if not np.isfinite(loss_nats) or not all(bool(value.isfinite().all()) for value in floats):
            raise ModelError(
                f"model {self.spec.label!r}, seed {self.seed}: training diverged in epoch {number} of "
                f"{self.recipe.epochs} (loss {loss_nats:g} nats) at peak_learning_rate {rate:g}: lower it, for example "
                f"to {rate / 10:g}"
            )

    def save(self, path: Path, epochs_done: int) -> None:
        """Write the state between two epochs, atomically."""
        state = {"recipe": self.recipe.model_dump_json(), "seed": self.seed, "epochs_done": epochs_done}
        buffer = io.BytesIO()  # since `torch.save` does not report a full disk clearly
        torch.save(state | {name: part.state_dict() for name, part in self.stateful.items()}, buffer)
        with atomic_write(path) as temporary:
            temporary.write_bytes(buffer.getbuffer())

    def resume(self, path: Path) -> int:
        """Load the state of a killed run of the same recipe and seed; returns the number of finished epochs.

        Raises:
            ModelError: the file is damaged, or not a training state.
            StorageError: it is not a regular file or cannot be read.
        """
        if not path.exists():
            return 0
        try:
            state = read_pickled(path, self.device)
            if (state["recipe"], state["seed"]) != (self.recipe.model_dump_json(), self.seed):
                return 0
            for name, part in self.stateful.items():
                part.load_state_dict(state[name])
            done = int(state["epochs_done"])
            if not 0 <= done <= self.recipe.epochs:
                raise ValueError(f"{done} epochs finished of {self.recipe.epochs}")
            return done
        except (StorageError, MemoryError):
            raise
        except Exception as error:  # any error of torch for invalid content
            raise ModelError(
                f"{path} is not a valid training state ({first_line(error)}): remove it to restart training"
            ) from error


def build_optimizer(module: nn.Module, recipe: TrainingSpec) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum on all parameters, or AdamW.

    AdamW (Loshchilov & Hutter 2019) does not decay norms, biases, positions, class tokens and parameters that a timm
    model exempts, as is usual for transformers (Touvron et al. 2021); momentum is β₁, and β₂ is 0.999.
    """
    rate = recipe.peak_learning_rate
    momentum = recipe.momentum
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            module.parameters(), lr=rate, momentum=momentum, nesterov=momentum > 0, weight_decay=recipe.weight_decay
        )
    no_weight_decay = getattr(module, "no_weight_decay", None)  # a method of timm models
    of_timm = set(cast(Any, no_weight_decay)()) if callable(no_weight_decay) else set()
    named = list(module.named_parameters())
    exempt = {n for n, p in named if p.ndim <= 1 or n in of_timm or n.rsplit(".", 1)[-1] in NO_WEIGHT_DECAY}
    groups = [
        {"params": [parameter for name, parameter in named if name not in exempt], "weight_decay": recipe.weight_decay},
        {"params": [parameter for name, parameter in named if name in exempt], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=(momentum, 0.999))


def clip_gradients(module: nn.Module, recipe: TrainingSpec) -> None:
    """Clip gradients to a norm of 1 over all parameters (Pascanu et al. 2013) for AdamW, not for SGD."""
    if recipe.optimizer == "adamw":
        nn.utils.clip_grad_norm_(module.parameters(), MAX_GRADIENT_NORM)


def channel_mean_std(dataset: Dataset, image_ids: NDArray[np.int64]) -> Normalization:
    """Mean and standard deviation of each channel over all pixels of the training images, of values / 255."""
    total, squares, pixels = np.zeros(3), np.zeros(3), 0
    for start in range(0, len(image_ids), 1024):
        batch = np.asarray(dataset.images[image_ids[start : start + 1024]], np.float64).reshape(-1, 3) / 255
        total, squares, pixels = total + batch.sum(0), squares + (batch**2).sum(0), pixels + len(batch)
    mean = total / pixels
    std = np.sqrt(np.maximum(squares / pixels - mean**2, 1e-6))
    return Normalization(mean=tuple(mean.round(4).tolist()), std=tuple(std.round(4).tolist()))


def measure_accuracy(model: Model, dataset: Dataset) -> float:
    """Accuracy of a model on a dataset, 0–1."""
    batches = (dataset.images[start : start + 256] for start in range(0, len(dataset.labels), 256))
    predicted = torch.cat([model.predict(images).argmax(1) for images in batches])
    return float((predicted.cpu().numpy() == dataset.labels).mean())
