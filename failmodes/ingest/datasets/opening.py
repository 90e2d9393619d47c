"""Opening a data set, whatever its layout on disk."""

from dataclasses import replace
from pathlib import Path

from failmodes.ingest.corruptions.gray import check_gray
from failmodes.ingest.datasets.arrays import BLOCK_IMAGES, CLASSES_FILE, IMAGES_FILE, LABELS_FILE, open_arrays
from failmodes.ingest.datasets.cifar import VARIANTS, open_cifar
from failmodes.ingest.datasets.color import WHITE
from failmodes.ingest.datasets.dataset import KEPT_GRAY, Dataset
from failmodes.ingest.datasets.digits import open_digits
from failmodes.ingest.datasets.folder import open_folder
from failmodes.ingest.specification import DatasetSpec
from failmodes.warehouse.errors import StudyError

CIFAR_HOME = "https://www.cs.toronto.edu/~kriz/cifar.html"


def open_dataset(spec: DatasetSpec, cache: Path, split: str | None = None) -> Dataset:
    """Open one split of a data set; nothing is copied that can be mapped.

    Args:
        spec: which data set, and where it lies.
        cache: folder for images that must be decoded, which are kept as memory-mapped `.npy`.
        split: "train" or "test"; the specification's own if not given.

    Returns:
        The whole split: the specification's `images` is for `balanced_subset`. Masks are those of its own split.

    Raises:
        StudyError: an unknown split.
        StudyError: its path does not exist.
        DataError: it is damaged or of another kind, or an image is not gray where it should be.
    """
    split = split or spec.split
    if split not in ("train", "test"):
        raise StudyError(f"unknown split {split!r}: expected 'train' or 'test'")
    dataset = _read(spec, cache, split, spec.masks if split == spec.split else None)
    if spec.gray and not dataset.gray:
        for start in range(0, len(dataset.images), BLOCK_IMAGES):
            check_gray(dataset.images[start : start + BLOCK_IMAGES], start)
        note = "; ".join(filter(None, [KEPT_GRAY, dataset.note]))
        dataset = replace(dataset, gray=True, note=note)
    return replace(dataset, label=spec.label) if spec.label else dataset


def _read(spec: DatasetSpec, cache: Path, split: str, masks: Path | None) -> Dataset:
    if spec.path is None:
        return open_digits(split)
    path = spec.path
    if not path.is_dir():
        found = "is a file, not a folder" if path.exists() else "does not exist"
        hint = f"expected a folder of class folders, such as {path}/cat/0001.png"
        if spec.kind == "arrays":
            hint = f"expected a folder that holds {IMAGES_FILE}, {LABELS_FILE} and {CLASSES_FILE}"
        if spec.kind in VARIANTS:
            command = f"failmodes download {spec.kind} --to {path.parent}"
            hint = f"get {VARIANTS[spec.kind].label} with `{command}` or from {CIFAR_HOME}"
        raise StudyError(f"{path} {found}: {hint}")
    if spec.kind == "arrays":
        return open_arrays(path, split, declared_split=spec.split, masks=masks)
    if spec.kind == "folder":
        red, green, blue = spec.background or WHITE
        return open_folder(
            path,
            split,
            cache,
            image_size=spec.image_size,
            resize=spec.resize,
            declared_split=spec.split,
            background=(red, green, blue),
            gray=spec.gray,
            masks=masks,
        )
    return open_cifar(path, spec.kind, split, cache)
