"""The layout of MedMNIST-C (Di Salvo et al. 2024): one compressed archive per corruption of a dataset.

`<dataset>/<corruption>.npz` with `test_images`, uint8 (5n, H, W, 3), or (5n, H, W) of gray datasets, severity by
severity, and `test_labels` (5n, 1): see francescodisalvo05/medmnistc-api, `medmnistc/dataset_manager.py`. Corruptions
differ by dataset. An archive is unpacked into the cache when its corruption is first read.
"""

import os
import shutil
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corrupted_datasets.corrupted_dataset import (
    FETCH_AGAIN,
    CorruptedDataset,
    SetContents,
    SetRequest,
    in_catalog_order,
    named_entries,
    other_entries,
    set_layout,
)
from failmodes.ingest.corrupted_datasets.layouts.cifar_c import LARGEST_LABEL, ArrayWriter, labels_of_severity
from failmodes.ingest.corrupted_datasets.layouts.imagenet_c import digest_of_file
from failmodes.ingest.corrupted_datasets.manifest import recorded_ids, recorded_origin
from failmodes.ingest.corrupted_datasets.set_writer import SetPart
from failmodes.ingest.corruptions.catalog import SEVERITIES
from failmodes.ingest.datasets.archives import array_names, images_header, map_images, read_array
from failmodes.warehouse.errors import DataError, listed
from failmodes.warehouse.hashing import fingerprint_of, identity_of

MEDMNIST_C, IMAGES, LABELS = "medmnist-c", "test_images", "test_labels"
FIX = f": {FETCH_AGAIN}"
TRAIN = "train"
COPIED_BYTES = 1 << 20  # at a time
ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # so that the same images make the same bytes


@dataclass(frozen=True, kw_only=True)
class MedMnistCDataset(CorruptedDataset):
    """An opened dataset: the archive of each corruption, and the labels (n,)."""

    archives: dict[str, Path]
    labels: NDArray[np.int64]
    unpacked: dict[str, NDArray[np.uint8]] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the labels and of the bytes of every archive; the cache folder stores those of the archives."""
        hashes = {name: self._hash(path) for name, path in sorted(self.archives.items())}
        return identity_of({"labels": fingerprint_of([self.labels]), "archives": hashes})

    def labels_in(self, class_names: tuple[str, ...]) -> NDArray[np.int64]:
        """Its own labels: the layout has no class names."""
        return self.labels

    def _read(self, name: str, severity: Decimal, positions: NDArray[np.integer]) -> NDArray[np.uint8]:
        if name not in self.unpacked:
            self.unpacked[name] = map_images(self.archives[name], IMAGES, self.cache, FIX)
        images = np.asarray(self.unpacked[name][(int(severity) - 1) * self.image_count + positions])
        return np.repeat(images[..., None], 3, axis=-1) if images.ndim == 3 else images

    def _hash(self, path: Path) -> str:
        status = path.stat()
        stamp = [path.name, status.st_size, status.st_mtime_ns, str(path.resolve())]
        return self._cached_fingerprint(stamp, path.name, lambda: digest_of_file(path).hex())


def archive_contents(folder: Path) -> SetContents | None:
    """List a folder of archives: only the headers of images, and labels, are read.

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
    found, unnamed = named_entries(folder, files, ".npz")
    severities, damaged, _ = _readable({name: folder / found[name] for name in in_catalog_order(found)})
    return SetContents(severities, damaged, (*unnamed, *other_entries(folder, files)))


class ArchiveWriter(ArrayWriter):
    """Writes `<corruption>.npz`: an array, as for CIFAR-10-C, which is packed when its last severity is written."""

    hashed = "pixels, uint8 (N, H, W, 3), or (N, H, W) of gray images"
    encodings = ("npz",)

    def other_files(self) -> dict[str, bytes]:
        """None: every archive holds the labels."""
        return {}

    def path(self, part: SetPart) -> Path:
        """The archive."""
        return Path(f"{part.corruption}.npz")

    def partial(self, part: SetPart) -> Path:
        """The array as long as it is not packed."""
        return self.work / f"{part.corruption}.npy"

    def is_whole(self, part: SetPart) -> bool:
        """Whether the images of the archive have the expected shape."""
        try:
            return images_header(self.target(part), IMAGES).shape == self.stored_shape(part)
        except DataError:
            return False

    def stored(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Gray images have one channel."""
        return images[..., 0] if self.dataset.gray else images

    def stored_shape(self, part: SetPart) -> tuple[int, ...]:
        """The shape of the whole array."""
        return super().stored_shape(part)[: 3 if self.dataset.gray else 4]

    def publish(self, part: SetPart) -> None:
        """Pack the finished array with its labels."""
        partial, packed = self.partial(part), self.work / f"{part.corruption}.npz"
        dtype = np.uint8 if len(self.dataset.class_names) <= 256 else np.int64
        labels = np.tile(self.dataset.labels[self.image_ids].astype(dtype)[:, None], (len(SEVERITIES), 1))
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            with partial.open("rb") as array, _entry(archive, IMAGES) as entry:
                shutil.copyfileobj(array, entry, COPIED_BYTES)
            with _entry(archive, LABELS) as entry:
                np.lib.format.write_array(entry, labels, version=(1, 0))
        with packed.open("rb") as file:
            os.fsync(file.fileno())
        partial.unlink()  # before the archive appears: a killed writer starts this corruption again
        os.replace(packed, self.target(part))


@set_layout(
    MEDMNIST_C,
    contents=archive_contents,
    expected=f"<corruption>.npz with {IMAGES} and {LABELS} (as MedMNIST-C)",
    writer=ArchiveWriter,
)
def open_medmnist_c(request: SetRequest) -> MedMnistCDataset:
    """Open a dataset of archives.

    Raises:
        DataError: an archive is damaged, or images have several sizes.
    """
    folder = request.folder
    found, _ = named_entries(folder, [path.name for path in folder.glob("*.npz")], ".npz")
    archives = {name: folder / found[name] for name in request.held}
    _, _, labels = _readable(archives)
    sizes = {images_header(path, IMAGES, FIX).shape[1:3] for path in archives.values()}
    if len(sizes) > 1:
        raise DataError(f"{folder} mixes image sizes {sorted(sizes)}: expected one")
    return MedMnistCDataset(
        folder=folder,
        severities=request.held,
        image_count=len(labels),
        image_shape=(*sizes.pop(), 3),
        origin=recorded_origin(folder),
        cache=request.cache,
        clean_ids=recorded_ids(folder, MEDMNIST_C, len(labels)),
        archives=archives,
        labels=labels,
    )


def _readable(
    archives: dict[str, Path],
) -> tuple[dict[str, tuple[Decimal, ...]], dict[str, str], NDArray[np.int64]]:
    """Severities by corruption, the reasons why others cannot be read, and the labels (n,) of most archives."""
    damaged: dict[str, str] = {}
    labels: dict[str, NDArray[np.int64]] = {}
    row_counts: dict[str, int] = {}
    for name, path in archives.items():
        try:
            row_counts[name] = images_header(path, IMAGES, FIX).shape[0]
            labels[name] = _labels(path, row_counts[name])
        except DataError as error:
            damaged[name] = str(error)
    groups = Counter(one.tobytes() for one in labels.values())
    usual = groups.most_common(1)[0][0] if groups else b""
    shared = np.frombuffer(usual, np.int64)
    severities: dict[str, tuple[Decimal, ...]] = {}
    for name, own in labels.items():
        rounds, rest = divmod(row_counts[name], len(own))
        if own.tobytes() != usual:
            damaged[name] = f"{archives[name]} has labels in another order than the other archives{FIX}"
        elif rest or not 1 <= rounds <= SEVERITIES[-1]:
            damaged[name] = f"{archives[name]} holds {row_counts[name]:,} images of {len(own):,} labels{FIX}"
        else:
            severities[name] = tuple(Decimal(severity) for severity in SEVERITIES[:rounds])
    return severities, damaged, shared


def _is_archive(path: Path) -> bool:
    """Whether a file is an archive of test images, or too damaged to tell."""
    try:
        names = array_names(path)
    except DataError:
        return True
    return IMAGES in names and f"{TRAIN}_images" not in names


def _labels(path: Path, row_count: int) -> NDArray[np.int64]:
    """The labels (n,) of one severity.

    Raises:
        DataError: they are damaged, of several per image, or differ between severities.
    """
    found = read_array(path, LABELS, FIX)
    if found.ndim == 2 and found.shape[1] > 1:
        raise DataError(f"{path} has {found.shape[1]} labels per image: only datasets with one label can be evaluated")
    if found.ndim not in (1, 2) or not np.issubdtype(found.dtype, np.integer) or not len(found):
        raise DataError(f"{path}: {LABELS} is {found.dtype} {found.shape}: expected one whole number per image")
    first = labels_of_severity(found.reshape(-1).astype(np.int64), {row_count}, f"{path}: {LABELS}")
    if first.min() < 0 or first.max() > LARGEST_LABEL:
        raise DataError(f"{path}: {LABELS} has values outside 0 to {LARGEST_LABEL}")
    return first


def _entry(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    info = zipfile.ZipInfo(f"{name}.npy", ZIP_DATE)
    info.compress_type = zipfile.ZIP_DEFLATED
    return archive.open(info, "w", force_zip64=True)
