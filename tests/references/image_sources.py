"""Labeled images as users have them: arrays, tensors, data sets of torch and of Hugging Face's kind, loaders."""

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 9, 8, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2, 0])
TENSORS = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)
PIL = [Image.fromarray(image) for image in PIXELS]


class Images(Dataset):
    """A data set of (image, label), or of what `make` makes of these."""

    def __init__(self, images=PIL, make=lambda image, label: (image, label)) -> None:
        self.images, self.make = images, make

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int):
        return self.make(self.images[index], int(LABELS[index]))  # never an IndexError of its own


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(PIL, LABELS, strict=True))


class ClassLabel:
    """As the feature of Hugging Face's data sets."""

    def __init__(self, names=("a", "b", "c")) -> None:
        self.names = list(names)


class HuggingFace:
    """As a data set of Hugging Face, which is no torch Dataset: mappings, and features that say what is what."""

    def __init__(self, image="image", label="label", more=None) -> None:
        kind = type("Image", (), {})
        self.features = {image: kind(), label: ClassLabel()} | (more or {})
        others = {"other": 1} | dict.fromkeys(more or {}, 0)
        self.items = [others | {image: i, label: int(k)} for i, k in zip(PIL, LABELS, strict=True)]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int):
        return self.items[index]

    def __iter__(self):
        return iter(self.items)


def loader(images=TENSORS, **options) -> DataLoader:
    return DataLoader(TensorDataset(images, torch.from_numpy(LABELS)), **options)


class NotInMemory:
    """As arrays of HDF5 or Zarr are: shape, type and slices."""

    shape, dtype = PIXELS.shape, PIXELS.dtype

    def __len__(self) -> int:
        return len(PIXELS)

    def __getitem__(self, rows):
        return PIXELS[rows]
