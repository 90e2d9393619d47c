"""CIFAR-10.1 (Recht et al. 2018): `cifar10.1_v6_data.npy` and `cifar10.1_v6_labels.npy`, or those of v4.

File names and shapes: modestyachts/CIFAR-10.1, `datasets/`; v4 has 2,021 images, v6 has 2,000.
"""

from failmodes.ingest.data_files import map_npy
from failmodes.ingest.datasets.dataset import Dataset, class_indices
from failmodes.ingest.datasets.layout import Request, layout, refuse_other_split
from failmodes.ingest.datasets.layouts.cifar import CIFAR10_CLASSES
from failmodes.runtime.errors import DataError

VERSIONS = ("v6", "v4")  # the first that a folder holds is opened


@layout(
    "cifar10.1",
    expected="a folder of cifar10.1_v6_data.npy and cifar10.1_v6_labels.npy, or v4",
)
def open_cifar10_1(request: Request) -> Dataset:
    """Open the test images, (n, 32, 32, 3); they have no train split.

    Raises:
        DataError: a file is missing, damaged or of another shape.
    """
    held = [version for version in VERSIONS if (request.path / f"cifar10.1_{version}_data.npy").exists()]
    if not held:
        raise DataError(f"{request.path} has no cifar10.1_v6_data.npy: `failmodes download cifar10.1` downloads it")
    refuse_other_split(request)
    data, labels = (request.path / f"cifar10.1_{held[0]}_{part}.npy" for part in ("data", "labels"))
    try:
        images = map_npy(data)
        numbers = class_indices(map_npy(labels), str(labels))
    except FileNotFoundError as error:
        raise DataError(f"{labels} is missing: download the dataset again") from error
    note = f"{held[1]} in the same folder is left out" if len(held) > 1 else None
    return Dataset(
        "cifar10.1", f"CIFAR-10.1 {held[0]}", request.split, images, numbers, CIFAR10_CLASSES, note, version=held[0]
    )
