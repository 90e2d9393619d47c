"""Corrupted sets and the photographs that they are made of."""

from pathlib import Path

import pytest
from corrupted_datasets import DIGITS, write_tree
from PIL import Image
from sklearn.datasets import load_sample_images

from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.layout import DatasetSpec, open_dataset

SIDE = 64


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(DIGITS, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """40 tiles of two real photographs, as a folder of two classes."""
    root = tmp_path_factory.mktemp("photographs") / "tiles"
    for name, pixels in zip(("china", "flower"), load_sample_images().images, strict=True):
        (root / name).mkdir(parents=True)
        for number in range(20):
            top, left = divmod(number, 5)
            tile = pixels[top * 100 : top * 100 + SIDE, left * 120 : left * 120 + SIDE]
            Image.fromarray(tile).save(root / name / f"val_{number:04d}.png")
    return open_dataset(DatasetSpec(kind="folder", path=root), root.parent / "cache")


@pytest.fixture(scope="session")
def tree(photographs: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only: copy it before you change it."""
    return write_tree(tmp_path_factory.mktemp("trees") / "Tiles-C", photographs, ("brightness", "contrast"))
