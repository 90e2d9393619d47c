"""CIFAR-10.2 (Lu et al. 2020): `cifar102_test.npz` and `cifar102_train.npz` with `images` and `labels`.

Names and keys: the README of modestyachts/cifar-10.2. Their other arrays hold Python objects and are never read.
"""

from pathlib import Path

from failmodes.ingest.datasets.archives import in_color, map_images, read_array
from failmodes.ingest.datasets.dataset import Dataset, class_indices
from failmodes.ingest.datasets.layout import Request, layout
from failmodes.ingest.datasets.layouts.cifar import CIFAR10_CLASSES
from failmodes.runtime.errors import DataError


@layout(
    "cifar10.2",
    expected="a folder of cifar102_test.npz",
)
def open_cifar10_2(request: Request) -> Dataset:
    """Open a split, images (n, 32, 32, 3).

    Raises:
        DataError: its file is missing or damaged, or an array has another shape.
    """
    path: Path = request.path / f"cifar102_{request.split}.npz"
    if not path.exists():
        raise DataError(f"{path} does not exist: download it from https://github.com/modestyachts/cifar-10.2")
    labels = class_indices(read_array(path, "labels"), str(path))
    images = in_color(map_images(path, "images", request.cache))
    return Dataset("cifar10.2", "CIFAR-10.2", request.split, images, labels, CIFAR10_CLASSES)
