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

from failmodes.ingest.data_files import check_names, sorted_names
from failmodes.ingest.datasets.dataset import MAX_CLASSES, Dataset
from failmodes.ingest.datasets.decoding import check_resized, decode, decode_to_cache
from failmodes.warehouse.errors import DataError, printable

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg"}
BLOCK_IMAGES, BLOCK_BYTES = 64, 1 << 27  # decoded at a time: fewer where images are large
NAMED_CLASSES = 10  # that a note lists
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
        label=printable(path.name),
        split=split,
        images=decode_to_cache(cache, listing.files, how, shape, blocks),
        labels=listing.labels,
        class_names=listing.class_names,
        note=_note(listing, image_size, shorter),
        files=tuple(file.relative_to(root).as_posix() for file in listing.files),
    )


def list_images(root: Path) -> FolderListing:
    """List images in the order of their image_id: by class, then by file name.

    What has an image's suffix is an image, so that a pipe or a broken link among them is not passed over in silence.

    Raises:
        DataError: there are no class folders or no images, more classes than can be recorded, or a name is no text.
    """
    names = sorted_names(root, folders=True)
    if not names:
        raise DataError(f"{root} has no class folders: {FOLDER_HINT}")
    if len(names) > MAX_CLASSES:
        raise DataError(f"{root} has {len(names):,} class folders: at most {MAX_CLASSES:,} classes are recorded")
    check_names(names, str(root))
    files: list[Path] = []
    labels: list[int] = []
    passed_over = 0
    for label, name in enumerate(names):
        entries = sorted_names(root / name, folders=False)
        images = [entry for entry in entries if Path(entry).suffix.lower() in IMAGE_SUFFIXES]
        check_names(images, str(root / name))
        files += [root / name / image for image in images]
        labels += [label] * len(images)
        passed_over += len(entries) - len(images)
    if not files:
        raise DataError(f"{root} has class folders ({names[0]}, …) but no images: {FOLDER_HINT}")
    return FolderListing(tuple(names), files, np.array(labels, dtype=np.int64), passed_over)


def resize_and_crop(
    image: Image.Image, side: int, resize: int | None = None, location: str = "an image"
) -> Image.Image:
    """Resize the shorter side to `resize` (bilinear, anti-aliased), cut `side`×`side` pixels from the centre.

    Pixel for pixel torchvision's Resize(resize) and CenterCrop(side) of a PIL image: the longer side is rounded down,
    and margins of half a pixel are rounded to even ones.

    Raises:
        DataError: it is so long and thin that resizing makes too large an image; `location` says which.
    """
    width, height = image.size
    shorter, to = min(width, height), resize or side
    size = to * width // shorter, to * height // shorter
    check_resized(*size, location)
    resized = image.resize(size, Image.Resampling.BILINEAR)
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
    step = max(1, min(BLOCK_IMAGES, BLOCK_BYTES // (3 * size[0] * size[1])))
    for start in range(0, len(files), step):
        some = files[start : start + step]
        block = np.empty((len(some), *size, 3), np.uint8)
        for row, file in enumerate(some):
            image = decode(file, str(file))
            pixels = np.asarray(resize_and_crop(image, size[0], resize, str(file)) if resize else image)
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
    present = set(listing.labels.tolist())
    empty = [name for index, name in enumerate(listing.class_names) if index not in present]
    if empty:
        more = f" and {len(empty) - NAMED_CLASSES:,} more" if len(empty) > NAMED_CLASSES else ""
        remarks.append(f"no images of {', '.join(empty[:NAMED_CLASSES])}{more}")
    return "; ".join(remarks) or None
