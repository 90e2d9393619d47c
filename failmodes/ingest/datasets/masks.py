"""Object masks beside images: a folder of mask images under the images' names, or one `.npy`.

A pixel belongs to the object if its value is at least half of the format's maximum (128 of 255); in a color image any
channel decides, in a palette every index but 0, and if a file contains only 0 and 1, 1 is the object. Transparent
pixels do not belong to the object. Masks are prepared like their images: rotated by EXIF, resized by nearest
neighbor, cropped.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from failmodes.ingest.data_files import list_entries, map_npy
from failmodes.ingest.datasets.color import EMPTY_MASK
from failmodes.ingest.datasets.decoding import decode_mask, decode_to_cache, resize_and_crop, upright_size
from failmodes.ingest.datasets.folder_listing import is_image
from failmodes.runtime.errors import DataError, StudyError

Masks = NDArray[np.bool_]
MASKS = 1  # increase it when the same file gives another mask than before


def open_mask_folder(
    folder: Path,
    images: Sequence[Path],
    image_folder: Path,
    size: tuple[int, int],
    resize: int | None,
    cache: Path,
    changes: Counter[str],
) -> Masks:
    """The masks (N, H, W) of a folder's images, mapped from the cache; decoded into it if they are not cached.

    Args:
        folder: the folder of masks.
        images: the image files.
        image_folder: their folder.
        size: height and width of the prepared images, pixels.
        resize: length of their shorter side before the crop; None: not resized.
        cache: folder for decoded masks.
        changes: counts masks without an object.

    Raises:
        StudyError: no folder.
        DataError: a mask is missing, cannot be decoded, differs in size from its image, or has ambiguous values; or an
            image has two masks.
    """
    if not folder.is_dir():
        state = "is a file, not a folder" if folder.exists() else "does not exist"
        raise StudyError(f"masks: {folder} {state}: expected masks under the names of the images, such as cat/0001.png")
    files = _matched(folder, images, image_folder)
    how = {"masks": MASKS, "size": list(size), "resize": resize}

    def prepared(file: Path, image: Path) -> NDArray[np.uint8]:
        mask = decode_mask(file, f"masks: {file}")
        expected = upright_size(image)
        if mask.size != expected:
            raise DataError(
                f"masks: {file} is {mask.width}×{mask.height} pixels and its image {expected[0]}×{expected[1]}: a mask"
                " has the size of the image file"
            )
        if resize:
            mask = resize_and_crop(mask, size[0], resize, str(file), Image.Resampling.NEAREST)
        pixels = (np.asarray(mask) > 0).view(np.uint8)
        changes[EMPTY_MASK] += not pixels.any()
        return pixels

    every = (prepared(file, image)[None] for file, image in zip(files, images, strict=True))
    return decode_to_cache(cache, [*files, *images], how, (len(files), *size), every, changes).view(np.bool_)


def open_mask_array(path: Path, shape: tuple[int, ...]) -> Masks:
    """Masks (N, H, W) of a `.npy` file, mapped: of type bool, or of uint8 that is 0 and 1.

    Args:
        path: the file.
        shape: (N, H, W, 3) of the images.

    Raises:
        StudyError: it does not exist.
        DataError: it is damaged, or of another type or shape.
    """
    try:
        masks = map_npy(path)
    except FileNotFoundError as error:
        raise StudyError(f"masks: {path} does not exist: expected a .npy of bool (N, H, W)") from error
    check_mask_array(masks, shape, str(path))
    return masks.view(np.bool_)


def check_mask_array(masks: NDArray[np.generic], shape: tuple[int, ...], location: str) -> None:
    """Check masks against the shape (N, H, W, 3) of their images.

    Raises:
        DataError: they are neither bool (N, H, W) nor uint8 of 0 and 1.
    """
    if masks.shape != shape[:3]:
        raise DataError(
            f"masks: {location} has shape {masks.shape} and the images need {shape[:3]}: one mask per image"
        )
    if masks.dtype not in (np.bool_, np.uint8) or any(mask.view(np.uint8).max() > 1 for mask in masks):
        raise DataError(f"masks: {location} holds {masks.dtype}: expected bool, such as `mask > 127` gives")


def count_empty(masks: Masks) -> int:
    """How many masks (N, H, W) are empty."""
    return sum(not mask.any() for mask in masks)


def _matched(folder: Path, images: Sequence[Path], image_folder: Path) -> list[Path]:
    """The mask of each image: the file of the same name, else the one that differs only in its suffix."""
    masks_by_stem: dict[Path, dict[str, list[str]]] = {}
    files: list[Path] = []
    missing: list[str] = []
    owner: dict[Path, str] = {}
    for image in images:
        relative = image.relative_to(image_folder)
        name = relative.as_posix()
        parent = folder / relative.parent
        if parent not in masks_by_stem:
            masks_by_stem[parent] = _by_stem(parent)
        matches = masks_by_stem[parent].get(image.stem, [])
        matches = [image.name] if image.name in matches else matches
        if not matches:
            missing.append(name)
            continue
        mask = parent / matches[0]
        if len(matches) > 1:
            raise DataError(f"masks: {name} has the masks {matches[0]} and {matches[1]} in {parent}: keep one of them")
        if owner.setdefault(mask, name) != name:
            raise DataError(f"masks: {mask} matches both {owner[mask]} and {name}: rename one image")
        files.append(mask)
    if missing:
        where = f"{folder} has no mask of {missing[0]}"
        if not files:
            raise DataError(f"masks: {where}, nor of any other image: expected the names of the images, any suffix")
        raise DataError(f"masks: {where} ({len(missing):,} of {len(images):,} images have none): add the missing masks")
    return files


def _by_stem(folder: Path) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for name in list_entries(folder).files if folder.is_dir() else ():
        if is_image(name):
            names.setdefault(Path(name).stem, []).append(name)
    return names
