"""Evaluation against the bare network, attention against the grad-cam package."""

import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np
import torch
from measure import Result, in_turns, seconds
from pytorch_grad_cam import GradCAM

from evaluate.attention.reference import make_reference
from evaluate.attention.statistics import closed_form
from evaluate.devices import BATCH_SIZE, choose_device, describe_device
from evaluate.engine.cells import Member, evaluate_cell
from evaluate.evaluation import Evaluation, Subset, make_evaluation
from evaluate.models.architectures import ARCHITECTURES
from evaluate.models.checkpoints import Checkpoint
from evaluate.models.network import Network, prepare
from evaluate.specification import ModelSpec, Normalisation, TrainingSpec
from ingest.datasets import Dataset
from ingest.sources import Pairing

IMAGES = {"resnet18": 768, "densenet121": 384}
ATTENTION_IMAGES = {"resnet18": 128, "densenet121": 64}
BATCHES = (16, 32, 64, 128)
TRIAL_IMAGES = 128  # to find the best of the bare forward passes, before it is timed on all images
ROUNDS = 3
NORMALISATION = Normalisation(mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))
CLASSES = tuple("0123456789")


class MappedSource:
    """A corrupted set that is a memory-mapped array, such as CIFAR-10-C."""

    source_id = "0" * 16

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def row(self) -> dict[str, str]:
        return {}

    def corrupted(self, _clean: np.ndarray | None, _corruption: str, _severity: Decimal, ids: np.ndarray) -> np.ndarray:
        return self.images[ids]

    def labels(self, dataset: Dataset) -> np.ndarray:
        return dataset.labels


def measure_networks() -> Iterator[Result]:
    """All lines of this file, network by network."""
    device = choose_device("auto")
    for architecture in ARCHITECTURES:
        torch.manual_seed(0)
        module = ARCHITECTURES[architecture].build(len(CLASSES), 64)
        network = prepare(module, architecture, NORMALISATION, device, "float32")
        yield _whole_evaluation(network)
        yield _attention(network)


def _whole_evaluation(network: Network) -> Result:
    count = IMAGES[network.architecture]
    batch_size = BATCH_SIZE[network.device.type]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = _mapped_images(folder, count)
        evaluation = _evaluation(network, images)
        forward = network.forward(images[:count], features=True)
        predicted = forward.logits.argmax(1)
        maps, _ = closed_form(forward.features, forward.logits, network.head, predicted[:, None])
        member = Member(evaluation, make_reference(evaluation, predicted, maps))
        best, layout = _best_bare(network, images)

        def whole() -> None:
            evaluate_cell([member], "contrast", Decimal(1), folder, batch_size, lambda _count: None)

        ours_s, _, ratio = in_turns(whole, best, rounds=ROUNDS)
    against = f"best bare forward ({layout}), float32, {describe_device(network.device)}"
    return Result(f"evaluate/{network.architecture}/forward", count / ours_s, "images/s", ratio, against)


def _best_bare(network: Network, images: np.ndarray):
    """The fastest bare forward pass over `images`, among batch sizes and memory layouts; inputs are ready floats."""
    floats = torch.from_numpy(np.array(images)).to(network.device).permute(0, 3, 1, 2).float() / 255
    candidates, times = {}, {}
    for layout in (torch.channels_last, torch.contiguous_format):
        module = ARCHITECTURES[network.architecture].build(len(CLASSES), 64).to(memory_format=layout).eval()
        module.to(network.device)
        inputs = floats.contiguous(memory_format=layout)
        for size in BATCHES:
            name = f"batch {size}, {str(layout).removeprefix('torch.')}"
            candidates[name] = _bare(module, inputs, size)
            trial = _bare(module, inputs[:TRIAL_IMAGES], size)
            trial()
            times[name] = min(seconds(trial) for _ in range(2))
    fastest = min(times, key=times.__getitem__)
    return candidates[fastest], fastest


def _bare(module: torch.nn.Module, inputs: torch.Tensor, size: int):
    def forward() -> None:
        with torch.inference_mode():
            for start in range(0, len(inputs), size):
                module(inputs[start : start + size]).cpu()

    return forward


def _attention(network: Network) -> Result:
    """Logits and the map of the predicted class for each image, one target an image on both sides."""
    count = ATTENTION_IMAGES[network.architecture]
    batch_size = BATCH_SIZE[network.device.type]
    images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    inputs = (
        torch.from_numpy(images).to(network.device).permute(0, 3, 1, 2).float() / 255 - network.mean
    ) / network.std
    layer = network.module.get_submodule(ARCHITECTURES[network.architecture].attention_layer)

    def ours() -> None:
        for start in range(0, count, batch_size):
            forward = network.forward(images[start : start + batch_size], features=True)
            closed_form(forward.features, forward.logits, network.head, forward.logits.argmax(1)[:, None])

    def package() -> None:
        network.module.requires_grad_(True)
        with GradCAM(model=network.module, target_layers=[layer]) as cam:
            for start in range(0, count, batch_size):
                cam(inputs[start : start + batch_size], None)
        network.module.requires_grad_(False)

    ours_s, _, ratio = in_turns(ours, package, rounds=ROUNDS)
    against = f"grad-cam package, one target, batch {batch_size}, float32, {describe_device(network.device)}"
    return Result(f"attention/{network.architecture}/grad-cam", count / ours_s, "images/s", ratio, against)


def _mapped_images(folder: Path, count: int) -> np.ndarray:
    path = folder / "images.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8))
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _evaluation(network: Network, images: np.ndarray) -> Evaluation:
    labels = np.arange(len(images)) % len(CLASSES)
    dataset = Dataset(
        name="random", label="random", split="test", images=images, labels=labels, class_names=CLASSES,
        note=None, files=None, masks=None,
    )  # fmt: skip
    spec = ModelSpec(label=network.architecture, architecture=network.architecture, training=TrainingSpec())
    checkpoint = Checkpoint(network.module, spec, 0, NORMALISATION, CLASSES, {}, Path("none"))
    ids = np.arange(len(images))
    subset = Subset(ids, ids, labels, "all")
    return make_evaluation(
        "bench", checkpoint, network, dataset, MappedSource(images), subset, Pairing(True, None), attends=True
    )
