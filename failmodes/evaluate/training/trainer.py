"""One training run: its optimizer, its epochs, and its state between them."""

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.optim.lr_scheduler import OneCycleLR

from failmodes.evaluate.devices import runs_bfloat16
from failmodes.evaluate.models.checkpoint_files import read_pickled
from failmodes.evaluate.study.study_schema import ModelSpec, Normalization, TrainingSpec
from failmodes.evaluate.training.data import BatchIndices, TrainingLoader, random_crop_and_flip
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.warehouse.errors import ModelError, StorageError, StudyError, first_line
from failmodes.warehouse.storage.files import atomic_write

MAX_GRADIENT_NORM = 1.0
# Learnt tokens and positions by their usual names; timm's models name further ones themselves
NO_WEIGHT_DECAY = {
    "pos_embed", "pos_embedding", "cls_token", "class_token", "dist_token", "relative_position_bias_table",
}  # fmt: skip


class EpochMetrics(NamedTuple):
    """What one epoch reports: its number from 1, the total, its mean loss in nats and training accuracy, 0–1."""

    number: int
    total: int
    loss_nats: float
    accuracy: float


class Trainer:
    """Optimizer, schedule and epochs of one training run.

    Args:
        module: a classifier on its device, whose forward gives logits (N, C).
        spec: the model, with a training recipe.
        seed: training seed, of order, augmentation and dropout.
        device: where to train.
        dataset: images to learn from.
        image_ids: (N,) indices of those to learn from.
        normalization: of the model's inputs.
        workers: processes that augment images.
    """

    def __init__(
        self,
        module: nn.Module,
        spec: ModelSpec,
        seed: int,
        device: torch.device,
        *,
        dataset: Dataset,
        image_ids: np.ndarray,
        normalization: Normalization,
        workers: int,
    ) -> None:
        assert spec.training is not None
        self.module, self.spec, self.recipe, self.seed, self.device = module, spec, spec.training, seed, device
        self.dataset, self.image_ids = dataset, image_ids
        self.mean, self.std = (
            torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (normalization.mean, normalization.std)
        )
        # a last, smaller batch is left out: batch norm needs many
        self.batch_count = max(1, len(image_ids) // self.recipe.batch_size)
        self.batches = TrainingLoader(dataset, self.recipe, seed, workers)
        self.optimizer = build_optimizer(module, self.recipe)
        # one cycle (Smith & Topin 2019) over all steps; it cycles SGD's momentum too, AdamW's β₁ stays
        self.schedule = OneCycleLR(
            self.optimizer, max_lr=self.recipe.peak_learning_rate, total_steps=self.batch_count * self.recipe.epochs,
            cycle_momentum=self.recipe.optimizer == "sgd",
        )  # fmt: skip

    def run_epoch(self, epoch: int) -> EpochMetrics:
        """Learn from each batch of an epoch, numbered from 0.

        Raises:
            StudyError: the model does not give one tensor of logits, one a class.
            ModelError: the loss or the weights are no longer finite.
        """
        self.module.train()
        torch.manual_seed(self.seed * 1_000_003 + epoch)  # dropout draws from it: a resumed run as an undisturbed one
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = self.image_ids[torch.randperm(len(self.image_ids), generator=generator).numpy()]
        size = self.recipe.batch_size
        batches = [BatchIndices(epoch, order[n * size : (n + 1) * size]) for n in range(self.batch_count)]
        loss_sum = torch.zeros((), device=self.device)
        correct = torch.zeros((), device=self.device)
        for batch, images in self.batches.epoch(batches):
            labels = torch.from_numpy(self.dataset.labels[batch.image_ids]).to(self.device)
            logits, loss = self._step(self._inputs(images, generator), labels)
            loss_sum += loss * len(labels)
            correct += (logits.argmax(1) == labels).sum()
        seen = sum(len(batch.image_ids) for batch in batches)
        metrics = EpochMetrics(epoch + 1, self.recipe.epochs, float(loss_sum) / seen, float(correct) / seen)
        self._check_finite(metrics)
        return metrics

    def _inputs(self, images: np.ndarray, generator: torch.Generator) -> torch.Tensor:
        pixels = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2)
        inputs = random_crop_and_flip((pixels.float() / 255 - self.mean) / self.std, self.recipe, generator)
        return inputs.contiguous(memory_format=torch.channels_last)

    def _step(self, inputs: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=runs_bfloat16(self.device)):
            logits = self.module(inputs)
            self._check_logits(logits, len(labels))
            loss = functional.cross_entropy(logits, labels)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        clip_gradients(self.module, self.recipe)
        self.optimizer.step()
        self.schedule.step()
        return logits.detach(), loss.detach()

    def _check_logits(self, logits: Any, count: int) -> None:
        expected = (count, len(self.dataset.class_names))
        if isinstance(logits, torch.Tensor) and logits.shape == expected:
            return
        given = tuple(logits.shape) if isinstance(logits, torch.Tensor) else f"a {type(logits).__name__}"
        raise StudyError(
            f"model {self.spec.label!r}: {self.spec.architecture} gives {given} where training needs one tensor of "
            f"logits {expected}: switch its auxiliary outputs off, or choose another architecture"
        )

    def _check_finite(self, epoch: EpochMetrics) -> None:
        floats = [value for value in self.module.state_dict().values() if value.is_floating_point()]
        if np.isfinite(epoch.loss_nats) and all(bool(value.isfinite().all()) for value in floats):
            return
        rate = self.recipe.peak_learning_rate
        raise ModelError(
            f"model {self.spec.label!r}, seed {self.seed}: training diverged in epoch {epoch.number} of {epoch.total} "
            f"(loss {epoch.loss_nats:g} nats) at peak_learning_rate {rate:g}: lower it, for example to {rate / 10:g}"
        )

    def save(self, path: Path, epochs_done: int) -> None:
        """Write the state between two epochs, atomically."""
        state = {
            "recipe": self.recipe.model_dump_json(),
            "seed": self.seed,
            "epochs_done": epochs_done,
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }
        buffer = io.BytesIO()  # a full disk is none that `torch.save` has a word for
        torch.save(state, buffer)
        with atomic_write(path) as temporary:
            temporary.write_bytes(buffer.getbuffer())

    def resume(self, path: Path) -> int:
        """Load the state of a killed run of the same recipe and seed; returns the number of epochs done.

        Raises:
            ModelError: the file is damaged, or no state of a training.
            StorageError: it is no regular file, or may not be read.
        """
        if not path.exists():
            return 0
        try:
            state = read_pickled(path, self.device)
            if (state["recipe"], state["seed"]) != (self.recipe.model_dump_json(), self.seed):
                return 0
            self.module.load_state_dict(state["module"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.schedule.load_state_dict(state["schedule"])
            done = int(state["epochs_done"])
            if not 0 <= done <= self.recipe.epochs:
                raise ValueError(f"{done} epochs done of {self.recipe.epochs}")
            return done
        except (StorageError, MemoryError):
            raise
        except Exception as error:  # whatever foreign content makes torch raise
            raise ModelError(
                f"{path} is no state of this training ({first_line(error)}): remove it, and training begins anew"
            ) from error


def build_optimizer(module: nn.Module, recipe: TrainingSpec) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum on all parameters alike, or AdamW.

    AdamW (Loshchilov & Hutter 2019) decays no norm, bias, position or class token, as is usual for transformers
    (Touvron et al. 2021); momentum is its β₁, β₂ is 0.999.
    """
    rate, decay = recipe.peak_learning_rate, recipe.weight_decay
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(_groups(module, decay), lr=rate, betas=(recipe.momentum, 0.999))
    nesterov = recipe.momentum > 0
    return torch.optim.SGD(
        module.parameters(), lr=rate, momentum=recipe.momentum, nesterov=nesterov, weight_decay=decay
    )


def _groups(module: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Parameters that decay, and those that do not: vectors, positions and what the model itself exempts."""
    exempted = getattr(module, "no_weight_decay", None)  # timm's models have such a method
    exempt = set(cast(Callable[[], Iterable[str]], exempted)()) if callable(exempted) else set()
    decayed, kept = [], []
    for name, parameter in module.named_parameters():
        if parameter.ndim <= 1 or name in exempt or name.rsplit(".", 1)[-1] in NO_WEIGHT_DECAY:
            kept.append(parameter)
        else:
            decayed.append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]


def clip_gradients(module: nn.Module, recipe: TrainingSpec) -> None:
    """Scale AdamW's gradients to a norm of at most 1 over all parameters (Pascanu et al. 2013); SGD's stay."""
    if recipe.optimizer == "adamw":
        nn.utils.clip_grad_norm_(module.parameters(), MAX_GRADIENT_NORM)
