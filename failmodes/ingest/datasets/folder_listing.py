"""List the images in class folders, in order, and the files that are skipped, with the reason."""

import os
import re
from collections.abc import Collection, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.data_files import Entries, check_names, list_entries
from failmodes.ingest.datasets.dataset import MAX_CLASSES
from failmodes.runtime.errors import DataError, counted, listed, printable
from failmodes.runtime.storage.files import reason_of

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg"}  # of published datasets
READ_SUFFIXES = IMAGE_SUFFIXES | {".bmp", ".gif", ".tif", ".tiff", ".webp"}
UNREAD_SUFFIXES = {".avif", ".heic", ".heif", ".jp2", ".jxl"}  # of images in formats that are not read
FOLDER_HINT = "expected one folder per class with .png, .jpg or .jpeg images, such as cat/0001.png"

NAMED_CLASSES, NAMED_FILES = 10, 2  # that a note lists
MAX_NAME_SHOWN = 60  # letters of each
MAX_COUNTED = 100_000  # files in folders within classes
WORDNET_FOLDER = re.compile(r"(n[0-9]{8})[-_ .,]")  # as in n01440764_tench

SPLIT_FOLDERS = {"train", "test", "val", "valid", "validation"}

NESTED, BESIDE_SPLIT, AT_ROOT, OTHER = "nested", "beside", "at the root", "other"
HIDDEN, HIDDEN_FOLDER = "hidden", "hidden folder"
LEFT_OUT_WORDS = {
    NESTED: ("file in a folder within a class", "files in folders within classes"),
    BESIDE_SPLIT: ("folder beside the split's", "folders beside the split's"),
    AT_ROOT: ("image at the root", "images at the root"),
    OTHER: ("file of another format", "files of other formats"),
    HIDDEN: ("hidden file", "hidden files"),
    HIDDEN_FOLDER: ("hidden folder", "hidden folders"),
}


class LeftOut(NamedTuple):
    """A skipped file or folder.

    Attributes:
        reason: a key of LEFT_OUT_WORDS.
        name: its path within the dataset's folder; folders end in a slash.
        file_count: number of files in a folder within a class; 1 for everything else.
        image_count: how many images of a class it is or holds.
    """

    reason: str
    name: str
    file_count: int = 1
    image_count: int = 0


class FolderListing(NamedTuple):
    """The content of a folder.

    Attributes:
        class_names: one per class folder, in the order of the folders' names.
        folder_names: of the class folders.
        files: images, by class, then by file name.
        labels: (N,) int64, their classes.
        left_out: skipped files.
    """

    class_names: tuple[str, ...]
    folder_names: tuple[str, ...]
    files: list[Path]
    labels: NDArray[np.int64]
    left_out: list[LeftOut]

    @property
    def unread(self) -> int:
        """How many images of its classes are not read."""
        return sum(entry.image_count for entry in self.left_out)

    def notes(self, beside: Sequence[LeftOut] = ()) -> list[str]:
        """Notes on skipped files (`beside` too), on class names that differ from the folders', and on empty classes."""
        left_out = [*beside, *self.left_out]
        notes = [f"skipped: {describe_left_out(left_out)}"] if left_out else []
        named = [folder for folder, name in zip(self.folder_names, self.class_names, strict=True) if folder != name]
        if named:
            of = "ids that 1 folder begins" if len(named) == 1 else f"ids that {len(named):,} folders begin"
            notes.append(f"classes named by the WordNet {of} with ({_some(named)})")
        present = set(self.labels.tolist())
        empty = [printable(name) for index, name in enumerate(self.class_names) if index not in present]
        if empty:
            notes.append(f"no images of {listed(empty, NAMED_CLASSES)}")
        return notes


def list_images(root: Path) -> FolderListing:
    """List images in the order of their image_id: by class, then by file name.

    Every entry with a suffix of READ_SUFFIXES, in any case, is an image: a pipe or a broken link among them is an
    error, not skipped.

    Raises:
        DataError: there are no class folders or no images, more classes than can be stored, a name is not valid text,
            two folders are of one class, all files of a class are skipped, or most of all images are.
    """
    here = list_entries(root)
    if not here.folders:
        raise DataError(f"{root} has no class folders: {FOLDER_HINT}")
    if len(here.folders) > MAX_CLASSES:
        raise DataError(
            f"{root} has {len(here.folders):,} class folders: at most {MAX_CLASSES:,} classes can be stored"
        )
    check_names(here.folders, str(root))
    files: list[Path] = []
    labels: list[int] = []
    left_out = _not_in_classes(here)
    emptied: list[tuple[str, list[LeftOut]]] = []
    for label, name in enumerate(here.folders):
        images, others = _list_class(root, name)
        files += [root / name / image for image in images]
        labels += [label] * len(images)
        left_out += others
        if others and not images:
            emptied.append((name, others))
    if emptied:
        raise DataError(_no_image_of(root, emptied))
    if not files:
        folders = f"{counted(len(here.folders), 'class folder')} ({listed(here.folders, 3)})"
        raise DataError(f"{root} has {folders} but no images: {FOLDER_HINT}")
    names = _class_names(here.folders, root)
    listing = FolderListing(names, tuple(here.folders), files, np.array(labels, dtype=np.int64), left_out)
    if listing.unread > len(files):
        raise DataError(
            f"{root}: {listing.unread:,} of {listing.unread + len(files):,} images would be skipped: "
            f"{describe_left_out(listing.left_out)}; put them directly into their class folders, as "
            f"{', '.join(sorted(READ_SUFFIXES))}, or remove them"
        )
    return listing


def list_beside(path: Path) -> list[LeftOut]:
    """Skipped entries beside the folder of a split: all but folders named like splits.

    Raises:
        DataError: it cannot be read.
    """
    here = list_entries(path)
    folders = [f"{name}/" for name in here.folders if name not in SPLIT_FOLDERS]
    return [LeftOut(BESIDE_SPLIT, name) for name in folders] + _not_in_classes(here)


def class_name_of(folder_name: str) -> str:
    """The class of a folder: its name, or the WordNet id at its beginning, n01440764 of n01440764_tench.

    ImageNet models name their classes by id or by name, not by both in one.
    """
    match = WORDNET_FOLDER.match(folder_name)
    return match[1] if match else folder_name


def describe_left_out(left_out: Sequence[LeftOut]) -> str:
    """Skipped files as text: "2 hidden files (.DS_Store, cat/._1.jpg), 1 image at the root (a.jpg)"."""
    parts = []
    for reason, words in LEFT_OUT_WORDS.items():
        some = [entry for entry in left_out if entry.reason == reason]
        if some:
            count = sum(entry.file_count for entry in some)
            more = " or more" if reason == NESTED and count >= MAX_COUNTED else ""
            parts.append(f"{count:,}{more} {words[count > 1]} ({_some([entry.name for entry in some])})")
    return ", ".join(parts)


def is_image(name: str, suffixes: Collection[str] = READ_SUFFIXES) -> bool:
    """Whether a file's name has one of the suffixes, in any case."""
    return os.path.splitext(name)[1].lower() in suffixes  # of a million names, much faster than a Path's


def _list_class(root: Path, name: str) -> tuple[list[str], list[LeftOut]]:
    """Names of a class's images, sorted, and the other entries of its folder."""
    entries = list_entries(root / name)
    images: list[str] = []
    left_out: list[LeftOut] = []
    for entry in entries.files:
        if is_image(entry):
            images.append(entry)
        else:
            left_out.append(LeftOut(OTHER, f"{name}/{entry}", image_count=int(is_image(entry, UNREAD_SUFFIXES))))
    check_names(images, str(root / name))
    for inner in entries.folders:
        count, image_count = _count_files(root / name / inner)
        if count:
            left_out.append(LeftOut(NESTED, f"{name}/{inner}/", count, image_count))
    return images, left_out + _hidden(entries.hidden, f"{name}/")


def _not_in_classes(entries: Entries) -> list[LeftOut]:
    """Files of a folder of folders."""
    files = [LeftOut(AT_ROOT if is_image(name) else OTHER, name) for name in entries.files]
    return files + _hidden(entries.hidden, "")


def _hidden(names: Sequence[str], within: str) -> list[LeftOut]:
    return [LeftOut(HIDDEN_FOLDER if name.endswith("/") else HIDDEN, f"{within}{name}") for name in names]


def _count_files(folder: Path) -> tuple[int, int]:
    """Number of files in a folder and its subfolders, hidden ones excluded, up to MAX_COUNTED; and of images.

    Raises:
        DataError: one cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename} cannot be read ({reason_of(error)})") from error

    files = (
        name
        for _, _, names in os.walk(folder, onerror=refuse)  # follows no links, which may be circular
        for name in names
        if not name.startswith(".")
    )
    names = list(islice(files, MAX_COUNTED))
    return len(names), sum(is_image(name, READ_SUFFIXES | UNREAD_SUFFIXES) for name in names)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(printable(name, MAX_NAME_SHOWN) for name in names[:NAMED_FILES])
    return f"{shown}, …" if len(names) > NAMED_FILES else shown


def _no_image_of(root: Path, emptied: list[tuple[str, list[LeftOut]]]) -> str:
    name, others = emptied[0]
    more = f" ({len(emptied):,} such classes)" if len(emptied) > 1 else ""
    fix = f"put images ({', '.join(sorted(READ_SUFFIXES))}) directly into it, or remove it"
    if any(entry.reason == NESTED for entry in others):
        fix = f"give {root / name} as the path if the folders in it are the classes; else {fix}"
    return f"{root / name} has no readable image, only {describe_left_out(others)}{more}: {fix}"


def _class_names(folders: Sequence[str], root: Path) -> tuple[str, ...]:
    """The class of each folder.

    Raises:
        DataError: two folders have the same class.
    """
    folder_of: dict[str, str] = {}
    for folder in folders:
        first = folder_of.setdefault(class_name_of(folder), folder)
        if first != folder:
            raise DataError(
                f"{root} has two folders of the class {class_name_of(folder)}, {first} and {folder}: move the images"
                " into one"
            )
    return tuple(folder_of)
