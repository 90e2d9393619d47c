"""Labeled images in memory (arrays, tensors, a torch or Hugging Face dataset), converted to one array."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set, Sized
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
from failmodes.ingest.datasets.color import WHITE, Color, RgbImage, describe_changes
from failmodes.ingest.datasets.dataset import ImageArray
from failmodes.ingest.datasets.decoding import resize_and_crop
from failmodes.ingest.datasets.image_columns import IMAGE, LABEL, candidate_columns, choose_column
from failmodes.ingest.datasets.masks import check_mask_array
from failmodes.ingest.datasets.preparation import UnreadableImageError, preparation_note, read_rgb, unreadable_note
from failmodes.runtime.errors import DataError, first_line
from failmodes.runtime.hashing import fingerprint_of
from failmodes.runtime.storage.files import atomic_write, make_folder, storage_errors
from failmodes.runtime.storage.locations import user_path

IMAGES_READ_TWICE = 16
FLOATS = (
    "expected uint8 pixels (0 to 255), on which corruptions are defined; remove ToTensor, ToDtype and Normalize, and "
    "set normalization= or preprocess= instead"
)
KEYS = "an item has the keys"
NO_IMAGES = "no images: the dataset is empty"
GRAY = "; for gray images, repeat the channel three times"


class GivenImages(NamedTuple):
    """Labeled images.

    Attributes:
        images: (N, H, W, 3) uint8.
        labels: (N,) int64.
        label_names: names of the labels, if known.
        note: the label column, if there are several, and the preparation of the images; or None.
        left_out: the warning about images of the dataset that are missing here; or None.
    """

    images: ImageArray
    labels: NDArray[np.int64]
    label_names: tuple[str, ...] | None = None
    note: str | None = None
    left_out: str | None = None


class _Item(NamedTuple):
    """An image of a dataset with its label, or a batch.

    Attributes:
        image: of the dataset; (H, W, 3) uint8 after preparation.
        label: None if labels are given separately.
        columns: candidate label columns, the chosen one first; empty if items have no columns.
        changes: changes to the image's colors.
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
    skip_unreadable: bool = False,
) -> GivenImages:
    """Convert labeled images to one array, in the order in which they come.

    PIL images are converted to RGB by the rules of `failmodes.ingest.datasets.color`, without applying EXIF
    orientation. The first images of a dataset are read again at the end and compared.

    Args:
        images: uint8 (N, H, W, 3), a tensor (N, 3, H, W), a sequence of images, a torch Dataset or DataLoader, a
            Hugging Face Dataset, or any iterable; items of datasets are (image, label) or mappings, images PIL, uint8
            or encoded.
        labels: (N,) or (N, 1) integers; None if items of the dataset have labels.
        scratch: folder for an anonymous file of images, which disappears with the process.
        label_column: key of the label if items are mappings. Default: label, labels, fine_label, target or targets,
            otherwise the only ClassLabel.
        image_size: side of the square that items are cropped to, pixels.
        resize: resize the shorter side to this many pixels first. Default: image_size.
        background: color behind transparent images.
        skip_unreadable: leave out images of items that cannot be decoded.

    Raises:
        DataError: images are not uint8, differ in size, have no order, or differ when read again; labels are missing,
            given twice, ambiguous or not integers; a DataLoader shuffles, or drops its last batch.
        StorageError: the file of items cannot be written.
    """
    if image_size is None and hasattr(images, "dtype") and hasattr(images, "shape"):
        if label_column is not None:
            raise DataError(f"label_column= is {label_column!r}, but the images are an array: set labels= instead")
        pixels = _array(images)
        return GivenImages(pixels, _labels(labels, len(pixels)))
    if isinstance(images, Mapping):
        keys = ", ".join(map(repr, list(images)[:4]))
        raise DataError(f"images are a mapping of {keys}: expected one dataset, such as the one under its test key")
    source = images
    while hasattr(source, "dataset") and not hasattr(source, "features") and not hasattr(source, "classes"):
        source = source.dataset  # of a DataLoader or a Subset
    described = getattr(source, "features", None)
    features = described if isinstance(described, Mapping) else {}  # of Hugging Face
    types = {name: type(feature).__name__ for name, feature in features.items()}
    split = partial(_split, features=types, has_labels_argument=labels is not None, label_column=label_column)
    items = partial(_prepared_items, images, split, image_size, resize, background, skip_unreadable=skip_unreadable)
    unreadable: list[int] = []
    pixels, items_read = _spool(items(unreadable), scratch)
    if not isinstance(images, Iterator):  # an iterator cannot be read again
        _check_same(pixels, items_read, items([]))
    columns = items_read[0].columns
    notes = [f"labels are the column {columns[0]!r}"] if label_column is not None or len(columns) > 1 else []
    notes += describe_changes(Counter(chain.from_iterable(item.changes for item in items_read)), background)
    notes += unreadable_note([f"image {number}" for number in unreadable])
    note = preparation_note(image_size, resize or image_size, notes)
    count = len(pixels) + len(unreadable)
    if labels is None:
        image_labels = _labels([item.label for item in items_read], len(pixels))
    else:
        image_labels = np.delete(_labels(labels, count), unreadable)
    names = _label_names(source, features, columns)
    return GivenImages(pixels, image_labels, names, note, _left_out(images, count))


def stored_masks(masks: Any, shape: tuple[int, ...], folder: Path) -> Path:
    """The `.npy` of masks: the given file, or one written to the folder of the images, named after its content.

    Args:
        masks: bool (N, H, W), or uint8 of 0 and 1, array or tensor; or the path of a `.npy`, validated on opening.
        shape: (N, H, W, 3) of the images.
        folder: folder of the image arrays.

    Raises:
        DataError: they have another type or shape.
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
    """An array or tensor as (N, H, W, 3), without copying memory maps."""
    is_tensor = isinstance(images, torch.Tensor)
    dtype = str(images.dtype).removeprefix("torch.")
    shape = tuple(images.shape)
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
    images: Any,
    split: Callable[[Any], _Item],
    image_size: int | None,
    resize: int | None,
    background: Color,
    unreadable: list[int],
    *,
    skip_unreadable: bool,
) -> Iterator[_Item]:
    """The items of a dataset, with images (H, W, 3) of uint8; positions of unreadable ones are added to a list."""
    items = _of_loader(images, split) if isinstance(images, DataLoader) else map(split, _one_by_one(images))
    for number, item in enumerate(items):
        location = f"image {number}"
        try:
            image, changes = _rgb(item.image, location, background)
        except UnreadableImageError:
            if not skip_unreadable:
                raise
            unreadable.append(number)
            continue
        image = resize_and_crop(image, image_size, resize, location) if image_size else image
        yield item._replace(image=np.asarray(image), changes=changes)


def _of_loader(loader: "DataLoader[Any]", split: Callable[[Any], _Item]) -> Iterator[_Item]:
    """Single items of a DataLoader."""
    sampler = getattr(loader.batch_sampler, "sampler", loader.sampler)
    is_stream = isinstance(loader.dataset, IterableDataset)
    size = getattr(loader.batch_sampler, "batch_size", 1)
    drops = getattr(loader.batch_sampler, "drop_last", False)
    total = 0 if is_stream or not isinstance(sampler, Sized) else len(sampler)
    if drops and (is_stream or total % size):
        count = "the images" if is_stream else f"{total % size:,} of {total:,} images"
        raise DataError(f"the DataLoader drops {count} after the last full batch of {size:,}: set drop_last=False")
    if not is_stream and not isinstance(sampler, SequentialSampler | range | list | tuple):
        raise DataError(
            f"the DataLoader samples images with a {type(sampler).__name__}: expected the same order every time "
            "(shuffle=False)"
        )
    for item in map(split, loader):
        if loader.batch_sampler is None:  # it yields single items (batch_size=None)
            yield item
            continue
        if item.label is not None and len(item.image) != len(item.label):
            raise DataError(f"a batch of the DataLoader has {len(item.image)} images and {len(item.label)} labels")
        labels = repeat(None) if item.label is None else item.label
        yield from (_Item(image, label, item.columns) for image, label in zip(item.image, labels, strict=False))


def _left_out(images: Any, count: int) -> str | None:
    """The warning about images that a dataset has and its DataLoader or iteration does not yield."""
    is_loader = isinstance(images, DataLoader)
    source: Any = images.dataset if is_loader else images
    total = len(source) if isinstance(source, Sized) else count
    if total <= count:
        return None
    how = "its DataLoader does not yield them (by its sampler or collate_fn)" if is_loader else "it ends before them"
    return (
        f"{total - count:,} of {total:,} images of the dataset are left out, because {how}: to evaluate some images on "
        "purpose, pass a torch.utils.data.Subset of them"
    )


def _one_by_one(images: Any) -> Iterator[Any]:
    """Items of a dataset or a sequence."""
    if isinstance(images, Dataset) and isinstance(images, Sized):
        return (images[index] for index in range(len(images)))  # not every dataset raises IndexError at its end
    if isinstance(images, Set):
        raise DataError(f"images are a {type(images).__name__}, which has no order: pass a list or a dataset")
    try:
        return iter(images)
    except TypeError as error:
        raise DataError(
            f"images are a {type(images).__name__}: expected a uint8 array (N, H, W, 3), a torch Dataset or "
            "DataLoader, a Hugging Face Dataset, or a folder"
        ) from error


def _split(item: Any, features: Mapping[str, str], has_labels_argument: bool, label_column: str | None) -> _Item:
    """Image and label of an item or a batch."""
    is_mapping = isinstance(item, Mapping)
    parts = item if isinstance(item, tuple | list) else (item,)
    if has_labels_argument:
        has_labels = is_mapping and candidate_columns(LABEL, item.keys(), features)
        if label_column is not None or has_labels or len(parts) != 1:
            raise DataError("labels are given twice: by the items of the images and as labels=; remove the latter")
        return _Item(item[choose_column(IMAGE, item.keys(), features, KEYS)[0]] if is_mapping else parts[0])
    if is_mapping:
        columns = choose_column(LABEL, item.keys(), features, KEYS, label_column)
        return _Item(item[choose_column(IMAGE, item.keys(), features, KEYS)[0]], item[columns[0]], columns)
    if len(parts) == 2 and label_column is None:
        return _Item(*parts)
    kind = type(item).__name__ + (f" of {len(item)}" if isinstance(item, tuple | list) else "")
    expected = "(image, label), or a mapping with both" if label_column is None else f"a mapping with {label_column!r}"
    raise DataError(f"an item of the images is a {kind}: expected {expected}; for images without labels set labels=")


def _label_names(source: Any, features: Mapping[str, Any], columns: tuple[str, ...]) -> tuple[str, ...] | None:
    """Names of a dataset's labels: those of the chosen column, or torchvision's `classes`."""
    taken = [features[name] for name in columns[:1] if name in features]
    names = getattr(taken[0], "names", None) if taken else getattr(source, "classes", None)
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return None
    return tuple(names) if names and len(set(names)) == len(names) else None


def _rgb(image: Any, location: str, background: Color) -> RgbImage:
    """The image of an item in RGB, and the changes to its colors."""
    encoded = _encoded(image)
    if encoded is not None or isinstance(image, Image.Image):
        return read_rgb(image if encoded is None else encoded, location, background)
    if not hasattr(image, "dtype") or not hasattr(image, "shape"):
        raise DataError(
            f"{location} is a {type(image).__name__}: expected a PIL image, a uint8 array or an encoded image"
        )
    if image.ndim != 3:
        raise DataError(f"{location} has shape {tuple(image.shape)}: expected (H, W, 3), or (3, H, W){GRAY}")
    return RgbImage(Image.fromarray(np.ascontiguousarray(_array(image[None])[0])), ())


def _encoded(image: Any) -> bytes | Path | None:
    """The bytes or the file of an image that a dataset does not decode (Hugging Face: `Image(decode=False)`)."""
    if isinstance(image, Mapping) and image.keys() == {"bytes", "path"}:
        image = image["bytes"] if image["bytes"] is not None else Path(image["path"] or "")
    return image if isinstance(image, bytes | Path) else None


def _spool(items: Iterator[_Item], scratch: Path) -> tuple[NDArray[np.uint8], list[_Item]]:
    """Write the images of items to an anonymous file and memory-map it; returns images, and items without images."""
    with storage_errors(scratch):
        file = tempfile.TemporaryFile(dir=make_folder(scratch))  # noqa: SIM115  # the memory map keeps it open
    shape: tuple[int, ...] = ()
    others: list[_Item] = []
    for item in items:
        shape = shape or item.image.shape
        if item.image.shape != shape:
            raise DataError(
                f"image {len(others)} is {item.image.shape[1]}×{item.image.shape[0]} pixels, the first "
                f"{shape[1]}×{shape[0]}: set image_size= to crop all to one size"
            )
        with storage_errors(scratch):
            file.write(item.image.tobytes())
        others.append(item._replace(image=None))
    if not others:
        raise DataError(NO_IMAGES)
    with storage_errors(scratch):
        file.flush()
    return np.memmap(file, np.uint8, "r", shape=(len(others), *shape)), others


def _check_same(pixels: NDArray[np.uint8], items: Sequence[_Item], again: Iterator[_Item]) -> None:
    """Check that the first images of a dataset are the same when read again."""
    count = 0
    for image, item, item_again in zip(pixels[:IMAGES_READ_TWICE], items, again, strict=False):
        has_same_pixels = np.array_equal(image, item_again.image)
        if not has_same_pixels or not np.array_equal(item.label, item_again.label):
            what = "another label" if has_same_pixels else "different pixels"
            raise DataError(
                f"image {count} has {what} when the dataset is read again: remove random augmentation and shuffling"
            )
        count += 1
    if count < min(len(items), IMAGES_READ_TWICE):
        raise DataError(
            f"the images end after {count:,} when they are read again, and there were {len(items):,}: pass an iterable "
            "that can be read again, or an iterator, which is read once"
        )


def _labels(labels: Any, count: int) -> NDArray[np.int64]:
    if labels is None:
        raise DataError("labels are missing: set labels=, one integer per image")
    try:
        array = np.asarray(labels.detach().cpu() if isinstance(labels, torch.Tensor) else labels)
    except (ValueError, TypeError, RuntimeError) as error:  # of different lengths
        raise DataError(f"labels must be {count:,} integers, one per image: {first_line(error)}") from error
    if array.shape not in ((count,), (count, 1)) or not np.issubdtype(array.dtype, np.integer):
        raise DataError(f"labels must be {count:,} integers, one per image, not {array.dtype} {array.shape}")
    return array.reshape(count).astype(np.int64)
