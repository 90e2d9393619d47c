"""What is measured: models with random weights, random images on disk, and a worker that evaluates them."""

import importlib
import importlib.util
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import torch
import torchvision
from model_specs import ready_model
from torch import nn

from failmodes.evaluate.cam.method_selection import select_cam_method
from failmodes.evaluate.engine.batches import BatchStream
from failmodes.evaluate.engine.cell import ModelRun, choose_batch_size
from failmodes.evaluate.engine.tasks import RunCallbacks, Task
from failmodes.evaluate.engine.worker import Worker
from failmodes.evaluate.evaluation import Evaluation
from failmodes.evaluate.evaluation_data import EvaluationData, Subset
from failmodes.evaluate.models.model import Model, OutputMap
from failmodes.evaluate.models.sources.builtin import ARCHITECTURES
from failmodes.evaluate.study.study_schema import Normalization, Precision
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.sources import GeneratedSource, Pairing, Source
from failmodes.warehouse.shards.format import CLEAN_CELL, Cell

CLASSES = 10
NORMALIZATION = Normalization(mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))


class Subject(NamedTuple):
    """A model to measure: its name, how to build it, and the side of its images."""

    name: str
    build: Callable[[], nn.Module]
    side_px: int
    images: int


def tiny() -> nn.Module:
    """Two convolutions and a linear layer: so little that what surrounds a model is what is measured."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, CLASSES),
    )  # fmt: skip


def vision_transformer() -> tuple[str, Callable[[], nn.Module]]:
    """ViT-S/16 of timm where the extra is installed, else torchvision's nearest, which is called by its own name."""
    if importlib.util.find_spec("timm") is None:
        return "vit_b_16", lambda: torchvision.models.vit_b_16(num_classes=CLASSES)
    timm = importlib.import_module("timm")
    return "vit_s_16", lambda: timm.create_model("vit_small_patch16_224", num_classes=CLASSES)


SUBJECTS = (
    Subject("resnet18", lambda: ARCHITECTURES["resnet18"](CLASSES, 64), 32, 768),
    Subject("densenet121", lambda: ARCHITECTURES["densenet121"](CLASSES, 64), 32, 384),
    Subject("efficientnet_b0", lambda: torchvision.models.efficientnet_b0(num_classes=CLASSES), 224, 128),
    Subject("resnet50", lambda: torchvision.models.resnet50(num_classes=CLASSES), 224, 64),
    Subject("mobilenet_v3_large", lambda: torchvision.models.mobilenet_v3_large(num_classes=CLASSES), 224, 256),
    Subject(*vision_transformer(), 224, 64),
)

TINY = Subject("tiny", tiny, 32, 1000)


class MappedSource:
    """A corrupted set that is a memory-mapped array, such as CIFAR-10-C."""

    source_id = "0" * 16
    pairing = Pairing(True)
    notes = ()

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def row(self) -> dict[str, str]:
        return {}

    def corrupted(self, _clean: object, _corruption: str, _severity: Decimal, ids: np.ndarray) -> np.ndarray:
        return self.images[ids]

    def labels(self, dataset: Dataset) -> np.ndarray:
        return dataset.labels


class Bench(NamedTuple):
    """A worker ready to evaluate, the tasks it may be given, and what it does them with."""

    worker: Worker
    evaluations: list[Evaluation]
    images: np.ndarray
    folder: Path

    def clean(self) -> Task:
        return Task(0, CLEAN_CELL, tuple(e.evaluation_id for e in self.evaluations))

    def cell(self, corruption: str = "contrast", severity: int = 3) -> Task:
        return Task(0, Cell(corruption, Decimal(severity)), tuple(e.evaluation_id for e in self.evaluations))


def model_of(subject: Subject, device: torch.device, precision: Precision = "float32", seed: int = 0) -> Model:
    torch.manual_seed(seed)
    return ready_model(subject.build(), subject.name, NORMALIZATION, device, precision, label=f"{subject.name} {seed}")


def make_bench(
    subject: Subject,
    models: Iterable[Model],
    folder: Path,
    *,
    generated: bool = False,
    count: int | None = None,
    batch_size: int | None = None,
) -> Bench:
    """A worker for some models over random images that lie on disk."""
    images = mapped_images(folder, count or subject.images, subject.side_px)
    labels = np.arange(len(images)) % CLASSES
    dataset = Dataset("random", "random", "test", images, labels, tuple(map(str, range(CLASSES))))
    recipe = "cifar-c" if subject.side_px == 32 else "imagenet-c"
    source: Source = GeneratedSource(recipe) if generated else MappedSource(images)
    ids = np.arange(len(images))
    subset = Subset(ids, ids, labels, "all")
    data = EvaluationData(dataset, source, subset)
    evaluations = [_evaluation(model, data) for model in models]
    shape = (subject.side_px, subject.side_px, 3)
    model_runs = [ModelRun(e, batch_size or choose_batch_size(e.model, shape)) for e in evaluations]
    study = SimpleNamespace(results_folder=folder, output=folder)
    stream = BatchStream([data], study, threads=os.cpu_count() or 1)
    return Bench(
        Worker(model_runs, stream, RunCallbacks()),
        evaluations, images, folder,
    )  # fmt: skip


def _evaluation(model: Model, data: EvaluationData) -> Evaluation:
    output_map = OutputMap(tuple(range(CLASSES)), count=CLASSES)
    named = replace(model, class_names=data.dataset.class_names, output_map=output_map)
    identified = named.identified()
    return Evaluation("bench", identified, select_cam_method(identified, data.dataset.images.shape[1:3]), data)


def mapped_images(folder: Path, count: int, side_px: int) -> np.ndarray:
    """Random images (count, side, side, 3) uint8 as a memory map."""
    path = folder / f"images-{count}-{side_px}.npy"
    if not path.exists():
        images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(count, side_px, side_px, 3))
        rng = np.random.default_rng(0)
        for start in range(0, count, 1000):
            block = images[start : start + 1000]
            block[:] = rng.integers(0, 256, block.shape, dtype=np.uint8)
        images.flush()
    return np.load(path, mmap_mode="r", allow_pickle=False)
