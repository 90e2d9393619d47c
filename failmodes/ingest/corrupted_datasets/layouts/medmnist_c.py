"""The layout of MedMNIST-C (Di Salvo et al. 2024): one compressed archive per corruption of a dataset.

`<dataset>/<corruption>.npz` with `test_images`, uint8 (5n, H, W, 3), or (5n, H, W) of gray datasets, severity by
severity, and `test_labels` (5n, 1): see francescodisalvo05/medmnistc-api, `medmnistc/dataset_manager.py`. Corruptions
differ by dataset. An archive is unpacked into the cache when its corruption is first read.
"""

import shutil
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corrupted_datasets.corrupted_dataset import (
    CleanCount,
    SetContents,
    SetRequest,
    in_catalog_order,
    named_entries,
    other_entries,
    set_layout,
)
from failmodes.ingest.corrupted_datasets.layouts.cifar_c import (
    FIX,
    ArrayWriter,
    CifarCDataset,
    checked_labels,
    common_size,
    files_by_name,
    held_severities,
    images_per_severity,
)
from failmodes.ingest.corrupted_datasets.set_writer import Fingerprints, ProgressCallback, SetPart
from failmodes.ingest.datasets.archives import array_names, images_shape, map_images, read_array
from failmodes.runtime.errors import DataError, listed
from failmodes.runtime.hashing import file_digest
from failmodes.runtime.storage.files import fsync

IMAGES, LABELS = "test_images", "test_labels"
TRAIN = "train"
COPIED_BYTES = 1 << 20  # at a time
ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # so that the same images make the same bytes


@dataclass(frozen=True, kw_only=True)
class MedMnistCDataset(CifarCDataset):
    """An opened dataset of archives, which are unpacked as they are read."""

    unpacked: dict[str, NDArray[np.uint8]] = field(default_factory=dict, compare=False, repr=False)
    hashed = "archives"

    def _read(self, name: str, severity: Decimal, positions: NDArray[np.integer]) -> NDArray[np.uint8]:
        images = super()._read(name, severity, positions)
        return np.repeat(images[..., None], 3, axis=-1) if images.ndim == 3 else images

    def _images(self, name: str) -> NDArray[np.uint8]:
        if name not in self.unpacked:
            self.unpacked[name] = map_images(self.files[name], IMAGES, self.request.cache, FIX)
        return self.unpacked[name]

    def _hash(self, file: Path) -> str:
        return file_digest(file).hex()


def archive_contents(folder: Path, clean_count: CleanCount) -> SetContents | None:
    """List a folder of archives: only the headers of images, and labels, are read.

    An archive whose labels differ from those of most is listed as damaged.

    Raises:
        DataError: a corruption has two files, or the folder holds datasets instead of corruptions.
    """
    files = [path.name for path in sorted(folder.glob("*.npz")) if not path.is_dir()]
    if not files:
        inner = [path.name for path in sorted(folder.iterdir()) if path.is_dir() and any(path.glob("*.npz"))]
        if inner and _is_archive(next((folder / inner[0]).glob("*.npz"))):
            raise DataError(f"{folder} holds several datasets ({listed(inner, 3)}): name the folder of one of them")
        return None
    if not any(_is_archive(folder / name) for name in files):
        return None
    file_of_name, unnamed = named_entries(folder, files, ".npz")
    orders: dict[str, bytes] = {}
    severities: dict[str, tuple[Decimal, ...]] = {}
    damaged: dict[str, str] = {}
    for name in in_catalog_order(file_of_name):
        path = folder / file_of_name[name]
        try:
            labels = _labels(path)
            row_count = images_shape(path, IMAGES, FIX)[0]
            size = images_per_severity(labels, f"{path}: {LABELS}", {row_count}, clean_count)
            severities[name] = held_severities(path, row_count, size)
            orders[name] = labels[:size].tobytes()
        except DataError as error:
            damaged[name] = str(error)
    usual = next((order for order, _ in Counter(orders.values()).most_common(1)), b"")
    for name in [name for name, order in orders.items() if order != usual]:
        damaged[name] = f"{folder / file_of_name[name]} has labels in another order than most archives{FIX}"
        del severities[name]
    count = len(usual) // np.dtype(np.int64).itemsize
    return SetContents(severities, damaged, (*unnamed, *other_entries(folder, files)), image_count=count)


class ArchiveWriter(ArrayWriter):
    """Writes `<corruption>.npz`: an array, as for CIFAR-10-C, packed with its labels."""

    hashed = "pixels, uint8 (N, H, W, 3), or (N, H, W) of gray images"
    encodings = ("npz",)

    def other_files(self) -> dict[str, bytes]:
        """None: every archive holds the labels."""
        return {}

    def path(self, part: SetPart) -> Path:
        """The archive."""
        return Path(f"{part.corruption}.npz")

    def is_whole(self, part: SetPart) -> bool:
        """Whether the images of the archive have the expected shape."""
        try:
            return images_shape(self.folder / self.path(part), IMAGES) == self.stored_shape(part)
        except DataError:
            return False

    def write(self, part: SetPart, to: Path, advance: ProgressCallback) -> Fingerprints:
        """Write the array severity by severity, then pack it."""
        array = to.with_suffix(".npy")
        fingerprints = super().write(part, array, advance)
        with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
            with array.open("rb") as pixels, _entry(archive, IMAGES) as entry:
                shutil.copyfileobj(pixels, entry, COPIED_BYTES)
            with _entry(archive, LABELS) as entry:
                np.lib.format.write_array(entry, self.labels()[:, None], version=(1, 0))
        fsync(to)
        array.unlink()
        return fingerprints

    def stored(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Gray images have one channel."""
        return images[..., 0] if self.dataset.gray else images

    def stored_shape(self, part: SetPart) -> tuple[int, ...]:
        """The shape of the whole array."""
        return super().stored_shape(part)[: 3 if self.dataset.gray else 4]


@set_layout(
    "medmnist-c",
    contents=archive_contents,
    expected=f"<corruption>.npz with {IMAGES} and {LABELS} (as MedMNIST-C)",
    writer=ArchiveWriter,
)
def open_medmnist_c(request: SetRequest) -> MedMnistCDataset:
    """Open a dataset of archives.

    Raises:
        DataError: an archive is damaged, or images have several sizes.
    """
    files = files_by_name(request, ".npz")
    labels = _labels(next(iter(files.values())))[: request.contents.image_count]
    sizes = {images_shape(path, IMAGES, FIX)[1:3] for path in files.values()}
    return MedMnistCDataset(
        request=request,
        image_count=len(labels),
        image_shape=(*common_size(request, sizes), 3),
        labels=labels,
        files=files,
    )


def _is_archive(path: Path) -> bool:
    """Whether a file is an archive of test images, or too damaged to tell."""
    try:
        names = array_names(path)
    except DataError:
        return True
    return IMAGES in names and f"{TRAIN}_images" not in names


def _labels(path: Path) -> NDArray[np.int64]:
    """All labels of an archive.

    Raises:
        DataError: they are damaged, or of several per image.
    """
    return checked_labels(read_array(path, LABELS, FIX), f"{path}: {LABELS}")


def _entry(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    info = zipfile.ZipInfo(f"{name}.npy", ZIP_DATE)
    info.compress_type = zipfile.ZIP_DEFLATED
    return archive.open(info, "w", force_zip64=True)
