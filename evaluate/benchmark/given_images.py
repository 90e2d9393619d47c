"""Labelled images as a user has them (arrays, tensors, a torch or Hugging Face data set), brought to one array."""

import tempfile
from collections.abc import Iterator, Mapping, Sized
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from failmodes.ingest.datasets.dataset import ImageArray
from failmodes.ingest.datasets.decoding import EIGHT_BIT_MODES
from failmodes.ingest.datasets.folder import resize_and_crop
from failmodes.warehouse.errors import DataError

IMAGE_KEYS = ("image", "img", "images", "pixel_values")
LABEL_KEYS = ("label", "labels", "fine_label", "target", "targets")
IN_ORDER = {"SequentialSampler", "_InfiniteConstantSampler"}  # samplers that give the same order every time
FLOATS = (
    "uint8 pixels (0 to 255) are needed, since corruptions are defined on them; leave ToTensor, ToDtype and Normalize "
    "out, and say how the network gets its input with normalisation= or preprocess="
)


class GivenImages(NamedTuple):
    """Labelled images.

    Attributes:
        images: (N, H, W, 3) uint8.
        labels: (N,) int64.
        label_names: the name of each label, where the source knows them.
    """

    images: ImageArray
    labels: NDArray[np.int64]
    label_names: tuple[str, ...] | None = None


def read_given_images(
    images: Any, labels: Any, scratch: Path, *, image_size: int | None = None, resize: int | None = None
) -> GivenImages:
    """Bring labelled images to one array.

    Args:
        images: uint8 (N, H, W, 3), a tensor (N, 3, H, W), a sequence of images, a torch Dataset or DataLoader, or a
            Hugging Face Dataset; items of data sets are (image, label) or mappings, images PIL or uint8.
        labels: (N,) whole numbers; None where the data set's items have them.
        scratch: a folder; items that come one by one are kept in a file there until this process ends.
        image_size: side of the square that items are cropped to, pixels.
        resize: what their shorter side is resized to before; image_size if not given.

    Raises:
        DataError: images are no uint8 pixels or of several sizes, labels are missing or no whole numbers, a DataLoader
            shuffles.
    """
    if image_size is None and hasattr(images, "dtype") and hasattr(images, "shape"):
        pixels = _array(images)
        return GivenImages(pixels, _labels(labels, len(pixels)))
    whole = images.dataset if isinstance(images, DataLoader) else images
    blocks = _batches(images) if isinstance(images, DataLoader) else _items(images, with_labels=labels is None)
    pixels, found = _spool(blocks, scratch, image_size, resize)
    if labels is not None and isinstance(images, DataLoader):
        raise DataError("labels are given twice: by the DataLoader and as labels=; leave the second out")
    return GivenImages(pixels, _labels(found if labels is None else labels, len(pixels)), _label_names(whole))


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
        hint = "; one image is images[None]" if len(shape) == 3 else ""
        raise DataError(f"images have shape {shape}: expected (N, height, width, 3), or (N, 3, height, width){hint}")
    return pixels


def _batches(loader: "DataLoader[Any]") -> Iterator[tuple[Any, Any]]:
    """Images and labels of a DataLoader, one by one."""
    if type(loader.sampler).__name__ not in IN_ORDER:
        raise DataError(
            f"the DataLoader takes its images in the order of a {type(loader.sampler).__name__}: expected the same "
            "order every time, shuffle=False"
        )
    for batch in loader:
        images, labels = _pair(batch, loader.dataset)
        if len(images) != len(labels):
            raise DataError(f"a batch of the DataLoader has {len(images)} images and {len(labels)} labels")
        yield from zip(images, labels, strict=True)


def _items(images: Any, *, with_labels: bool) -> Iterator[tuple[Any, Any]]:
    """Images and labels of a data set or a sequence; labels None where they are given apart."""
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
        yield _pair(item, images) if with_labels else (item, None)


def _pair(item: Any, source: Any) -> tuple[Any, Any]:
    """The image and the label of an item, or those of a batch."""
    if isinstance(item, Mapping):
        return item[_key(item, source, "Image", IMAGE_KEYS)], item[_key(item, source, "ClassLabel", LABEL_KEYS)]
    if isinstance(item, tuple | list) and len(item) == 2:
        return item[0], item[1]
    raise DataError(
        f"an item of the images is a {type(item).__name__}: expected (image, label), or a mapping with both; "
        "for images alone give labels= too"
    )


def _key(item: Mapping[str, Any], source: Any, feature: str, usual: tuple[str, ...]) -> str:
    """The key of an item's image or label: the one of that feature, else a usual name."""
    features = getattr(source, "features", None) or {}
    named = [key for key, kind in features.items() if type(kind).__name__ == feature]
    found = [key for key in (named if len(named) == 1 else usual) if key in item]
    if not found:
        raise DataError(f"an item has the keys {', '.join(map(str, item))}: expected one of {', '.join(usual)}")
    return found[0]


def _label_names(source: Any) -> tuple[str, ...] | None:
    """The names of a data set's labels: a Hugging Face ClassLabel's, or torchvision's `classes`."""
    features = getattr(source, "features", None) or {}
    named = [kind for kind in features.values() if type(kind).__name__ == "ClassLabel"]
    while isinstance(getattr(source, "dataset", None), Dataset) and not hasattr(source, "classes"):
        source = source.dataset  # of a Subset
    names = named[0].names if len(named) == 1 else getattr(source, "classes", None)
    if isinstance(names, list | tuple) and names and all(isinstance(name, str) for name in names):
        return tuple(names)
    return None


def _spool(
    items: Iterator[tuple[Any, Any]], scratch: Path, image_size: int | None, resize: int | None
) -> tuple[NDArray[np.uint8], list[Any]]:
    """Images one by one into an unnamed file, which is then mapped; and their labels."""
    scratch.mkdir(parents=True, exist_ok=True)
    file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115  # the map keeps it open
    labels: list[Any] = []
    shape: tuple[int, ...] = ()
    for image, label in items:
        pixels = _pixels(image, len(labels), image_size, resize)
        shape = shape or pixels.shape
        if pixels.shape != shape:
            raise DataError(
                f"image {len(labels)} is {pixels.shape[1]}×{pixels.shape[0]} pixels, the first {shape[1]}×{shape[0]}: "
                "give image_size= to bring all to one size"
            )
        file.write(pixels.tobytes())
        labels.append(label)
    if not labels:
        raise DataError("there are no images: the data set is empty")
    file.flush()
    return np.memmap(file, np.uint8, "r", shape=(len(labels), *shape)), labels


def _pixels(image: Any, index: int, image_size: int | None, resize: int | None) -> NDArray[np.uint8]:
    """One image as (H, W, 3) uint8."""
    if isinstance(image, Image.Image):
        if image.mode not in EIGHT_BIT_MODES:
            raise DataError(f"image {index} has pixels of mode {image.mode}: expected at most 8 bits a channel")
        rgb = image.convert("RGB")
    else:
        if not hasattr(image, "dtype") or not hasattr(image, "shape"):
            raise DataError(f"image {index} is a {type(image).__name__}: expected a PIL image or a uint8 array")
        if image.ndim != 3:
            raise DataError(f"image {index} has shape {tuple(image.shape)}: expected (H, W, 3), or (3, H, W)")
        pixels = _array(image[None])[0]
        if image_size is None:
            return np.ascontiguousarray(pixels)
        rgb = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(resize_and_crop(rgb, image_size, resize) if image_size else rgb)


def _labels(labels: Any, count: int) -> NDArray[np.int64]:
    if labels is None:
        raise DataError("labels are missing: give labels=, one whole number an image")
    found = np.asarray(labels.detach().cpu() if isinstance(labels, torch.Tensor) else labels)
    if found.shape != (count,) or not np.issubdtype(found.dtype, np.integer):
        raise DataError(f"labels must be {count:,} whole numbers, one an image, not {found.dtype} {found.shape}")
    return found.astype(np.int64)
