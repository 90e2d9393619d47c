"""The layout of ImageNet-C, `<corruption>/<severity>/<class>/<image>`: read on demand, written folder by folder.

Published as Zenodo 2235448. Images are numbered in the order of class folder and file name; every corruption and
severity holds the same ones. Names are open: Tiny-ImageNet-C, ImageNet-C-bar and ImageNet-3DCC have this layout too
(facebookresearch/augmentation-corruption, EPFL-VILAB/3DCommonCorruptions). The generator of ImageNet-C-bar names the
folders of severities by parameters, such as `sparkles/6.00` (`make_imagenet_c_bar.py`): these are severities by rank.
"""

import csv
import hashlib
import io
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property, partial
from itertools import compress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from failmodes.ingest.corrupted_datasets.corrupted_dataset import (
    FETCH_AGAIN,
    TEXT_SUFFIXES,
    CleanCount,
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
from failmodes.ingest.corruptions.catalog import SEVERITIES, THOUSANDTH, parse_severity, severity_text
from failmodes.ingest.data_files import list_entries
from failmodes.ingest.datasets.decoding import decode_opaque
from failmodes.ingest.datasets.folder_listing import IMAGE_SUFFIXES, MAX_NAME_SHOWN, class_name_of, is_image
from failmodes.runtime.errors import DataError, listed, printable
from failmodes.runtime.hashing import DIGEST_BYTES, file_digest, identity_of
from failmodes.runtime.storage.files import fsync
from failmodes.warehouse.schema import CLEAN

JPEG, JPEG_QUALITY = "jpeg", 85  # as ImageNet-C was published
GROUP_FOLDERS = ("noise", "blur", "weather", "digital", "extra")  # of the published archives
LIST_COLUMNS = ("file", "image", "label", "corruption", "severity")
NUMBER = re.compile(r"[0-9]{1,3}(\.[0-9]{1,9})?")  # names a folder that may be of a severity
Cells = dict[str, dict[Decimal, Path]]
FIX = f": {FETCH_AGAIN}"
SHOWN = 3  # names in a message
MAX_LEFT_OUT = 0.1  # share of images that may be left out because a cell lacks them
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
        return identity_of({"trees": {name: self._hash(name) for name in sorted(self.cells)}})

    def labels_in(self, class_names: tuple[str, ...]) -> NDArray[np.int64]:
        """Labels (n,): each class folder's index in `class_names`, by its name, or by the WordNet id it begins with."""
        labels = self._known_labels(class_names)
        if (labels < 0).any():
            unknown = sorted(
                {file.partition("/")[0] for file, label in zip(self.files, labels, strict=True) if label < 0}
            )
            raise DataError(
                f"{self.folder} has a class {unknown[0]!r} that the clean dataset lacks ({len(unknown):,} such classes;"
                f" it has {', '.join(class_names[:3])}, …): class folders must have the names of the dataset's classes"
            )
        return labels

    def of_classes(self, class_names: tuple[str, ...]) -> CorruptedDataset:
        """The images whose class folder is a class of the dataset, unless none is."""
        known = self._known_labels(class_names) >= 0
        if known.all() or not known.any():
            return self
        kept = tuple(compress(self.files, known))
        folders, shared = ({file.partition("/")[0] for file in files} for files in (self.files, kept))
        return replace(
            self,
            files=kept,
            image_count=len(kept),
            image_names=tuple(map(without_suffix, kept)),
            other_classes=f"{len(folders) - len(shared):,} of {len(folders):,} classes are not in the clean dataset: "
            f"their {len(known) - len(kept):,} of {len(known):,} images are left out of every corruption and severity",
        )

    def _known_labels(self, class_names: tuple[str, ...]) -> NDArray[np.int64]:
        """Labels (n,), -1 for a class folder that is none of these classes."""
        indices = {name: label for label, name in enumerate(class_names)}
        folders = (file.partition("/")[0] for file in self.files)
        labels = (indices.get(name, indices.get(class_name_of(name), -1)) for name in folders)
        return np.fromiter(labels, np.int64, len(self.files))

    def _read(self, name: str, severity: Decimal, positions: NDArray[np.integer]) -> NDArray[np.uint8]:
        folder = self.cells[name][severity]
        images = np.empty((len(positions), *self.image_shape), np.uint8)
        with ThreadPoolExecutor(WORKERS) as pool:
            paths = [folder / self.files[position] for position in positions]
            for row, pixels in enumerate(pool.map(partial(_decode, shape=self.image_shape), paths)):
                images[row] = pixels
        return images

    def _hash(self, name: str) -> str:
        cells = self.cells[name]
        listed = {severity: list_image_files(cell) for severity, cell in sorted(cells.items())}

        def compute() -> str:
            return identity_of({severity_text(s): fingerprint_of_files(cells[s], files) for s, files in listed.items()})

        every = (cells[severity] / file for severity, files in listed.items() for file in files)
        return self._fingerprint_of_files(name, every, compute)


def corruption_folders(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Folders of corruptions by name, directly in `folder` or in `noise`, `blur` and so on; and the other entries.

    A folder is a corruption's if it has a folder named by a severity, such as `1`; that of clean images is not.

    Raises:
        DataError: a corruption has two folders, or a folder cannot be read.
    """
    directly = _with_severities(folder)
    inside = {name: _with_severities(folder / name) for name in GROUP_FOLDERS if name not in directly}
    groups = {name: folders for name, folders in inside.items() if folders}
    folder_of_name: dict[str, Path] = {}
    others: list[str] = []
    for parent, entries in {"": directly, **groups}.items():
        named, unnamed = named_entries(folder / parent, entries)
        for name, entry in named.items():
            path = folder / parent / entry
            if folder_of_name.setdefault(name, path) != path:
                raise DataError(f"{name} has two folders, {folder_of_name[name]} and {path}: remove one")
        known = [*entries, *((*groups, CLEAN) if not parent else ())]
        others += unnamed + [f"{parent}/{entry}".removeprefix("/") for entry in other_entries(folder / parent, known)]
    return folder_of_name, others


def _with_severities(folder: Path) -> list[str]:
    """The folders in a folder that have one named by a severity."""
    if not folder.is_dir():
        return []
    return [
        name
        for name in list_entries(folder, FIX).folders
        if name != CLEAN and any(map(NUMBER.fullmatch, list_entries(folder / name, FIX).folders))
    ]


def tree_contents(folder: Path, clean_count: CleanCount) -> SetContents | None:
    """List the corruptions and severities of a tree; no class folder is read.

    Raises:
        DataError: a corruption has two folders, or a folder cannot be read.
    """
    del clean_count
    folders, others = corruption_folders(folder)
    if not folders:
        return None
    severities: dict[str, tuple[Decimal, ...]] = {}
    damaged: dict[str, str] = {}
    by_rank: dict[str, tuple[str, ...]] = {}
    for name in in_catalog_order(folders):
        try:
            held, unread = _severities(folders[name], folder)
        except DataError as error:
            damaged[name] = str(error)
            continue
        others += [f"{folders[name].relative_to(folder)}/{entry}" for entry in unread]
        names = tuple(held[severity].name for severity in sorted(held))
        if any(Decimal(entry) != severity for entry, severity in zip(names, sorted(held), strict=True)):
            by_rank[name] = names
        if held:
            severities[name] = tuple(sorted(held))
        else:
            damaged[name] = f"{folders[name]} has no severities, such as {folders[name]}/1 to 5: {FETCH_AGAIN}"
    return SetContents(severities, damaged, tuple(others), by_rank)


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

    def list_files(self, parts: Sequence[SetPart]) -> bytes:
        """CSV of the images of these parts: `file` within the dataset, `image` within the part, and their cell."""
        content = io.StringIO()
        writer = csv.writer(content, lineterminator="\n")
        writer.writerow(LIST_COLUMNS)
        for part in parts:
            cell = self.path(part).as_posix()
            for image_id, file in zip(self.image_ids, self.files, strict=True):
                label = self.dataset.class_names[self.dataset.labels[image_id]]
                severity = severity_text(part.severities[0])
                writer.writerow((f"{cell}/{file}", file, label, part.corruption, severity))
        return content.getvalue().encode("utf-8", "surrogateescape")

    def is_whole(self, part: SetPart) -> bool:
        """Whether the folder has the expected number of images."""
        target = self.folder / self.path(part)
        return target.is_dir() and len(list_image_files(target)) == len(self.files)

    def write(self, part: SetPart, to: Path, advance: ProgressCallback) -> Fingerprints:
        """Write block by block."""
        folders = {(to / file).parent for file in self.files}
        for folder in folders:
            folder.mkdir(parents=True)
        paths = iter(self.files)
        with ThreadPoolExecutor(WORKERS) as pool:
            for block in self.blocks(part.corruption, part.severities[0]):
                for _ in pool.map(self._save_image, [to / next(paths) for _ in block], block):
                    advance(1)
        for folder in (*folders, to):
            fsync(folder)
        return {severity_text(part.severities[0]): fingerprint_of_files(to, list_image_files(to))}

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
    folders, _ = corruption_folders(request.folder)
    cells = {name: _severities(folders[name], request.folder)[0] for name in request.contents.severities}
    requested = [cells[name][severity] for name, severities in request.cells.items() for severity in severities]
    files, left_out = _shared_files(requested, request)
    first = decode_opaque(requested[0] / files[0], str(requested[0] / files[0]))
    return ImageNetCDataset(
        request=request,
        image_count=len(files),
        image_shape=(first.height, first.width, 3),
        image_names=tuple(map(without_suffix, files)),
        left_out=left_out,
        cells=cells,
        files=files,
    )


def _severities(folder: Path, root: Path) -> tuple[dict[Decimal, Path], list[str]]:
    """The folders of a corruption of the tree `root` by severity, and its other folders.

    Raises:
        DataError: two folders are of one severity, or more than five are named by parameters.
    """
    folder_of_severity: dict[Decimal, Path] = {}
    names = list_entries(folder, FIX).folders
    unread = [f"{printable(name, MAX_NAME_SHOWN)}/" for name in names if not NUMBER.fullmatch(name)]
    levels = {name: Decimal(name) for name in names if NUMBER.fullmatch(name)}
    if _are_parameters(levels, root):
        ranks = {level: Decimal(rank) for rank, level in enumerate(sorted({*levels.values()}), start=1)}
        if len(ranks) > SEVERITIES[-1]:
            raise DataError(
                f"{folder} has {len(ranks)} folders named by numbers, {listed(levels, SHOWN)}: expected 1 to 5"
            )
        levels = {name: ranks[level] for name, level in levels.items()}
    for name, severity in levels.items():
        if parse_severity(str(severity)) is None or severity % THOUSANDTH:
            unread.append(f"{name}/ (severities are above 0 and up to 5, to thousandths)")
        elif severity in folder_of_severity:
            raise DataError(f"{folder} has severity {severity_text(severity)} twice: remove one folder")
        else:
            folder_of_severity[severity] = folder / name
    return folder_of_severity, unread


def _are_parameters(levels: Mapping[str, Decimal], root: Path) -> bool:
    """Whether numbers that name folders are parameters of a corruption: fractions, or whole numbers beyond 1 to 5.

    They are severities where they are 1 … k, all of 1 to 5 are among them, or the tree was written here.
    """
    numbers, whole = {*levels.values()}, {*map(Decimal, SEVERITIES)}
    if numbers in ({*map(Decimal, SEVERITIES[:count])} for count in SEVERITIES) or numbers >= whole:
        return False
    is_missing_some = numbers <= whole and not any("." in name for name in levels)
    return not is_missing_some and recorded_origin(root) is None


def _shared_files(cells: list[Path], request: SetRequest) -> tuple[tuple[str, ...], str]:
    """The files that all cells have, in order, and how many other images are left out and files not read, in words.

    Raises:
        DataError: there are none, or a cell lacks a file of another: any, or with `request.every` more than
            MAX_LEFT_OUT of them.
    """
    shared = set(list_image_files(cells[0]))
    every = set[str]()
    counts: dict[Path, int] = {}
    unread: list[str] = []
    for cell in cells:
        files, others = _list_cell(cell)
        counts[cell] = len(files)
        shared.intersection_update(files)
        every.update(files)
        unread += [f"{cell.relative_to(request.folder)}/{printable(other, MAX_NAME_SHOWN)}" for other in others]
    if not every:
        raise DataError(f"{cells[0]} holds no images: expected <class>/<image>.JPEG, {FETCH_AGAIN}")
    in_order = tuple(sorted(shared, key=lambda file: file.split("/")))
    expected = f"expected {', '.join(sorted(IMAGE_SUFFIXES))} in class folders"
    words = [f"{len(unread):,} entries are not read ({listed(unread, SHOWN)}): {expected}"] if unread else []
    if len(shared) == len(every):
        return in_order, "; ".join(words)
    least = min(cells, key=lambda cell: counts[cell])
    if not request.every or not shared or len(shared) < (1 - MAX_LEFT_OUT) * len(every):
        missing = sorted(every.difference(list_image_files(least)))
        raise DataError(
            f"{least} lacks {missing[0]}, which another severity or corruption has ({len(missing):,} missing){FIX}"
        )
    left_out = (
        f"{len(every) - len(shared):,} of {len(every):,} images are left out of every corruption and severity, because"
        f" not all of them hold it: {least.relative_to(request.folder)} holds {counts[least]:,}"
    )
    return in_order, "; ".join([left_out, *words])


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
    return _list_cell(cell)[0]


def _list_cell(cell: Path) -> tuple[list[str], list[str]]:
    """The images of a cell, and its other files and folders, without texts."""
    here = list_entries(cell, FIX)
    images: list[str] = []
    others = here.files
    for folder in here.folders:
        inner = list_entries(cell / folder, FIX)
        for entry in inner.files:
            (images if is_image(entry, IMAGE_SUFFIXES) else others).append(f"{folder}/{entry}")
        others += [f"{folder}/{name}/" for name in inner.folders]
    return images, [entry for entry in others if not is_image(entry, TEXT_SUFFIXES)]


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
        for file, digest in zip(files, pool.map(file_digest, [folder / file for file in files]), strict=True):
            hasher.update(len(os.fsencode(file)).to_bytes(4, "little") + os.fsencode(file) + digest)
    return hasher.hexdigest()
