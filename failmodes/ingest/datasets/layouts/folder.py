"""A folder of labeled images: `class/*.png|jpg|jpeg|…`, or `train/class/…` and `test/class/…`.

Files that end in .png, .jpg, .jpeg, .bmp, .gif, .tif, .tiff or .webp, in any case, are read; the dataset's note counts
the others. Photographs are resized, then cropped; corruptions are applied at the resulting size. The published
preparation of ImageNet-C is `resize=256, image_size=224`.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corruptions.gray import is_gray
from failmodes.ingest.datasets.color import EMPTY_MASK, WHITE, Color, describe_changes
from failmodes.ingest.datasets.dataset import KEPT_GRAY, Dataset
from failmodes.ingest.datasets.decoding import decode, decode_to_cache, resize_and_crop
from failmodes.ingest.datasets.folder_listing import list_beside, list_images
from failmodes.ingest.datasets.layout import Request, layout
from failmodes.ingest.datasets.masks import ImageFolder, open_mask_folder
from failmodes.warehouse.errors import DataError, printable

BLOCK_IMAGES, BLOCK_BYTES = 64, 1 << 27  # decoded at a time: fewer if images are large


@layout(
    "folder",
    takes={"image_size", "resize", "background", "gray", "masks"},
    expected="a folder of class folders, such as {path}/cat/0001.png",
)
def open_folder(request: Request) -> Dataset:
    """Open a folder of labeled images; classes are in the order of the folders' names.

    A class is named after its folder, or by the WordNet id at the beginning of the folder's name. Gray, palette, CMYK,
    transparent and 16-bit images are converted to RGB by the rules of `failmodes.ingest.datasets.color`; the note
    counts them. `path/<split>` is used if it holds class folders; without `image_size` all images must have one size.

    Raises:
        DataError: no class folders, no images, none in a class that has other files, an image that cannot be decoded,
            several sizes without image_size, an image that is not gray although `gray` is set, a mask that is missing
            or does not fit its image.
    """
    spec, path, split, cache = request.spec, request.path, request.split, request.cache
    image_size, gray = spec.image_size, spec.gray
    red, green, blue = spec.background or WHITE
    background = red, green, blue
    root = _split_root(path, split, spec.split)
    listing, beside = list_images(root), [] if root == path else list_beside(path)
    size = (image_size, image_size) if image_size else _size(listing.files[0], root)
    shorter = spec.resize or image_size
    changes: Counter[str] = Counter()
    blocks = _blocks(listing.files, root, size, shorter, background, changes)
    how: dict[str, object] = {"size": list(size), "resize": shorter, "background": list(background)}
    if gray:  # so that images decoded without it are checked
        blocks, how = _checked_gray(blocks, listing.files), how | {"gray": True}
    shape = (len(listing.files), *size, 3)
    images = decode_to_cache(cache, listing.files, how, shape, blocks, changes)
    found, empty = None, Counter[str]()
    if request.masks is not None:
        of_images = ImageFolder(root, listing.files, None if root == path else split, size, shorter)
        found = open_mask_folder(request.masks, of_images, cache, empty)
    kept, described = [KEPT_GRAY] if gray else [], describe_changes(changes, background)
    return Dataset(
        name="folder",
        label=printable(path.name),
        split=split,
        images=images,
        labels=listing.labels,
        class_names=listing.class_names,
        note=preparation_note(image_size, shorter, [*kept, *described, *listing.notes(beside)]),
        files=tuple(file.relative_to(root).as_posix() for file in listing.files),
        masks=found,
        empty_masks=None if found is None else empty[EMPTY_MASK],
        gray=gray,
        unread=listing.unread,
    )


def preparation_note(image_size: int | None, resize: int | None, notes: list[str]) -> str | None:
    """A dataset's note on the preparation of its images; None if nothing was changed."""
    if image_size:
        to = "" if resize == image_size else f" to {image_size}"
        notes = [f"shorter side resized to {resize} pixels, center cropped{to}", *notes]
    return "; ".join(notes) or None


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


def _blocks(
    files: list[Path],
    root: Path,
    size: tuple[int, int],
    resize: int | None,
    background: Color,
    changes: Counter[str],
) -> Iterator[NDArray[np.uint8]]:
    step = max(1, min(BLOCK_IMAGES, BLOCK_BYTES // (3 * size[0] * size[1])))
    for start in range(0, len(files), step):
        some = files[start : start + step]
        block = np.empty((len(some), *size, 3), np.uint8)
        for row, file in enumerate(some):
            image = decode(file, str(file), background=background, changes=changes)
            pixels = np.asarray(resize_and_crop(image, size[0], resize, str(file)) if resize else image)
            if pixels.shape[:2] != size:
                raise DataError(
                    f"{file} is {pixels.shape[1]}×{pixels.shape[0]} pixels where {files[0].relative_to(root)} is"
                    f" {size[1]}×{size[0]}: set `image_size` to resize all images to one size"
                )
            block[row] = pixels
        yield block


def _checked_gray(blocks: Iterator[NDArray[np.uint8]], files: list[Path]) -> Iterator[NDArray[np.uint8]]:
    remaining = iter(files)
    for block in blocks:
        for pixels in block:
            file = next(remaining)
            if not is_gray(pixels):
                raise DataError(f"{file} is not gray (its channels differ): convert it, or leave out `gray`")
        yield block
