"""What training measures: the normalisation of its images before it starts, the network's accuracy at its end."""

import numpy as np
import torch
from torch import nn

from evaluate.models.network import prepare
from evaluate.specification import ModelSpec, Normalisation
from ingest.datasets import Dataset


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
