"""Images as arrays: a folder of `images.npy`, `labels.npy` and `classes.json`, mapped, never copied.

images.npy     (N, H, W, 3) uint8, RGB
labels.npy     (N,) whole numbers, class indices
classes.json   the name of each class, in the order of the indices: ["cat", "dog"]
"""

import json
from pathlib import Path
from tokenize import TokenError

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.datasets.dataset import Dataset, ImageArray
from failmodes.warehouse.errors import DataError, first_line
from failmodes.warehouse.storage.files import atomic_write, atomic_write_bytes, delete, make_folder

IMAGES_FILE, LABELS_FILE, CLASSES_FILE = "images.npy", "labels.npy", "classes.json"
BLOCK_IMAGES = 4096  # written at a time, so that a mapped array is never read whole
MAX_CLASSES_BYTES = 16 << 20


def open_arrays(path: Path, split: str, *, declared_split: str) -> Dataset:
    """Open a folder of arrays.

    Args:
        path: the folder.
        split: train or test.
        declared_split: which of them the folder is.

    Raises:
        DataError: a file is missing, damaged or of another type or shape, or the folder is another split.
    """
    if split != declared_split:
        raise DataError(f"{path} is its {declared_split} split: a folder of arrays holds one")
    images, labels = _load(path / IMAGES_FILE), _load(path / LABELS_FILE)
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{path / LABELS_FILE} holds {labels.dtype}: expected whole numbers, class indices")
    return Dataset(
        name="arrays",
        label=path.name,
        split=split,
        images=images,
        labels=np.asarray(labels, np.int64),
        class_names=_class_names(path / CLASSES_FILE),
    )


def write_arrays(path: Path, images: ImageArray, labels: NDArray[np.int64], class_names: tuple[str, ...]) -> None:
    """Write a folder of arrays; `classes.json` comes last, so that a folder that has it is whole.

    Args:
        path: the folder, made where it is missing.
        images: (N, H, W, 3) uint8.
        labels: (N,) class indices.
        class_names: one name a class.

    Raises:
        StorageError: a file cannot be written.
    """
    delete(make_folder(path) / CLASSES_FILE)  # of arrays that were there before
    with atomic_write(path / IMAGES_FILE) as temporary:
        mapped = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=images.shape)
        for start in range(0, len(images), BLOCK_IMAGES):
            mapped[start : start + BLOCK_IMAGES] = images[start : start + BLOCK_IMAGES]
        mapped.flush()
    with atomic_write(path / LABELS_FILE) as temporary, temporary.open("wb") as file:
        np.save(file, labels)
    atomic_write_bytes(path / CLASSES_FILE, (json.dumps(list(class_names), ensure_ascii=False) + "\n").encode())


def _load(path: Path) -> NDArray[np.generic]:
    try:
        array: NDArray[np.generic] = np.lib.format.open_memmap(path, mode="r")  # never a pickle or an archive
    except FileNotFoundError as error:
        raise DataError(
            f"{path} does not exist: expected a folder of {IMAGES_FILE}, {LABELS_FILE} and {CLASSES_FILE}"
        ) from error
    except (OSError, ValueError, EOFError, OverflowError, TokenError) as error:
        raise DataError(f"{path} is no array that can be read: {first_line(error)}") from error
    return array


def _class_names(path: Path) -> tuple[str, ...]:
    try:
        if path.stat().st_size > MAX_CLASSES_BYTES:
            raise DataError(f"{path} is too large: expected a list of class names")
        names = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(names, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except FileNotFoundError as error:
        raise DataError(f'{path} does not exist: write the class names into it, such as ["cat", "dog"]') from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON that can be read: {first_line(error)}") from error
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise DataError(f'{path} must hold a list of class names, such as ["cat", "dog"]')
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path} names the class {twice!r} twice: each name must be another")
    return tuple(names)
