"""How corrupted sets lie on disk, as published: names of files and folders, for those who read and those who write.

- cifar-c (CIFAR-10-C, Zenodo 2535967): `<corruption>.npy`, uint8 (5n, H, W, 3), rows (s-1)·n … s·n being severity s,
  and `labels.npy`, the n labels five times;
- imagenet-c (ImageNet-C, Zenodo 2235448): `<corruption>/<severity>/<class>/<image>`.
"""

from decimal import Decimal, InvalidOperation

from failmodes.ingest.corruptions.catalog import SEVERITIES, Severity
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.study_types import first_duplicate
from failmodes.warehouse.errors import DataError

CIFAR_C, IMAGENET_C = "cifar-c", "imagenet-c"
JPEG, PNG, NPY = "jpeg", "png", "npy"
JPEG_QUALITY = 85  # as ImageNet-C was published
LABELS_FILE = "labels.npy"
MANIFEST_FILE = "manifest.json"
GROUP_FOLDERS = ("noise", "blur", "weather", "digital", "extra")  # the published tars', one level above corruptions
FETCH_AGAIN = "fetch the set again, for example with `failmodes download`"


def severity_folder(severity: Severity) -> str:
    """The folder's name of a severity: "2" or "2.5"."""
    return f"{Decimal(str(severity)).normalize():f}"


def parse_severity(folder_name: str) -> Decimal | None:
    """The severity that a folder's name stands for, above 0 and up to 5; None if it stands for none."""
    try:
        severity = Decimal(folder_name)
    except InvalidOperation:
        return None
    return severity if severity.is_finite() and 0 < severity <= SEVERITIES[-1] else None


def image_names(dataset: Dataset) -> list[str]:
    """`class/name` of every image, without suffix: as its file is called, else its number with leading zeros.

    Raises:
        DataError: two images share one, or a class name cannot be a folder's.
    """
    _check_folder_names(dataset.class_names)
    if dataset.files is None:
        width = len(str(len(dataset.labels) - 1))
        classes = [dataset.class_names[label] for label in dataset.labels.tolist()]
        return [f"{name}/{image_id:0{width}d}" for image_id, name in enumerate(classes)]
    names = [without_suffix(file) for file in dataset.files]
    twice = first_duplicate(names)
    if twice is not None:
        raise DataError(
            f"two images of {dataset.label} are called {twice}, apart from their suffix: rename one of them"
        )
    return names


def without_suffix(file: str) -> str:
    """`class/name` of `class/name.JPEG`."""
    return file.rpartition(".")[0] or file


def _check_folder_names(class_names: tuple[str, ...]) -> None:
    for name in class_names:
        if not name or name.startswith(".") or any(character in name for character in "/\\\0"):
            raise DataError(f"class {name!r} cannot be the name of a folder: the {IMAGENET_C} layout needs one a class")
    if len(set(class_names)) < len(class_names):
        raise DataError(f"two classes have the same name: the {IMAGENET_C} layout needs a folder a class")
