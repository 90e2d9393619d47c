"""Images that are not one array in memory: read from a file, decoded on demand, or chosen from others.

Each has the shape (N, H, W, 3), and is read by slices or by arrays of whole numbers, also from several threads.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.data_files import map_npy
from failmodes.ingest.datasets.dataset import ImageArray
from failmodes.runtime.errors import DataError, counted
from failmodes.runtime.storage.files import reason_of

Pixels = NDArray[np.uint8]


class ImageRows(ABC):
    """Images (N, H, W, 3) uint8 of which rows are read when they are asked for.

    Attributes:
        shape: (N, H, W, 3).
        dtype: uint8.
    """

    dtype: np.dtype[Any] = np.dtype(np.uint8)

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Pixels:
        places = np.arange(len(self))[rows]
        pixels = self.read(np.atleast_1d(places))
        return pixels[0] if places.ndim == 0 else pixels

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype)

    @abstractmethod
    def read(self, places: NDArray[np.int64]) -> Pixels:
        """The images at these positions (M,), in this order: (M, H, W, 3)."""


class StoredImages(ImageRows):
    """The images of a `.npy` file, read and not mapped: pages of a map would count as memory of the process.

    Attributes:
        path: the file.
        index_path: where facts about these pixels are stored, such as their hashes.
        decoded: whether the images were decoded for this file.
    """

    def __init__(self, path: Path, index_path: Path, *, decoded: bool) -> None:
        """Read the header.

        Args:
            path: a `.npy` of uint8, (N, H, W, 3), rows first.
            index_path: where facts about the pixels are stored.
            decoded: whether the file holds images that were decoded for it.

        Raises:
            FileNotFoundError: it does not exist.
            DataError: it is damaged or truncated.
        """
        array = map_npy(path)
        super().__init__(array.shape)
        self.path = path
        self.index_path = index_path
        self.decoded = decoded
        self._offset = path.stat().st_size - array.nbytes  # map_npy has checked that nothing follows

    def read(self, places: NDArray[np.int64]) -> Pixels:
        """Read images, neighbors in the file together."""
        pixels = np.empty((len(places), *self.shape[1:]), np.uint8)
        image_bytes = int(np.prod(self.shape[1:]))
        starts = np.flatnonzero(np.diff(places, prepend=places[:1] - 2) != 1)
        try:
            with self.path.open("rb", buffering=0) as file:
                for start, stop in zip(starts, [*starts[1:], len(places)], strict=True):
                    part = pixels[start:stop].data.cast("B")
                    place = self._offset + int(places[start]) * image_bytes
                    while part:
                        count = os.preadv(file.fileno(), [part], place)
                        if not count:
                            raise DataError(f"{self.path} is truncated: rerun the command to decode its images again")
                        part, place = part[count:], place + count
        except OSError as error:
            raise DataError(
                f"{self.path} cannot be read ({reason_of(error)}): the decoded images are kept there"
            ) from error
        return pixels


class ImagesOnDemand(ImageRows):
    """Images that are decoded each time they are read.

    Attributes:
        index_path: where facts about these pixels are stored, such as their hashes.
    """

    def __init__(self, shape: tuple[int, ...], index_path: Path, decode: Callable[[NDArray[np.int64]], Pixels]) -> None:
        super().__init__(shape)
        self.index_path = index_path
        self._decode = decode

    def read(self, places: NDArray[np.int64]) -> Pixels:
        """Decode images."""
        return self._decode(places)


class ImagesInOrder(ImageRows):
    """Images that are read once, from the first to the last.

    Attributes:
        index_path: where facts about these pixels are stored, such as their hashes.
    """

    def __init__(self, shape: tuple[int, ...], index_path: Path, blocks: Iterator[Pixels]) -> None:
        """Take the images from blocks (M, H, W, 3) of any size, read on demand."""
        super().__init__(shape)
        self.index_path = index_path
        self._blocks = blocks
        self._start = 0  # position of the first image that is held
        self._held = np.empty((0, *shape[1:]), np.uint8)

    def read(self, places: NDArray[np.int64]) -> Pixels:
        """The images at these positions, which follow the last ones."""
        parts = [self._held]
        while self._start + sum(map(len, parts)) <= places[-1]:
            parts.append(next(self._blocks))
        held = np.concatenate(parts)
        pixels = held[places - self._start]
        self._held = held[places[-1] + 1 - self._start :]
        self._start = int(places[-1]) + 1
        return pixels


class SelectedImages(ImageRows):
    """Some images of an array, without copying.

    Attributes:
        images: the array, (N, H, W, 3) uint8.
    """

    def __init__(self, images: ImageArray, chosen: NDArray[np.integer]) -> None:
        """Choose the images at the positions `chosen` (M,)."""
        super().__init__((len(chosen), *images.shape[1:]))
        self.images = images
        self._chosen = chosen

    def read(self, places: NDArray[np.int64]) -> Pixels:
        """The chosen images at these positions."""
        return np.asarray(self.images[self._chosen[places]])


def describe_decoding(images: ImageArray, cells: int) -> str | None:
    """How often each image is decoded in a run, in one line; None for images that need no decoding.

    Args:
        images: the images of a dataset.
        cells: number of cells that are evaluated on them.
    """
    if isinstance(images, SelectedImages):
        return describe_decoding(images.images, cells)
    megabytes = np.prod(images.shape, dtype=float) / 1e6
    size = f"{megabytes / 1e3:,.1f} GB" if megabytes >= 1e3 else f"{megabytes:,.1f} MB"
    if isinstance(images, StoredImages) and images.decoded:
        return f"each image is decoded once, to {images.path.parent} ({size})"
    if isinstance(images, ImagesOnDemand):
        return f"each image is decoded once for each of {counted(cells, 'cell')}, and never stored (all have {size})"
    return None
