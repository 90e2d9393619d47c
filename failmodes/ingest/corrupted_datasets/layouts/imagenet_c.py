"""The layout of ImageNet-C, `<corruption>/<severity>/<class>/<image>`: read on demand, written folder by folder.

Published as Zenodo 2235448. Images are numbered in the order of class folder and file name; every corruption and
severity holds the same ones. Names are open: Tiny-ImageNet-C, ImageNet-C-bar and ImageNet-3DCC have this layout too
(facebookresearch/augmentation-corruption, EPFL-VILAB/3DCommonCorruptions).
"""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from failmodes.ingest.corrupted_datasets.corrupted_dataset import (
    FETCH_AGAIN,
    CorruptedDataset,
    SetContents,
    SetRequest,
    image_names,
    in_catalog_order,
    named_entries,
    other_entries,
    set_layout,
    without_suffix,
)
from failmodes.ingest.corrupted_datasets.manifest import recorded_origin
from failmodes.ingest.corrupted_datasets.set_writer import Fingerprints, ProgressCallback, SetPart, SetWriter
from failmodes.ingest.corruptions.catalog import parse_severity, severity_text
from failmodes.ingest.data_files import list_entries
from failmodes.ingest.datasets.decoding import decode_opaque
from failmodes.ingest.datasets.folder_listing import IMAGE_SUFFIXES, MOST_NAME_SHOWN, class_name_of
from failmodes.warehouse.errors import DataError, StorageError, printable
from failmodes.warehouse.hashing import DIGEST_BYTES, identity_of
from failmodes.warehouse.storage.files import check_regular, fsync, make_folder, storage_errors

JPEG, JPEG_QUALITY = "jpeg", 85  # as ImageNet-C was published
GROUP_FOLDERS = (
    "noise",
    "blur",
    "weather",
    "digital",
    "extra",
)  # of the published archives
Cells = dict[str, dict[Decimal, Path]]
FIX = f": {FETCH_AGAIN}"
MOST_LEFT_OUT = 0.1  # share of images that may be left out because a cell lacks them
WORKERS = min(32, os.cpu_count() or 1)  # reading, hashing and (de)coding release Python's lock, so threads help


@dataclass(frozen=True, kw_only=True)
class ImageNetCDataset(CorruptedDataset):
    """An opened tree with the folder of each corruption and severity, and the files (n) that all of them have."""

    cells: Cells
    files: tuple[str, ...]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the names and bytes of all files of every corruption in the folder.

        It reads every byte once (ImageNet-C: about 95 GB), so the cache folder stores each corruption's hash.
        """
        hashes = {name: self._hash(name, cells) for name, cells in sorted(self.cells.items())}
        return identity_of({"trees": hashes})

    def labels_in(self, class_names: tuple[str, ...]) -> NDArray[np.int64]:
        """Labels (n,): each class folder's index in `class_names`, by its name, or by the WordNet id it begins with."""
        indices = {name: label for label, name in enumerate(class_names)}
        folders = [file.partition("/")[0] for file in self.files]
        folders = [name if name in indices else class_name_of(name) for name in folders]
        unknown = sorted(set(folders) - indices.keys())
        if unknown:
            raise DataError(
                f"{self.folder} has a class {unknown[0]!r} that the clean dataset lacks ({len(unknown):,} such classes;"
                f" it has {', '.join(class_names[:3])}, …): class folders must have the names of the dataset's classes"
            )
        return np.array([indices[name] for name in folders], dtype=np.int64)

    def _read(self, name: str, severity: Decimal, positions: NDArray[np.integer]) -> NDArray[np.uint8]:
        folder = self.cells[name][severity]
        images = np.empty((len(positions), *self.image_shape), np.uint8)
        with ThreadPoolExecutor(WORKERS) as pool:
            paths = [folder / self.files[position] for position in positions]
            for row, pixels in enumerate(pool.map(partial(_decode, shape=self.image_shape), paths)):
                images[row] = pixels
        return images

    def _hash(self, name: str, cells: dict[Decimal, Path]) -> str:
        listings = [(severity_text(s), cells[s], list_image_files(cells[s])) for s in sorted(cells)]
        stamp = [[name, folder, str(cell.resolve()), file_stats(cell, files)] for folder, cell, files in listings]

        def fingerprint() -> str:
            return identity_of({folder: fingerprint_of_files(cell, files) for folder, cell, files in listings})

        return self._cached_fingerprint(stamp, name, fingerprint)


def corruption_folders(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Folders of corruptions by name, directly in `folder` or in `noise`, `blur` and so on; and the other entries.

    A folder is a corruption's if it has a folder named by a severity, such as `1`.

    Raises:
        DataError: a corruption has two folders, or a folder cannot be read.
    """
    groups = [name for name in GROUP_FOLDERS if (folder / name).is_dir() and not _has_severities(folder / name)]
    known: list[str] = []
    for parent in ("", *groups):
        inside = [
            name for name in list_entries(folder / parent, FIX).folders if _has_severities(folder / parent / name)
        ]
        known += [f"{parent}/{name}" if parent else name for name in inside]
    found, unnamed = _named(folder, known)
    others = list(unnamed)
    for parent in ("", *(group for group in groups if any(path.startswith(f"{group}/") for path in known))):
        names = {
            path.removeprefix(f"{parent}/").split("/")[0]
            for path in known
            if not parent or path.startswith(f"{parent}/")
        }
        others += [f"{parent}/{entry}" if parent else entry for entry in other_entries(folder / parent, names)]
    return {name: folder / path for name, path in found.items()}, others


def _named(folder: Path, paths: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Paths within a folder by the corruption that each is named after; see `named_entries`."""
    found: dict[str, str] = {}
    unnamed: list[str] = []
    for parent in dict.fromkeys(path.rpartition("/")[0] for path in paths):
        own = [path for path in paths if path.rpartition("/")[0] == parent]
        some, others = named_entries(folder / parent, [path.rpartition("/")[2] for path in own])
        unnamed += others
        for name, entry in some.items():
            path = f"{parent}/{entry}" if parent else entry
            if name in found:
                raise DataError(f"{name} has two folders, {folder / found[name]} and {folder / path}: remove one")
            found[name] = path
    return found, unnamed


def _has_severities(folder: Path) -> bool:
    return any(_number(name) is not None for name in list_entries(folder, FIX).folders)


def _number(name: str) -> Decimal | None:
    """The number that names a folder, whether or not it is a possible severity."""
    return Decimal(name) if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})?", name) else None


def tree_contents(folder: Path) -> SetContents | None:
    """List the corruptions and severities of a tree; no class folder is read.

    Raises:
        DataError: a corruption or severity has two folders, or a folder cannot be read.
    """
    folders, others = corruption_folders(folder)
    if not folders:
        return None
    severities: dict[str, tuple[Decimal, ...]] = {}
    damaged: dict[str, str] = {}
    for name in in_catalog_order(folders):
        held, unread = _severities(folders[name])
        others += [f"{folders[name].relative_to(folder)}/{entry}" for entry in unread]
        if held:
            severities[name] = tuple(sorted(held))
        else:
            damaged[name] = f"{folders[name]} has no severity from 1 to 5, such as {folders[name]}/1: {FETCH_AGAIN}"
    return SetContents(severities, damaged, tuple(others))


@dataclass(frozen=True, eq=False)
class TreeWriter(SetWriter):
    """Writes `<corruption>/<severity>`; the folder appears when all its images are written."""

    encodings = (JPEG, "png")
    hashed = "names and bytes of the files"
    part_per_severity = True

    def __post_init__(self) -> None:
        assert self.files  # names that cannot be those of files are refused before anything is written

    @property
    def jpeg_quality(self) -> int | None:
        """That of the published ImageNet-C."""
        return JPEG_QUALITY if self.encoding == JPEG else None

    @cached_property
    def files(self) -> list[str]:
        """`class/image.JPEG` of every image."""
        suffix = "JPEG" if self.encoding == JPEG else self.encoding
        names = image_names(self.dataset)
        return [f"{names[image_id]}.{suffix}" for image_id in self.image_ids]

    def path(self, part: SetPart) -> Path:
        """The severity's folder."""
        return Path(part.corruption, severity_text(part.severities[0]))

    def is_whole(self, part: SetPart) -> bool:
        """Whether the folder has the expected number of images."""
        return self.target(part).is_dir() and len(list_image_files(self.target(part))) == len(self.files)

    def write(self, part: SetPart, advance: ProgressCallback) -> Fingerprints:
        """Write block by block; each is noted once it is on the disk."""
        partial, target = self.partial(part), self.target(part)
        noted = self.read_note(part).get("images") if partial.exists() else 0
        start = noted if isinstance(noted, int) and 0 <= noted <= len(self.files) else 0
        advance(start)
        for block in self.blocks(part.corruption, part.severities[0], start):
            self._save(partial, self.files[start : start + len(block)], block)
            start += len(block)
            self.write_note(part, {"images": start})
            advance(len(block))
        files = list_image_files(partial)
        if len(files) != len(self.files):  # after a power failure, or if images were removed
            self.tidy(part)
            raise StorageError(f"images in {partial} were lost: run the same command again")
        done = {target.name: fingerprint_of_files(partial, files)}
        self.write_note(part, {"images": start, **done})
        make_folder(target.parent)
        with storage_errors(target):
            os.replace(partial, target)
            fsync(target.parent)
            fsync(self.folder)
        return done

    def _save(self, partial: Path, files: Sequence[str], images: NDArray[np.uint8]) -> None:
        folders = {(partial / file).parent for file in files}
        with storage_errors(partial):
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
            with ThreadPoolExecutor(WORKERS) as pool:
                for _ in pool.map(self._save_image, [partial / file for file in files], images):
                    pass  # raises the error of a file
            for folder in (*folders, partial):
                fsync(folder)

    def _save_image(self, path: Path, pixels: NDArray[np.uint8]) -> None:
        options = {"quality": JPEG_QUALITY, "optimize": True} if self.encoding == JPEG else {}
        with path.open("wb") as file:
            Image.fromarray(pixels).save(file, self.encoding, **options)
            file.flush()
            os.fsync(file.fileno())


@set_layout(
    "imagenet-c",
    contents=tree_contents,
    expected="folders <corruption>/<severity>/<class>/<image> (as ImageNet-C)",
    writer=TreeWriter,
)
def open_imagenet_c(request: SetRequest) -> ImageNetCDataset:
    """Open a tree and check that the needed files exist; images are decoded when they are requested.

    Raises:
        DataError: it lacks a needed image, or its first image is damaged.
    """
    folder, (folders, _) = request.folder, corruption_folders(request.folder)
    cells = {name: _severities(folders[name])[0] for name in request.held}
    requested = [cells[name][severity] for name, severities in request.cells.items() for severity in severities]
    files, left_out = _shared_files(requested, folder) if request.every else (_same_files(requested), "")
    first = decode_opaque(requested[0] / files[0], str(requested[0] / files[0]))
    return ImageNetCDataset(
        folder=folder,
        severities=request.held,
        image_count=len(files),
        image_shape=(first.height, first.width, 3),
        origin=recorded_origin(folder),
        cache=request.cache,
        image_names=tuple(map(without_suffix, files)),
        left_out=left_out,
        cells=cells,
        files=files,
    )


def _severities(folder: Path) -> tuple[dict[Decimal, Path], list[str]]:
    """The folders of a corruption by severity, and its other folders."""
    found: dict[Decimal, Path] = {}
    unread: list[str] = []
    for name in list_entries(folder, FIX).folders:
        severity = parse_severity(name) if _number(name) is not None else None
        if severity is None:
            unread.append(f"{printable(name, MOST_NAME_SHOWN)}/ (severities are above 0 and up to 5)")
        elif severity in found:
            raise DataError(f"{folder} has severity {severity_text(severity)} twice: remove one folder")
        else:
            found[severity] = folder / name
    return found, unread


def _shared_files(cells: list[Path], folder: Path) -> tuple[tuple[str, ...], str]:
    """The files that all cells have, and how many others are left out, in words.

    Raises:
        DataError: a cell lacks more than MOST_LEFT_OUT of the files of another.
    """
    listed = [list_image_files(cell) for cell in cells]
    most = max(range(len(cells)), key=lambda place: len(listed[place]))
    shared = set(listed[most]).intersection(*listed)
    every = set().union(*listed)
    least = min(range(len(cells)), key=lambda place: len(listed[place]))
    if not shared or len(shared) < (1 - MOST_LEFT_OUT) * len(every):
        _same_files([cells[most], cells[least], *cells])
    if len(shared) == len(every):
        return tuple(listed[most]), ""
    return tuple(file for file in listed[most] if file in shared), (
        f"{len(every) - len(shared):,} of {len(every):,} images are left out of every corruption and severity, because"
        f" not all of them hold it: {cells[least].relative_to(folder)} holds {len(listed[least]):,}"
    )


def _same_files(cells: list[Path]) -> tuple[str, ...]:
    """The files of all cells; raises an error if a cell lacks one."""
    first = list_image_files(cells[0])
    for cell in cells[1:]:
        files = list_image_files(cell)
        if files == first:
            continue
        for lacking, having in ((cell, cells[0]), (cells[0], cell)):
            missing = sorted(set(list_image_files(having)) - set(list_image_files(lacking)))
            if missing:
                raise DataError(
                    f"{lacking} lacks {missing[0]}, which {having} has ({len(missing):,} missing): {FETCH_AGAIN}"
                )
    if not first:
        raise DataError(f"{cells[0]} holds no images: expected <class>/<image>.JPEG, {FETCH_AGAIN}")
    return tuple(first)


def _decode(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    pixels = np.asarray(decode_opaque(path, str(path)))
    if pixels.shape != shape:
        raise DataError(
            f"{path} is {pixels.shape[1]}×{pixels.shape[0]} pixels, the first image"
            f" {shape[1]}×{shape[0]}: expected one size"
        )
    return pixels


def list_image_files(cell: Path) -> list[str]:
    """`class/image` of every image of one corruption and severity, by class folder, then by file name."""
    return [
        f"{folder}/{entry}"
        for folder in list_entries(cell, FIX).folders
        for entry in list_entries(cell / folder, FIX).files
        if Path(entry).suffix.lower() in IMAGE_SUFFIXES
    ]


def fingerprint_of_files(folder: Path, files: Sequence[str]) -> str:
    """Hash of files' names and bytes, in their order.

    Args:
        folder: their folder.
        files: their paths within it.

    Returns:
        16 hexadecimal digits.
    """
    hasher = hashlib.blake2b(digest_size=DIGEST_BYTES)
    with ThreadPoolExecutor(WORKERS) as pool:
        for file, digest in zip(files, pool.map(digest_of_file, [folder / file for file in files]), strict=True):
            hasher.update(len(os.fsencode(file)).to_bytes(4, "little") + os.fsencode(file) + digest)
    return hasher.hexdigest()


def file_stats(cell: Path, files: list[str]) -> list[list[object]]:
    """Name, size and modification time of every file."""
    with _reading(cell):
        statuses = [(cell / file).stat() for file in files]
    return [[file, status.st_size, status.st_mtime_ns] for file, status in zip(files, statuses, strict=True)]


def digest_of_file(path: Path) -> bytes:
    """BLAKE2b digest of a regular file's bytes."""
    with _reading(path):
        check_regular(path)
        file = path.open("rb")
    with file, _reading(path):
        return hashlib.file_digest(file, partial(hashlib.blake2b, digest_size=DIGEST_BYTES)).digest()


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"{error.filename or path} cannot be read ({error.strerror}): {FETCH_AGAIN}") from error
