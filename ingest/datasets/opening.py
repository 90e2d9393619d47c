"""Which reader opens a data set."""

from dataclasses import replace
from pathlib import Path

from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.specification import DatasetSpec
from failmodes.warehouse.errors import DataError, StudyError

HOW_TO_GET = {
    "cifar10": ("CIFAR-10", "https://www.cs.toronto.edu/~kriz/cifar.html"),
    "cifar100": ("CIFAR-100", "https://www.cs.toronto.edu/~kriz/cifar.html"),
}


def open_dataset(spec: DatasetSpec, cache: Path, split: str | None = None) -> Dataset:
    """Open one split of a data set; nothing is copied that can be mapped.

    Args:
        spec: which data set, and where it lies.
        cache: folder for images that must be decoded, which are kept as memory-mapped `.npy`.
        split: "train" or "test"; the specification's own if not given.

    Returns:
        The whole split: the specification's `images` is for `choose_images`.

    Raises:
        StudyError: an unknown split.
        DataError: it is missing, damaged or of another kind.
    """
    wanted = split or spec.split
    if wanted not in ("train", "test"):
        raise StudyError(f"unknown split {wanted!r}: expected 'train' or 'test'")
    dataset = _read(spec, cache, wanted)
    return replace(dataset, label=spec.label) if spec.label else dataset


def _read(spec: DatasetSpec, cache: Path, split: str) -> Dataset:
    if spec.path is None:
        from failmodes.ingest.datasets.digits import open_digits

        return open_digits(split)
    path = spec.path.expanduser()
    if not path.is_dir():
        raise DataError(_missing(spec.kind, path))
    if spec.kind == "folder":
        from failmodes.ingest.datasets.folder import open_folder

        return open_folder(
            path, split, cache, image_size=spec.image_size, resize=spec.resize, declared_split=spec.split
        )
    from failmodes.ingest.datasets.cifar import open_cifar

    return open_cifar(path, spec.kind, split, cache)


def _missing(kind: str, path: Path) -> str:
    found = "is a file, not a folder" if path.exists() else "does not exist"
    if kind not in HOW_TO_GET:
        return f"{path} {found}: expected a folder of class folders, such as {path}/cat/0001.png"
    name, url = HOW_TO_GET[kind]
    return f"{path} {found}: get {name} with `failmodes download {kind} --to {path.parent}` or from {url}"
