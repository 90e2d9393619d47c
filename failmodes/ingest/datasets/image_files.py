"""Labeled image files as a dataset: decoded, resized, cropped and cached, whatever layout lists them.

Photographs are resized, then cropped; corruptions are applied at the resulting size. The published preparation of
ImageNet-C is `resize=256, image_size=224`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ImageOps

from failmodes.ingest.corruptions.pixels import is_gray
from failmodes.ingest.datasets.color import EMPTY_MASK, WHITE, Color, describe_changes
from failmodes.ingest.datasets.dataset import KEPT_GRAY, Dataset
from failmodes.ingest.datasets.decoding import decode, decode_to_cache, resize_and_crop
from failmodes.ingest.datasets.layout import Request
from failmodes.ingest.datasets.masks import open_mask_folder
from failmodes.runtime.errors import DataError

MAX_UNREAD = 0.01  # share of skipped images in a folder above which they matter


class ImageFiles(NamedTuple):
    """The files of a dataset.

    Attributes:
        root: their folder.
        files: one per image, in the order of their image_id.
        labels: (N,) int64, class indices.
        class_names: one per class.
        notes: what readers of results must know, such as skipped files.
        unread: how many images are not read because of their folder or format.
        split_folder: the split's name if `root` is the folder of a split, else None.
        border_px: pixels to remove at each edge before anything else.
        metadata: (N,) text values by name.
        given_names: (N,) the files as results name them; default: their paths within `root`.
    """

    root: Path
    files: Sequence[Path]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    notes: Sequence[str] = ()
    unread: int = 0
    split_folder: str | None = None
    border_px: int = 0
    metadata: Mapping[str, Sequence[str]] = {}
    given_names: tuple[str, ...] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """(N,) the files as results and errors name them."""
        return self.given_names or tuple(file.relative_to(self.root).as_posix() for file in self.files)


def open_image_files(request: Request, images: ImageFiles, label: str) -> Dataset:
    """Open a dataset of image files, by the optional keys of a study: image_size, resize, background, gray, masks.

    Gray, palette, CMYK, transparent and 16-bit images are converted to RGB by the rules of
    `failmodes.ingest.datasets.color`; the note counts them. Without `image_size` all images must have one size.

    Args:
        request: what a study says about the dataset.
        images: its files.
        label: its name on charts.

    Raises:
        DataError: an image cannot be decoded, several sizes without image_size, an image that is not gray although
            `gray` is set, a mask that is missing or does not fit its image.
    """
    spec = request.spec
    image_size = spec.image_size
    gray = spec.gray
    red, green, blue = spec.background or WHITE
    background = red, green, blue
    size = (image_size, image_size) if image_size else _size(images)
    shorter = spec.resize or image_size
    changes: Counter[str] = Counter()
    how: dict[str, object] = {"size": list(size), "resize": shorter, "background": list(background)}
    how |= {"border": images.border_px} if images.border_px else {}
    how |= {"gray": True} if gray else {}  # so that images decoded without it are checked
    pixels = decode_to_cache(
        request.cache, images.files, how, (len(images.files), *size, 3),
        (_prepared(images, file, size, shorter, background, changes, gray)[None] for file in images.files), changes,
    )  # fmt: skip
    masks = None
    empty_masks: Counter[str] = Counter()
    if request.masks is not None:
        of_split = request.masks / (images.split_folder or "")
        folder = of_split if of_split.is_dir() else request.masks
        masks = open_mask_folder(folder, images.files, images.root, size, shorter, request.cache, empty_masks)
    kept = [KEPT_GRAY] if gray else []
    described = describe_changes(changes, background)
    border = [f"{images.border_px} pixels at each edge removed"] if images.border_px else []
    return Dataset(
        name=spec.kind,
        label=label,
        split=request.split,
        images=pixels,
        labels=images.labels,
        class_names=images.class_names,
        note=preparation_note(image_size, shorter, [*border, *kept, *described, *images.notes]),
        files=images.names,
        masks=masks,
        empty_masks=None if masks is None else empty_masks[EMPTY_MASK],
        gray=gray,
        left_out=_left_out(images),
        metadata=images.metadata,
    )


def _left_out(images: ImageFiles) -> str | None:
    """The warning about images that are not read, if they are more than MAX_UNREAD."""
    total = images.unread + len(images.files)
    if images.unread <= MAX_UNREAD * total:
        return None
    return (
        f"{images.unread:,} of {total:,} images are skipped, because they are in subfolders of classes or in an "
        "unsupported format: move them directly into the folders of their classes, as .png or .jpg"
    )


def preparation_note(image_size: int | None, resize: int | None, notes: list[str]) -> str | None:
    """A dataset's note on the preparation of its images; None if nothing was changed."""
    if image_size:
        to = "" if resize == image_size else f" to {image_size}"
        notes = [f"shorter side resized to {resize} pixels, center cropped{to}", *notes]
    return "; ".join(notes) or None


def _size(images: ImageFiles) -> tuple[int, int]:
    image = decode(images.files[0], str(images.files[0]))
    return image.height - 2 * images.border_px, image.width - 2 * images.border_px


def _prepared(
    images: ImageFiles,
    file: Path,
    size: tuple[int, int],
    resize: int | None,
    background: Color,
    changes: Counter[str],
    gray: bool,
) -> NDArray[np.uint8]:
    """The pixels (H, W, 3) of one file."""
    image = decode(file, str(file), background=background, changes=changes)
    if images.border_px:
        if min(image.size) <= 2 * images.border_px:
            raise DataError(f"{file} is {image.width}×{image.height} pixels: nothing is left without its border")
        image = ImageOps.crop(image, images.border_px)
    pixels = np.asarray(resize_and_crop(image, size[0], resize, str(file)) if resize else image)
    if pixels.shape[:2] != size:
        raise DataError(
            f"{file} is {pixels.shape[1]}×{pixels.shape[0]} pixels where {images.files[0]} is {size[1]}×{size[0]}:"
            " set `image_size` to resize all images to one size"
        )
    if gray and not is_gray(pixels):
        raise DataError(f"{file} is not gray (its channels differ): convert it, or leave out `gray`")
    return pixels
