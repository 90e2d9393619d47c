"""Labeled images as a user has them (arrays, tensors, a torch or Hugging Face data set), brought to one array."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sized
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from failmodes.ingest.datasets.color import WHITE, Color, describe_changes, to_rgb
from failmodes.ingest.datasets.dataset import ImageArray
from failmodes.ingest.datasets.decoding import resize_and_crop
from failmodes.ingest.datasets.folder import preparation_note
from failmodes.warehouse.errors import DataError, first_line
from failmodes.warehouse.storage.files import make_folder, storage_errors

IMAGE_KEYS = ("image", "img", "images", "pixel_values")
LABEL_KEYS = ("label", "labels", "fine_label", "target", "targets")
# Samplers that give the same order every time
IN_ORDER = {"SequentialSampler", "_InfiniteConstantSampler", "BatchSampler", "range", "list", "tuple"}
FLOATS = (
    "uint8 pixels (0 to 255) are needed, since corruptions are defined on them; leave ToTensor, ToDtype and Normalize "
    "out, and say how the model gets its input with normalization= or preprocess="
)
NO_IMAGES = "there are no images: the data set is empty"
GRAY = "; of gray images, repeat the channel three times"
Parts = tuple[Any, Any]  # image and label of an item, or those of a batch; no label where labels are given apart


class GivenImages(NamedTuple):
    """Labeled images.

    Attributes:
        images: (N, H, W, 3) uint8.
        labels: (N,) int64.
        label_names: the name of each label, where the source knows them.
        note: what was done to make them so, or None.
    """

    images: ImageArray
    labels: NDArray[np.int64]
    label_names: tuple[str, ...] | None = None
    note: str | None = None


def read_given_images(
    images: Any,
    labels: Any,
    scratch: Path,
    *,
    image_size: int | None = None,
    resize: int | None = None,
    background: Color = WHITE,
) -> GivenImages:
    """Bring labeled images to one array.

    PIL images become RGB by the rules of `failmodes.ingest.datasets.color`, but are not turned: what a program gives
    is taken the way up that it has.

    Args:
        images: uint8 (N, H, W, 3), a tensor (N, 3, H, W), a sequence of images, a torch Dataset or DataLoader, or a
            Hugging Face Dataset; items of data sets are (image, label) or mappings, images PIL or uint8.
        labels: (N,) whole numbers; None where the data set's items have them.
        scratch: a folder; items that come one by one are kept in a file there until this process ends.
        image_size: side of the square that items are cropped to, pixels.
        resize: what their shorter side is resized to before; image_size if not given.
        background: what transparent images are composited on.

    Raises:
        DataError: images are no uint8 pixels or of several sizes, labels are missing, given twice or no whole numbers,
            a DataLoader shuffles.
        StorageError: the file of items cannot be written.
    """
    if image_size is None and hasattr(images, "dtype") and hasattr(images, "shape"):
        pixels = _array(images)
        return GivenImages(pixels, _labels(labels, len(pixels)))
    if isinstance(images, Mapping):
        keys = ", ".join(map(repr, list(images)[:4]))
        raise DataError(f"images are a mapping of {keys}: expected one data set, such as the one under its test key")
    parts = _image_and_label if labels is None else _image_alone
    is_loader = isinstance(images, DataLoader)
    items = _of_loader(images, parts) if is_loader else _of_dataset(images, parts)
    changes: Counter[str] = Counter()
    found: list[Any] = []
    pixels = _spool((_of_item(item, found, image_size, resize, background, changes) for item in items), scratch)
    names = _label_names(images.dataset if is_loader else images)
    note = preparation_note(image_size, resize or image_size, describe_changes(changes, background))
    return GivenImages(pixels, _labels(found if labels is None else labels, len(pixels)), names, note)


def _array(images: Any) -> NDArray[np.uint8]:
    """A whole array or tensor as (N, H, W, 3); mapped files stay mapped."""
    is_tensor = isinstance(images, torch.Tensor)
    if str(images.dtype).removeprefix("torch.") != "uint8":
        raise DataError(f"images are {str(images.dtype).removeprefix('torch.')}: {FLOATS}")
    shape = tuple(images.shape)
    pixels: NDArray[np.uint8] = images.detach().cpu().numpy() if is_tensor else images
    channels_first = len(shape) == 4 and shape[1] == 3 and (is_tensor or shape[3] != 3)
    pixels = pixels.transpose(0, 2, 3, 1) if channels_first else pixels
    if len(shape) != 4 or pixels.shape[3] != 3:
        hint = "; one image is images[None]" if len(shape) == 3 and 3 in (shape[0], shape[2]) else GRAY
        raise DataError(f"images have shape {shape}: expected (N, height, width, 3), or (N, 3, height, width){hint}")
    if not len(pixels):
        raise DataError(NO_IMAGES)
    return pixels


def _of_loader(loader: "DataLoader[Any]", parts: Callable[[Any, Any], Parts]) -> Iterator[Parts]:
    """Images and labels of a DataLoader, one by one."""
    batches: Any = loader.batch_sampler
    for sampler in (loader.sampler, batches, getattr(batches, "sampler", None)):
        if sampler is not None and type(sampler).__name__ not in IN_ORDER:
            raise DataError(
                f"the DataLoader takes its images in the order of a {type(sampler).__name__}: expected the same "
                "order every time, shuffle=False"
            )
    for batch in loader:
        images, labels = parts(batch, loader.dataset)
        if batches is None:  # it gives items, as batch_size=None asks
            yield images, labels
            continue
        if labels is not None and len(images) != len(labels):
            raise DataError(f"a batch of the DataLoader has {len(images)} images and {len(labels)} labels")
        yield from zip(images, repeat(None) if labels is None else labels, strict=False)


def _of_dataset(images: Any, parts: Callable[[Any, Any], Parts]) -> Iterator[Parts]:
    """Images and labels of a data set or a sequence, one by one."""
    if isinstance(images, Dataset) and isinstance(images, Sized):
        items: Any = (images[index] for index in range(len(images)))  # not all of them end by an IndexError
    else:
        try:
            items = iter(images)
        except TypeError as error:
            raise DataError(
                f"images are a {type(images).__name__}: expected a uint8 array (N, H, W, 3), a torch Dataset or "
                "DataLoader, a Hugging Face Dataset, or a folder"
            ) from error
    for item in items:
        yield parts(item, images)


def _image_and_label(item: Any, source: Any) -> Parts:
    if isinstance(item, Mapping):
        return item[_key(item, source, "Image", IMAGE_KEYS)], item[_key(item, source, "ClassLabel", LABEL_KEYS)]
    if isinstance(item, tuple | list) and len(item) == 2:
        return item[0], item[1]
    found = f"{type(item).__name__} of {len(item)}" if isinstance(item, tuple | list) else type(item).__name__
    raise DataError(
        f"an item of the images is a {found}: expected (image, label), or a mapping with both; "
        "for images alone give labels= too"
    )


def _image_alone(item: Any, source: Any) -> Parts:
    if isinstance(item, tuple | list) and len(item) == 1:
        return item[0], None
    if isinstance(item, tuple | list) or isinstance(item, Mapping) and _keys(item, source, "ClassLabel", LABEL_KEYS):
        raise DataError("labels are given twice: by the items of the images and as labels=; leave the second out")
    return item[_key(item, source, "Image", IMAGE_KEYS)] if isinstance(item, Mapping) else item, None


def _key(item: Mapping[str, Any], source: Any, feature: str, usual: tuple[str, ...]) -> str:
    """The key of an item's image or label: the one of that feature, else a usual name."""
    found = _keys(item, source, feature, usual)
    if not found:
        raise DataError(f"an item has the keys {', '.join(map(str, item))}: expected one of {', '.join(usual)}")
    return found[0]


def _keys(item: Mapping[str, Any], source: Any, feature: str, usual: tuple[str, ...]) -> list[str]:
    features = getattr(source, "features", None) or {}
    named = [key for key, kind in features.items() if type(kind).__name__ == feature]
    return [key for key in (named if len(named) == 1 else usual) if key in item]


def _label_names(source: Any) -> tuple[str, ...] | None:
    """The names of a data set's labels: a Hugging Face ClassLabel's, or torchvision's `classes`."""
    features = getattr(source, "features", None) or {}
    named = [kind for kind in features.values() if type(kind).__name__ == "ClassLabel"]
    while isinstance(getattr(source, "dataset", None), Dataset) and not hasattr(source, "classes"):
        source = source.dataset  # of a Subset
    names = named[0].names if len(named) == 1 else getattr(source, "classes", None)
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return None
    return tuple(names) if names and len(set(names)) == len(names) else None


def _of_item(
    item: Parts,
    labels: list[Any],
    image_size: int | None,
    resize: int | None,
    background: Color,
    changes: Counter[str],
) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) of an item, whose label goes to the others, and what was done to its image to their counts."""
    image, label = item
    location = f"image {len(labels)}"
    labels.append(label)
    if isinstance(image, Image.Image):
        rgb = _as_rgb(image, location, background, changes)
    else:
        pixels = _of_array(image, location)
        if image_size is None:
            return pixels
        rgb = Image.fromarray(pixels)
    return np.asarray(resize_and_crop(rgb, image_size, resize, location) if image_size else rgb)


def _as_rgb(image: Image.Image, location: str, background: Color, changes: Counter[str]) -> Image.Image:
    try:
        image.load()
        rgb = to_rgb(image, location, background, turn=False)
    except (OSError, SyntaxError, ValueError) as error:  # a file that is read only now
        raise DataError(f"{location} cannot be decoded: {first_line(error)}") from error
    changes.update(rgb.changes)
    return rgb.image


def _of_array(image: Any, location: str) -> NDArray[np.uint8]:
    if not hasattr(image, "dtype") or not hasattr(image, "shape"):
        raise DataError(f"{location} is a {type(image).__name__}: expected a PIL image or a uint8 array")
    if image.ndim != 3:
        raise DataError(f"{location} has shape {tuple(image.shape)}: expected (H, W, 3), or (3, H, W){GRAY}")
    return np.ascontiguousarray(_array(image[None])[0])


def _spool(images: Iterator[NDArray[np.uint8]], scratch: Path) -> NDArray[np.uint8]:
    """Images (H, W, 3) one by one into an unnamed file, which is then mapped."""
    with storage_errors(scratch):
        file = tempfile.TemporaryFile(dir=make_folder(scratch))  # noqa: SIM115  # the map keeps it open
    shape: tuple[int, ...] = ()
    count = 0
    for count, pixels in enumerate(images, 1):
        shape = shape or pixels.shape
        if pixels.shape != shape:
            raise DataError(
                f"image {count - 1} is {pixels.shape[1]}×{pixels.shape[0]} pixels, the first {shape[1]}×{shape[0]}: "
                "give image_size= to bring all to one size"
            )
        with storage_errors(scratch):
            file.write(pixels.tobytes())
    if not count:
        raise DataError(NO_IMAGES)
    with storage_errors(scratch):
        file.flush()
    return np.memmap(file, np.uint8, "r", shape=(count, *shape))


def _labels(labels: Any, count: int) -> NDArray[np.int64]:
    if labels is None:
        raise DataError("labels are missing: give labels=, one whole number an image")
    try:
        found = np.asarray(labels.detach().cpu() if isinstance(labels, torch.Tensor) else labels)
    except (ValueError, TypeError, RuntimeError) as error:  # each of another length
        raise DataError(f"labels must be {count:,} whole numbers, one an image: {first_line(error)}") from error
    if found.shape != (count,) or not np.issubdtype(found.dtype, np.integer):
        raise DataError(f"labels must be {count:,} whole numbers, one an image, not {found.dtype} {found.shape}")
    return found.astype(np.int64)
