"""Open a dataset of any layout."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from failmodes.ingest.corruptions.gray import check_gray
from failmodes.ingest.datasets.dataset import BLOCK_IMAGES, KEPT_GRAY, Dataset
from failmodes.ingest.datasets.layout import Request, layouts
from failmodes.runtime.errors import StudyError

if TYPE_CHECKING:
    from failmodes.ingest.specification import DatasetSpec


def open_dataset(spec: "DatasetSpec", cache: Path, split: str | None = None) -> Dataset:
    """Open one split of a dataset; nothing is copied that can be mapped.

    Args:
        spec: which dataset, and its path.
        cache: folder for decoded images, kept as memory-mapped `.npy`.
        split: "train" or "test"; default: that of the specification.

    Returns:
        The whole split, not the subset of the specification's `images`. Masks only for the specification's own split.

    Raises:
        StudyError: an unknown split, or the path does not exist.
        DataError: it is damaged or of another kind, or an image is not gray although `gray` is set.
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


def _read(spec: "DatasetSpec", cache: Path, split: str, masks: Path | None) -> Dataset:
    known, path = layouts()[spec.kind], spec.path or Path()
    if known.expected is not None and not (path.is_file() if known.is_file else path.is_dir()):
        found = "is not a regular file" if known.is_file else "is a file, not a folder"
        found = found if path.exists() else "does not exist"
        raise StudyError(f"{path} {found}: expected {known.expected.format(path=path, parent=path.parent)}")
    return known.open(Request(spec, path, split, cache, masks))
