"""Labeled images as a user has them (arrays, tensors, a torch or Hugging Face data set), brought to one array."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sized
from functools import partial
from itertools import chain, repeat
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, SequentialSampler

from failmodes.ingest.data_files import write_npy
from failmodes.ingest.datasets.color import WHITE, Color, RgbImage, describe_changes, to_rgb
from failmodes.ingest.datasets.dataset import ImageArray
from failmodes.ingest.datasets.decoding import resize_and_crop
from failmodes.ingest.datasets.layouts.folder import preparation_note
from failmodes.ingest.datasets.masks import check_mask_array
from failmodes.warehouse.errors import DataError, first_line
from failmodes.warehouse.hashing import fingerprint_of
from failmodes.warehouse.storage.files import atomic_write, make_folder, storage_errors
from failmodes.warehouse.storage.locations import user_path

# Usual names of columns, and the feature that marks those of other names in a Hugging Face data set
IMAGE_COLUMNS, IMAGE_FEATURE = ("image", "img", "images", "pixel_values"), "Image"
LABEL_COLUMNS, LABEL_FEATURE = ("label", "labels", "fine_label", "target", "targets"), "ClassLabel"
IMAGES_READ_TWICE = 16
FLOATS = (
    "uint8 pixels (0 to 255) are needed, since corruptions are defined on them; leave ToTensor, ToDtype and Normalize "
    "out, and say how the model gets its input with normalization= or preprocess="
)
NO_IMAGES = "there are no images: the data set is empty"
GRAY = "; of gray images, repeat the channel three times"


class GivenImages(NamedTuple):
    """Labeled images.

    Attributes:
        images: (N, H, W, 3) uint8.
        labels: (N,) int64.
        label_names: the name of each label, where the source knows them.
        note: which column the labels are, where there are several, and how the images were prepared; or None.
    """

    images: ImageArray
    labels: NDArray[np.int64]
    label_names: tuple[str, ...] | None = None
    note: str | None = None


class _Item(NamedTuple):
    """An image of a data set and its label, or those of a batch.

    Attributes:
        image: as the data set has it; (H, W, 3) uint8 once it is prepared.
        label: None where labels are given apart.
        columns: those that may be the label, the one that was taken first; empty where items have no columns.
        changes: what was done to the image's colors.
    """

    image: Any
    label: Any = None
    columns: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


def read_given_images(
    images: Any,
    labels: Any,
    scratch: Path,
    *,
    label_column: str | None = None,
    image_size: int | None = None,
    resize: int | None = None,
    background: Color = WHITE,
) -> GivenImages:
    """Bring labeled images to one array.

    PIL images become RGB by the rules of `failmodes.ingest.datasets.color`, but are not turned: what a program gives
    is taken the way up that it has. The first images of a data set are read again at the end and compared.

    Args:
        images: uint8 (N, H, W, 3), a tensor (N, 3, H, W), a sequence of images, a torch Dataset or DataLoader, or a
            Hugging Face Dataset; items of data sets are (image, label) or mappings, images PIL or uint8.
        labels: (N,) or (N, 1) whole numbers; None where the data set's items have them.
        scratch: a folder; items that come one by one are kept in a file there until this process ends.
        label_column: the key of the label, where items are mappings; if not given, label, labels, fine_label, target
            or targets, else the only ClassLabel.
        image_size: side of the square that items are cropped to, pixels.
        resize: what their shorter side is resized to before; image_size if not given.
        background: what transparent images are composited on.

    Raises:
        DataError: images are no uint8 pixels, of several sizes or not the same when they are read again; labels are
            missing, given twice, in one of several columns, or no whole numbers; a DataLoader shuffles.
        StorageError: the file of items cannot be written.
    """
    if image_size is None and hasattr(images, "dtype") and hasattr(images, "shape"):
        if label_column is not None:
            raise DataError(f"label_column= is {label_column!r}, and the images are an array: give labels= instead")
        pixels = _array(images)
        return GivenImages(pixels, _labels(labels, len(pixels)))
    if isinstance(images, Mapping):
        keys = ", ".join(map(repr, list(images)[:4]))
        raise DataError(f"images are a mapping of {keys}: expected one data set, such as the one under its test key")
    source = images
    while hasattr(source, "dataset") and not hasattr(source, "features") and not hasattr(source, "classes"):
        source = source.dataset  # of a DataLoader or a Subset
    described = getattr(source, "features", None)
    features = described if isinstance(described, Mapping) else {}  # of Hugging Face
    split = partial(_split, features=features, labels_apart=labels is not None, label_column=label_column)
    items = partial(_prepared_items, images, split, image_size, resize, background)
    pixels, found = _spool(items(), scratch)
    if not isinstance(images, Iterator):  # an iterator is used up
        _check_same(pixels, items())
    columns = found[0].columns
    notes = [f"labels are the column {columns[0]!r}"] if label_column is not None or len(columns) > 1 else []
    notes += describe_changes(Counter(chain.from_iterable(item.changes for item in found)), background)
    note = preparation_note(image_size, resize or image_size, notes)
    given = [item.label for item in found] if labels is None else labels
    return GivenImages(pixels, _labels(given, len(pixels)), _label_names(source, features, columns), note)


def stored_masks(masks: Any, shape: tuple[int, ...], folder: Path) -> Path:
    """The `.npy` of masks: the one that was given, or one written into the folder of the images, named by its content.

    Args:
        masks: bool (N, H, W), or uint8 of 0 and 1, array or tensor; or the path of a `.npy`, checked when it is opened.
        shape: (N, H, W, 3) of the images.
        folder: the folder of arrays that holds them.

    Raises:
        DataError: they are of another type or shape.
        StorageError: they cannot be written.
    """
    if isinstance(masks, str | PathLike):
        return user_path(masks).absolute()
    array = masks.detach().cpu().numpy() if isinstance(masks, torch.Tensor) else np.asarray(masks)
    check_mask_array(array, shape, "the array")
    path = folder / f"masks-{fingerprint_of([array.view(np.uint8)])}.npy"
    if not path.exists():
        with atomic_write(path) as temporary:
            write_npy(temporary, array.shape, [array.view(np.uint8)])
    return path


def _array(images: Any) -> NDArray[np.uint8]:
    """A whole array or tensor as (N, H, W, 3); mapped files stay mapped."""
    is_tensor = isinstance(images, torch.Tensor)
    dtype, shape = str(images.dtype).removeprefix("torch."), tuple(images.shape)
    if dtype != "uint8":
        raise DataError(f"images are {dtype}: {FLOATS}")
    pixels: NDArray[np.uint8] = images.detach().cpu().numpy() if is_tensor else images
    channels_first = len(shape) == 4 and shape[1] == 3 and (is_tensor or shape[3] != 3)
    pixels = pixels.transpose(0, 2, 3, 1) if channels_first else pixels
    if len(shape) != 4 or pixels.shape[3] != 3:
        hint = "; one image is images[None]" if len(shape) == 3 and 3 in (shape[0], shape[2]) else GRAY
        raise DataError(f"images have shape {shape}: expected (N, height, width, 3), or (N, 3, height, width){hint}")
    if not len(pixels):
        raise DataError(NO_IMAGES)
    return pixels


def _prepared_items(
    images: Any, split: Callable[[Any], _Item], image_size: int | None, resize: int | None, background: Color
) -> Iterator[_Item]:
    """The items of a data set, read anew, with images (H, W, 3) of uint8."""
    items = _of_loader(images, split) if isinstance(images, DataLoader) else map(split, _one_by_one(images))
    for number, item in enumerate(items):
        location = f"image {number}"
        image, changes = _rgb(item.image, location, background)
        image = resize_and_crop(image, image_size, resize, location) if image_size else image
        yield item._replace(image=np.asarray(image), changes=changes)


def _of_loader(loader: "DataLoader[Any]", split: Callable[[Any], _Item]) -> Iterator[_Item]:
    """Items of a DataLoader, one by one."""
    sampler = getattr(loader.batch_sampler, "sampler", loader.sampler)
    is_stream = isinstance(loader.dataset, IterableDataset)
    if not is_stream and not isinstance(sampler, SequentialSampler | range | list | tuple):
        raise DataError(
            f"the DataLoader takes its images in the order of a {type(sampler).__name__}: expected the same order "
            "every time, shuffle=False"
        )
    for item in map(split, loader):
        if loader.batch_sampler is None:  # it gives items, as batch_size=None asks
            yield item
            continue
        if item.label is not None and len(item.image) != len(item.label):
            raise DataError(f"a batch of the DataLoader has {len(item.image)} images and {len(item.label)} labels")
        labels = repeat(None) if item.label is None else item.label
        yield from (_Item(image, label, item.columns) for image, label in zip(item.image, labels, strict=False))


def _one_by_one(images: Any) -> Iterator[Any]:
    """Items of a data set or a sequence."""
    if isinstance(images, Dataset) and isinstance(images, Sized):
        return (images[index] for index in range(len(images)))  # not all of them end by an IndexError
    try:
        return iter(images)
    except TypeError as error:
        raise DataError(
            f"images are a {type(images).__name__}: expected a uint8 array (N, H, W, 3), a torch Dataset or "
            "DataLoader, a Hugging Face Dataset, or a folder"
        ) from error


def _split(item: Any, features: Mapping[str, Any], labels_apart: bool, label_column: str | None) -> _Item:
    """Image and label of an item, or those of a batch."""
    is_mapping = isinstance(item, Mapping)
    parts = item if isinstance(item, tuple | list) else (item,)
    if labels_apart:
        has_labels = is_mapping and _candidates(item, features, LABEL_COLUMNS, LABEL_FEATURE)
        if label_column is not None or has_labels or len(parts) != 1:
            raise DataError("labels are given twice: by the items of the images and as labels=; leave the second out")
        return _Item(item[_columns(item, features, IMAGE_COLUMNS, IMAGE_FEATURE)[0]] if is_mapping else parts[0])
    if is_mapping:
        usual, feature = (LABEL_COLUMNS, LABEL_FEATURE) if label_column is None else ((label_column,), "")
        columns = _columns(item, features, usual, feature)
        return _Item(item[_columns(item, features, IMAGE_COLUMNS, IMAGE_FEATURE)[0]], item[columns[0]], columns)
    if len(parts) == 2 and label_column is None:
        return _Item(*parts)
    given = type(item).__name__ + (f" of {len(item)}" if isinstance(item, tuple | list) else "")
    expected = "(image, label), or a mapping with both" if label_column is None else f"a mapping with {label_column!r}"
    raise DataError(f"an item of the images is a {given}: expected {expected}; for images alone give labels= too")


def _candidates(
    item: Mapping[str, Any], features: Mapping[str, Any], usual: tuple[str, ...], feature: str
) -> tuple[str, ...]:
    """The columns that may be an item's image or label: those of usual names, then those that the feature marks."""
    marked = [name for name, kind in features.items() if type(kind).__name__ == feature]
    return tuple(name for name in dict.fromkeys((*usual, *marked)) if name in item)


def _columns(
    item: Mapping[str, Any], features: Mapping[str, Any], usual: tuple[str, ...], feature: str
) -> tuple[str, ...]:
    """The candidates, first the one to take: that of the first usual name, else the only one."""
    found = _candidates(item, features, usual, feature)
    if not found:
        raise DataError(f"an item has the keys {', '.join(map(str, item))}: expected one of {', '.join(usual)}")
    if len(found) > 1 and found[0] not in usual:
        fix = (
            "choose the labels by label_column=" if feature == LABEL_FEATURE else "rename the one to evaluate to image"
        )
        raise DataError(f"each of the columns {', '.join(found)} is a {feature}: {fix}")
    return found


def _label_names(source: Any, features: Mapping[str, Any], columns: tuple[str, ...]) -> tuple[str, ...] | None:
    """The names of a data set's labels: those of the column that was taken, or torchvision's `classes`."""
    taken = [features[name] for name in columns[:1] if name in features]
    names = getattr(taken[0], "names", None) if taken else getattr(source, "classes", None)
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return None
    return tuple(names) if names and len(set(names)) == len(names) else None


def _rgb(image: Any, location: str, background: Color) -> RgbImage:
    """The image of an item, and what was done to its colors."""
    if not isinstance(image, Image.Image):
        if not hasattr(image, "dtype") or not hasattr(image, "shape"):
            raise DataError(f"{location} is a {type(image).__name__}: expected a PIL image or a uint8 array")
        if image.ndim != 3:
            raise DataError(f"{location} has shape {tuple(image.shape)}: expected (H, W, 3), or (3, H, W){GRAY}")
        return RgbImage(Image.fromarray(np.ascontiguousarray(_array(image[None])[0])), ())
    try:
        image.load()
        return to_rgb(image, location, background, turn=False)
    except (OSError, SyntaxError, ValueError) as error:  # a file that is read only now
        raise DataError(f"{location} cannot be decoded: {first_line(error)}") from error


def _spool(items: Iterator[_Item], scratch: Path) -> tuple[NDArray[np.uint8], list[_Item]]:
    """The images of items in an unnamed file, which is then mapped; and the items without them."""
    with storage_errors(scratch):
        file = tempfile.TemporaryFile(dir=make_folder(scratch))  # noqa: SIM115  # the map keeps it open
    shape: tuple[int, ...] = ()
    others: list[_Item] = []
    for item in items:
        shape = shape or item.image.shape
        if item.image.shape != shape:
            raise DataError(
                f"image {len(others)} is {item.image.shape[1]}×{item.image.shape[0]} pixels, the first "
                f"{shape[1]}×{shape[0]}: give image_size= to bring all to one size"
            )
        with storage_errors(scratch):
            file.write(item.image.tobytes())
        others.append(item._replace(image=None))
    if not others:
        raise DataError(NO_IMAGES)
    with storage_errors(scratch):
        file.flush()
    return np.memmap(file, np.uint8, "r", shape=(len(others), *shape)), others


def _check_same(pixels: NDArray[np.uint8], again: Iterator[_Item]) -> None:
    """Check that the first images of a data set are the same when it is read again."""
    for number, (image, item) in enumerate(zip(pixels[:IMAGES_READ_TWICE], again, strict=False)):
        if not np.array_equal(image, item.image):
            raise DataError(
                f"image {number} has other pixels when the data set is read again: leave random augmentation and "
                "shuffling out"
            )


def _labels(labels: Any, count: int) -> NDArray[np.int64]:
    if labels is None:
        raise DataError("labels are missing: give labels=, one whole number an image")
    try:
        found = np.asarray(labels.detach().cpu() if isinstance(labels, torch.Tensor) else labels)
    except (ValueError, TypeError, RuntimeError) as error:  # each of another length
        raise DataError(f"labels must be {count:,} whole numbers, one an image: {first_line(error)}") from error
    if found.shape not in ((count,), (count, 1)) or not np.issubdtype(found.dtype, np.integer):
        raise DataError(f"labels must be {count:,} whole numbers, one an image, not {found.dtype} {found.shape}")
    return found.reshape(count).astype(np.int64)
