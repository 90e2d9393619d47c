"""Arrays: a folder of `images.npy`, `labels.npy` and `classes.json`, memory-mapped.

images.npy     (N, H, W, 3) uint8, RGB
labels.npy     (N,) whole numbers, class indices
classes.json   the name of each class, in the order of the indices: ["cat", "dog"]
note.txt       optional: one line that readers of results must know, shown with the dataset's name
left_out.txt   optional: one line, a warning about images that are missing here
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.data_files import file_stamp, map_npy, read_json, write_npy
from failmodes.ingest.datasets.dataset import BLOCK_IMAGES, Dataset, ImageArray, class_indices
from failmodes.ingest.datasets.image_arrays import StoredImages
from failmodes.ingest.datasets.labels import checked_class_names
from failmodes.ingest.datasets.layout import Request, layout, refuse_other_split
from failmodes.ingest.datasets.masks import count_empty, open_mask_array
from failmodes.runtime.errors import DataError, StorageError, printable
from failmodes.runtime.hashing import identity_of
from failmodes.runtime.storage.files import atomic_write, atomic_write_bytes, delete, make_folder, read_text

IMAGES_FILE, LABELS_FILE, CLASSES_FILE = "images.npy", "labels.npy", "classes.json"
NOTE_FILE, LEFT_OUT_FILE = "note.txt", "left_out.txt"
MAX_NOTE_BYTES = 2000


@layout(
    "arrays",
    takes={"gray", "masks"},
    expected=f"a folder of {IMAGES_FILE}, {LABELS_FILE} and {CLASSES_FILE}",
)
def open_arrays(request: Request) -> Dataset:
    """Open a folder of arrays, which is one split; masks are a `.npy`.

    Raises:
        DataError: a file is missing, damaged or of another type or shape, or the folder is another split.
    """
    path = request.path
    refuse_other_split(request)
    images = _images(path / IMAGES_FILE, request.cache)
    labels = _load(path / LABELS_FILE)
    masks = None if request.masks is None else open_mask_array(request.masks, images.shape)
    return Dataset(
        name="arrays",
        label=printable(path.name),
        split=request.split,
        images=images,
        labels=class_indices(labels, str(path / LABELS_FILE)),
        class_names=_class_names(path / CLASSES_FILE),
        note=_note(path / NOTE_FILE),
        masks=masks,
        empty_masks=None if masks is None else count_empty(masks),
        left_out=_note(path / LEFT_OUT_FILE),
    )


def write_arrays(
    path: Path,
    images: ImageArray,
    labels: NDArray[np.int64],
    class_names: tuple[str, ...],
    note: str | None = None,
    left_out: str | None = None,
) -> None:
    """Write a folder of arrays; `classes.json` is written last, so that a folder with it is complete.

    Args:
        path: the folder, created if missing.
        images: (N, H, W, 3) uint8.
        labels: (N,) class indices.
        class_names: one name per class.
        note: one line that readers of results must know.
        left_out: one line about images that are missing here.

    Raises:
        StorageError: a file cannot be written.
    """
    delete(make_folder(path) / CLASSES_FILE)  # of former arrays
    with atomic_write(path / IMAGES_FILE) as temporary:
        blocks = (images[start : start + BLOCK_IMAGES] for start in range(0, len(images), BLOCK_IMAGES))
        write_npy(temporary, images.shape, blocks)
    with atomic_write(path / LABELS_FILE) as temporary, temporary.open("wb") as file:
        np.save(file, labels)
    for name, line in (NOTE_FILE, note), (LEFT_OUT_FILE, left_out):
        if line is None:
            delete(path / name)
        else:
            atomic_write_bytes(path / name, f"{line}\n".encode())
    atomic_write_bytes(path / CLASSES_FILE, (json.dumps(list(class_names), ensure_ascii=False) + "\n").encode())


def _images(path: Path, cache: Path) -> ImageArray:
    """The images of a file, of which facts are stored in the cache; of an unusual type or order as they are."""
    mapped: NDArray[Any] = _load(path)
    if mapped.dtype != np.uint8 or mapped.ndim != 4 or not mapped.flags.c_contiguous:
        return mapped
    return StoredImages(path, cache / "indexes" / f"{identity_of(file_stamp(path))}.index", decoded=False)


def _load(path: Path) -> NDArray[np.generic]:
    try:
        return map_npy(path)
    except FileNotFoundError as error:
        raise DataError(
            f"{path} does not exist: expected a folder of {IMAGES_FILE}, {LABELS_FILE} and {CLASSES_FILE}"
        ) from error


def _note(path: Path) -> str | None:
    try:
        text = read_text(path, MAX_NOTE_BYTES).strip()
    except FileNotFoundError:
        return None
    except StorageError as error:
        raise DataError(f"{error}: write a single line, or remove the file") from error
    if not text.isprintable():
        raise DataError(f"{path} has several lines or control characters: write a single line, or remove the file")
    return text or None


def _class_names(path: Path) -> tuple[str, ...]:
    try:
        names = read_json(path)
    except FileNotFoundError as error:
        raise DataError(f'{path} does not exist: write the class names into it, such as ["cat", "dog"]') from error
    return checked_class_names(names, path)
