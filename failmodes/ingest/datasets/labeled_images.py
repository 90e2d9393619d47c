"""Labeled images as a dataset: decoded and prepared, whatever layout lists them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from failmodes.ingest.datasets.color import EMPTY_MASK, WHITE, describe_changes
from failmodes.ingest.datasets.dataset import KEPT_GRAY, Dataset, check_labels
from failmodes.ingest.datasets.encoded_images import EncodedImages, ImageFiles, decode_images
from failmodes.ingest.datasets.image_arrays import SelectedImages
from failmodes.ingest.datasets.layout import Request
from failmodes.ingest.datasets.masks import open_mask_folder
from failmodes.ingest.datasets.preparation import (
    Preparation,
    UnreadableImageError,
    preparation_note,
    read_rgb,
    unreadable_note,
)
from failmodes.runtime.errors import DataError

MAX_UNREAD = 0.01  # share of skipped images in a folder above which they matter


class LabeledImages(NamedTuple):
    """The images of a dataset with their labels.

    Attributes:
        encoded: one per image_id.
        labels: (N,) int64, class indices.
        class_names: one per class.
        notes: what readers of results must know, such as skipped files.
        names: (N,) the images as results name them; None without names.
        unread: how many images are not read because of their folder or format.
        border_px: pixels to remove at each edge before anything else.
        metadata: (N,) values by name.
        root: folder of the image files, for their masks.
        split_folder: the split's name if `root` is the folder of a split, else None.
    """

    encoded: EncodedImages
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    notes: Sequence[str] = ()
    names: tuple[str, ...] | None = None
    unread: int = 0
    border_px: int = 0
    metadata: Mapping[str, pa.Array] = {}
    root: Path | None = None
    split_folder: str | None = None

    @classmethod
    def of_folder(
        cls,
        root: Path,
        files: Sequence[Path],
        labels: NDArray[np.int64],
        class_names: tuple[str, ...],
        notes: Sequence[str] = (),
        unread: int = 0,
        *,
        split_folder: str | None = None,
        border_px: int = 0,
    ) -> "LabeledImages":
        """The image files of a folder, named by their paths within it."""
        names = tuple(file.relative_to(root).as_posix() for file in files)
        return cls(
            ImageFiles(files), labels, class_names, notes, names, unread, border_px, root=root,
            split_folder=split_folder,
        )  # fmt: skip


def open_labeled_images(request: Request, images: LabeledImages, label: str) -> Dataset:
    """The dataset of labeled images. Without `image_size` all images must have one size.

    Args:
        request: what a study says about the dataset.
        images: its images.
        label: its name on charts.

    Raises:
        DataError: a label is out of range, an image cannot be decoded, several sizes without image_size, an image that
            is not gray although `gray` is set, a mask that is missing or does not fit its image.
        StorageError: the cache cannot be written, or the disk has too little space.
    """
    spec = request.spec
    check_labels(images.labels, len(images.class_names), label)
    preparation = _preparation(request, images)
    decoded = decode_images(
        images.encoded, images.labels, preparation, request.cache, spec.decode, skip_unreadable=spec.skip_unreadable
    )
    problems = decoded.facts["problem"]
    readable = np.flatnonzero(problems.is_null())
    unreadable: list[int] = np.flatnonzero(problems.is_valid()).tolist()
    if not len(readable):
        raise DataError(f"{label}: none of its images can be decoded; the first: {problems[0]}")
    pixels = SelectedImages(decoded.pixels, readable) if len(unreadable) else decoded.pixels
    facts = decoded.facts.take(readable)
    masks = None
    empty_masks: Counter[str] = Counter()
    if request.masks is not None and images.root is not None:
        of_split = request.masks / (images.split_folder or "")
        folder = of_split if of_split.is_dir() else request.masks
        files = [images.encoded.files[place] for place in readable.tolist()]
        masks = open_mask_folder(
            folder, files, images.root, preparation.size, preparation.resize, request.cache, empty_masks
        )
    changes = Counter(change for of_image in facts["changes"].to_pylist() for change in of_image)
    notes = [
        *([f"{images.border_px} pixels at each edge removed"] if images.border_px else []),
        *([KEPT_GRAY] if spec.gray else []),
        *describe_changes(changes, preparation.background),
        *unreadable_note([images.encoded.location(place) for place in unreadable]),
        *images.notes,
    ]
    return Dataset(
        name=spec.kind,
        label=label,
        split=request.split,
        images=pixels,
        labels=images.labels[readable],
        class_names=images.class_names,
        note=preparation_note(spec.image_size, preparation.resize, notes),
        files=None if images.names is None else tuple(images.names[place] for place in readable.tolist()),
        masks=masks,
        empty_masks=None if masks is None else empty_masks[EMPTY_MASK],
        gray=spec.gray,
        left_out=_left_out(images),
        source_sizes=facts.select(["width_px", "height_px", "file_bytes"]),
        metadata={name: values.take(pa.array(readable)) for name, values in images.metadata.items()},
    )


def _preparation(request: Request, images: LabeledImages) -> Preparation:
    """The preparation that a study asks for, to `image_size` or the size of the first readable image."""
    spec = request.spec
    red, green, blue = spec.background or WHITE
    more = ((red, green, blue), images.border_px, spec.gray)
    if spec.image_size:
        return Preparation((spec.image_size, spec.image_size), spec.resize or spec.image_size, *more)
    for place in range(len(images.encoded)):
        location = images.encoded.location(place)
        try:
            image = read_rgb(next(images.encoded.read(np.array([place]))), location).image
        except UnreadableImageError:
            if spec.skip_unreadable and place + 1 < len(images.encoded):
                continue
            raise
        size = image.height - 2 * images.border_px, image.width - 2 * images.border_px
        return Preparation(size, None, *more, first=location)
    raise DataError(f"{request.path} has no images")


def _left_out(images: LabeledImages) -> str | None:
    """The warning about images that are not read, if they are more than MAX_UNREAD."""
    total = images.unread + len(images.encoded)
    if images.unread <= MAX_UNREAD * total:
        return None
    return (
        f"{images.unread:,} of {total:,} images are skipped, because they are in subfolders of classes or in an "
        "unsupported format: move them directly into the folders of their classes, as .png or .jpg"
    )
