"""Arrays in `.npz` archives, which may be compressed and larger than memory; nothing in them is ever unpickled."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.data_files import check_memory, data_errors
from failmodes.ingest.datasets.dataset import ImageArray
from failmodes.ingest.datasets.decoding import decode_to_cache
from failmodes.runtime.errors import DataError
from failmodes.runtime.storage.files import check_regular

BLOCK_BYTES = 1 << 25  # read at a time


def array_names(path: Path, fix: str = "") -> list[str]:
    """Names of the arrays of an archive.

    Args:
        path: the `.npz` file.
        fix: how to fix a damaged file, for errors.

    Raises:
        DataError: it is not a regular file, or no archive.
    """
    with _opened(path, fix) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def read_array(path: Path, name: str, fix: str = "") -> NDArray[Any]:
    """An array of an archive, read into memory.

    Raises:
        DataError: the archive is damaged, lacks the array, or holds another size.
        LimitError: it does not fit into memory.
    """
    with _opened(path, fix) as archive, _member(archive, name, fix) as (shape, dtype, stream):
        byte_count = int(np.prod(shape, dtype=object)) * dtype.itemsize
        check_memory(byte_count, f"{name} of {path}")
        return np.frombuffer(stream.read(byte_count), dtype).reshape(shape)  # refuses another size


def map_images(path: Path, name: str, cache: Path | None, fix: str = "") -> NDArray[np.uint8]:
    """Images (N, H, W) or (N, H, W, 3) uint8 of an archive, unpacked once into the cache and mapped from there.

    Args:
        path: the `.npz` file.
        name: of the array.
        cache: folder of decoded images; None: the images are read into memory.
        fix: how to fix a damaged file, for errors.

    Raises:
        DataError: as `images_shape`.
        StorageError: the cache cannot be written, or the disk has too little space.
    """
    shape = images_shape(path, name, fix)
    if cache is None:
        return read_array(path, name, fix)
    return decode_to_cache(cache, [path], {"array": name}, shape, _blocks(path, name, shape, fix))


def images_shape(path: Path, name: str, fix: str = "") -> tuple[int, ...]:
    """Shape of images (N, H, W) or (N, H, W, 3) uint8; their values are not read.

    Raises:
        DataError: the archive is damaged, lacks the array, or holds another size, type or shape.
    """
    with _opened(path, fix) as archive, _member(archive, name, fix) as (shape, dtype, _):
        if dtype != np.uint8 or len(shape) not in (3, 4) or 0 in shape or (len(shape) == 4 and shape[3] != 3):
            raise DataError(f"{path}: {name} is {dtype} {shape}: expected uint8 (images, height, width) or (…, 3){fix}")
        return shape


class GrayImages:
    """Gray images (N, H, W) as images of three equal channels, (N, H, W, 3)."""

    def __init__(self, values: NDArray[np.uint8]) -> None:
        self._values = values
        self.shape: tuple[int, ...] = (*values.shape, 3)
        self.dtype = values.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]:
        return np.repeat(np.asarray(self._values[rows])[..., None], 3, axis=-1)


def in_color(values: NDArray[np.uint8]) -> ImageArray:
    """Images (N, H, W) or (N, H, W, 3) as (N, H, W, 3), without copying."""
    return GrayImages(values) if values.ndim == 3 else values


def _blocks(path: Path, name: str, shape: tuple[int, ...], fix: str) -> Iterator[NDArray[np.uint8]]:
    row_bytes = int(np.prod(shape[1:]))
    step = max(1, BLOCK_BYTES // row_bytes)
    with _opened(path, fix) as archive, _member(archive, name, fix) as (_, _, stream):
        for start in range(0, shape[0], step):
            rows = min(step, shape[0] - start)
            yield np.frombuffer(stream.read(rows * row_bytes), np.uint8).reshape(rows, *shape[1:])


@contextmanager
def _opened(path: Path, fix: str) -> Iterator[zipfile.ZipFile]:
    with data_errors(path, "is truncated or not an .npz archive", fix):
        check_regular(path)
        with zipfile.ZipFile(path) as archive:
            yield archive


@contextmanager
def _member(
    archive: zipfile.ZipFile, name: str, fix: str
) -> Iterator[tuple[tuple[int, ...], np.dtype[Any], IO[bytes]]]:
    if f"{name}.npy" not in archive.namelist():
        raise DataError(f"{archive.filename} lacks an array named {name}{fix}")
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{name} has the format {version}")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = read(stream)
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if dtype.hasobject or (is_fortran and len(shape) > 1):
            raise ValueError(f"{name} holds {'Python objects' if dtype.hasobject else 'columns first'}")
        if stream.tell() + size != info.file_size:
            raise ValueError(f"{name} has {info.file_size:,} bytes, expected {stream.tell() + size:,}")
        yield tuple(shape), dtype, stream
