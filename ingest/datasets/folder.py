"""A folder of labelled images: `class/*.png|jpg|jpeg`, or `train/class/…` and `test/class/…`.

Photographs are resized, then cropped; corruptions are applied at the size they then have. The published preparation of
ImageNet-C is `resize=256, image_size=224`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.decoding import decode, decode_to_cache
from failmodes.warehouse.errors import DataError

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg"}
BLOCK_IMAGES = 64
FOLDER_HINT = "expected a folder a class, with .png, .jpg or .jpeg images in it, such as cat/0001.png"


class FolderListing(NamedTuple):
    """What a folder holds: class names, images and their class, and how many other files were passed over."""

    class_names: tuple[str, ...]
    files: list[Path]
    labels: NDArray[np.int64]
    passed_over: int


def open_folder(
    path: Path, split: str, cache: Path, *, image_size: int | None, resize: int | None = None, declared_split: str
) -> Dataset:
    """Open a folder of labelled images; class names are the folders' names, sorted.

    Grey, palette, CMYK and transparent images become RGB; transparency is dropped.

    Args:
        path: the folder.
        split: train or test; `path/<split>` is used where it holds class folders.
        cache: where decoded images are kept.
        image_size: side in pixels of the square cut from the centre. None keeps images as they are, which then must
            all have one size.
        resize: what the shorter side is resized to before, pixels, at least image_size; image_size if not given.
        declared_split: which split a folder without train/ and test/ is.

    Raises:
        DataError: no class folders, no images, an image that cannot be decoded, several sizes without image_size.
    """
    root = _split_root(path, split, declared_split)
    listing = list_images(root)
    size = (image_size, image_size) if image_size else _size(listing.files[0], root)
    shorter = resize or image_size
    blocks = _blocks(listing.files, root, size, shorter)
    how = {"size": list(size), "resize": shorter}
    shape = (len(listing.files), *size, 3)
    return Dataset(
        name="folder",
        label=path.name,
        split=split,
        images=decode_to_cache(cache, listing.files, how, shape, blocks),
        labels=listing.labels,
        class_names=listing.class_names,
        note=_note(listing, image_size, shorter),
        files=tuple(file.relative_to(root).as_posix() for file in listing.files),
    )


def list_images(root: Path) -> FolderListing:
    """List images in the order of their image_id: by class, then by file name."""
    folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not folders:
        raise DataError(f"{root} has no class folders: {FOLDER_HINT}")
    files: list[Path] = []
    labels: list[int] = []
    passed_over = 0
    for label, folder in enumerate(folders):
        entries = sorted(entry for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith("."))
        images = [entry for entry in entries if entry.suffix.lower() in IMAGE_SUFFIXES]
        files += images
        labels += [label] * len(images)
        passed_over += len(entries) - len(images)
    if not files:
        raise DataError(f"{root} has class folders ({folders[0].name}, …) but no images: {FOLDER_HINT}")
    return FolderListing(tuple(folder.name for folder in folders), files, np.array(labels, dtype=np.int64), passed_over)


def resize_and_crop(image: Image.Image, side: int, resize: int | None = None) -> Image.Image:
    """Resize the shorter side to `resize` (bilinear, anti-aliased), cut `side`×`side` pixels from the centre.

    Pixel for pixel torchvision's Resize(resize) and CenterCrop(side) of a PIL image: the longer side is rounded down,
    and margins of half a pixel are rounded to even ones.
    """
    width, height = image.size
    shorter, to = min(width, height), resize or side
    resized = image.resize((to * width // shorter, to * height // shorter), Image.Resampling.BILINEAR)
    left, top = (round((length - side) / 2) for length in resized.size)
    return resized.crop((left, top, left + side, top + side))


def _split_root(path: Path, split: str, declared_split: str) -> Path:
    inner = path / split
    if inner.is_dir() and any(entry.is_dir() for entry in inner.iterdir()):
        return inner
    if split != declared_split:
        raise DataError(f"{path} has no {split}/ folder of class folders: its images are its {declared_split} split")
    return path


def _size(file: Path, root: Path) -> tuple[int, int]:
    image = decode(file, file.relative_to(root).as_posix())
    return image.height, image.width


def _blocks(files: list[Path], root: Path, size: tuple[int, int], resize: int | None) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(files), BLOCK_IMAGES):
        some = files[start : start + BLOCK_IMAGES]
        block = np.empty((len(some), *size, 3), np.uint8)
        for row, file in enumerate(some):
            image = decode(file, str(file))
            pixels = np.asarray(resize_and_crop(image, size[0], resize) if resize else image)
            if pixels.shape[:2] != size:
                raise DataError(
                    f"{file} is {pixels.shape[1]}×{pixels.shape[0]} pixels where {files[0].relative_to(root)} is"
                    f" {size[1]}×{size[0]}: set `image_size` to bring all to one size"
                )
            block[row] = pixels
        yield block


def _note(listing: FolderListing, image_size: int | None, resize: int | None) -> str | None:
    remarks = []
    if image_size:
        to = "" if resize == image_size else f" to {image_size}"
        remarks.append(f"shorter side resized to {resize} pixels, centre cropped{to}")
    if listing.passed_over:
        remarks.append(f"files passed over, being neither .png nor .jpg nor .jpeg: {listing.passed_over:,}")
    empty = [name for index, name in enumerate(listing.class_names) if index not in set(listing.labels.tolist())]
    if empty:
        remarks.append(f"no images of {', '.join(empty)}")
    return "; ".join(remarks) or None
