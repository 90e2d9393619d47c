"""Encoded images of any source, and their decoding: once, into a file of the cache, or each time they are read."""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from failmodes.ingest.data_files import check_space
from failmodes.ingest.datasets.dataset import ImageArray
from failmodes.ingest.datasets.decoding import cached_path, decode_to_cache
from failmodes.ingest.datasets.image_arrays import ImagesInOrder, ImagesOnDemand, StoredImages
from failmodes.ingest.datasets.pixel_index import pixel_index
from failmodes.ingest.datasets.preparation import Encoded, ImageFacts, Preparation, UnreadableImageError
from failmodes.runtime.errors import DataError, StorageError
from failmodes.runtime.storage.files import atomic_write, delete

Decode = Literal["once", "on-demand"]
AT_ONCE = 32  # images that a thread decodes at a time,
AT_ONCE_BYTES = 1 << 26  # or fewer, once they have so many bytes
AHEAD = 2  # such pieces for each thread, in memory
FACTS = pa.schema(
    {
        "width_px": pa.int32(),
        "height_px": pa.int32(),
        "file_bytes": pa.int64(),
        "changes": pa.list_(pa.string()),
        "problem": pa.string(),
    }
)


class EncodedImages(Protocol):
    """The images of a dataset before they are decoded, by their position."""

    @property
    def files(self) -> Sequence[Path]:
        """The files that hold them, whose size and modification time stand for their content."""
        ...

    def __len__(self) -> int:
        """Number of images."""
        ...

    def read(self, places: NDArray[np.int64]) -> Iterator[Encoded]:
        """The images at these positions, in this order; also called from several threads."""
        ...

    def location(self, place: int) -> str:
        """The image's name in errors."""
        ...


class ImageFiles:
    """Image files."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def read(self, places: NDArray[np.int64]) -> Iterator[Encoded]:
        """Their paths."""
        return (self.files[place] for place in places)

    def location(self, place: int) -> str:
        """The path."""
        return str(self.files[place])


class DecodedImages(NamedTuple):
    """Decoded images.

    Attributes:
        pixels: (N, H, W, 3) uint8; black where an image is unreadable.
        facts: one row per image, of the schema FACTS; `problem` is null where the image is readable.
    """

    pixels: ImageArray
    facts: pa.Table


def decode_images(
    encoded: EncodedImages,
    labels: NDArray[np.int64],
    preparation: Preparation,
    cache: Path,
    decode: Decode | None,
    *,
    skip_unreadable: bool,
) -> DecodedImages:
    """Decode the images of a dataset, or open what was decoded before.

    Args:
        encoded: the images.
        labels: (N,) int64, a part of the index of their pixels.
        preparation: of each.
        cache: folder of decoded images.
        decode: "once" stores all of them in the cache; "on-demand" stores facts about them, and decodes an image each
            time that it is read. Default: once if the disk has enough space.
        skip_unreadable: whether an image that cannot be decoded is no error.

    Raises:
        DataError: an image cannot be decoded, or has another size.
        StorageError: the cache cannot be written, or the disk has too little space.
    """
    shape = (len(encoded), *preparation.size, 3)
    how = preparation.settings()
    path = cached_path(cache, encoded.files, how)
    facts_path = path.with_suffix(".parquet")
    facts = _read_facts(facts_path, len(encoded))
    changed = [index for index in path.parent.glob(f"{path.stem}.*.parquet") if _is_newer(path, index)]
    if facts is None or changed:
        delete(path)  # without its facts, or with pixels that were never hashed
    for index in changed:
        delete(index)
    if decode != "on-demand" and not path.exists() and not _fits(shape, path.parent, required=decode == "once"):
        decode = "on-demand"
    blocks = _decoded_blocks(encoded, preparation, facts_path, skip_unreadable=skip_unreadable)
    index_path = path.with_suffix(".index")
    if decode == "on-demand":
        pixels: ImageArray = ImagesOnDemand(shape, index_path, partial(_decode, encoded, preparation))
        if facts is None:  # one pass for the facts and the index
            pixel_index(ImagesInOrder(shape, index_path, blocks), labels)
            deque(blocks, maxlen=0)
    else:
        decode_to_cache(cache, encoded.files, how, shape, blocks)
        pixels = StoredImages(path, index_path, decoded=True)
    facts = _read_facts(facts_path, len(encoded)) if facts is None else facts
    if facts is None:
        raise StorageError(f"{facts_path} was removed while images were decoded: rerun the command")
    if not skip_unreadable and (problems := facts["problem"].drop_null()):
        raise DataError(_skippable(problems[0].as_py()))
    return DecodedImages(pixels, facts)


def _is_newer(images: Path, index: Path) -> bool:
    """Whether decoded images were written to after they were hashed."""
    return images.exists() and images.stat().st_mtime_ns > index.stat().st_mtime_ns


def _fits(shape: tuple[int, ...], folder: Path, *, required: bool) -> bool:
    """Whether the disk has space for decoded images; an error if it is required."""
    try:
        check_space(folder, int(np.prod(shape, dtype=object)), "these images, decoded,", 'set decode = "on-demand"')
    except StorageError:
        if required:
            raise
        return False
    return True


def _decode(encoded: EncodedImages, preparation: Preparation, places: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The prepared images at these positions (M,): (M, H, W, 3)."""
    pixels = np.empty((len(places), *preparation.size, 3), np.uint8)
    rows = np.argsort(places)  # in the order of their files
    for row, content in zip(rows, encoded.read(places[rows]), strict=True):
        pixels[row], _ = preparation.prepare(content, encoded.location(int(places[row])))
    return pixels


class _Piece(NamedTuple):
    """Some decoded images: pixels (M, H, W, 3), and the facts or the problem of each."""

    pixels: NDArray[np.uint8]
    facts: list[ImageFacts | str]


def _decoded_blocks(
    encoded: EncodedImages, preparation: Preparation, facts_path: Path, *, skip_unreadable: bool
) -> Iterator[NDArray[np.uint8]]:
    """The decoded images in order, some at a time; facts about all are stored after the last.

    Images are read by this thread, in their order, and decoded by one thread per core.
    """
    facts: list[ImageFacts | str] = []
    threads = os.cpu_count() or 1
    running: deque[Future[_Piece]] = deque()

    def decoded(contents: list[Encoded], start: int) -> _Piece:
        return _decode_piece(encoded, preparation, contents, start, skip_unreadable=skip_unreadable)

    with ThreadPoolExecutor(threads) as pool:
        try:
            start = 0
            for contents in _pieces(encoded):
                running.append(pool.submit(decoded, contents, start))
                start += len(contents)
                if len(running) > AHEAD * threads:
                    yield _taken(running.popleft(), facts)
            while running:
                yield _taken(running.popleft(), facts)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    _write_facts(facts_path, facts)


def _pieces(encoded: EncodedImages) -> Iterator[list[Encoded]]:
    """All images in their order, some at a time."""
    piece: list[Encoded] = []
    size = 0
    for content in encoded.read(np.arange(len(encoded))):
        piece.append(content)
        size += len(content) if isinstance(content, bytes) else 0
        if len(piece) == AT_ONCE or size >= AT_ONCE_BYTES:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


def _taken(piece: Future[_Piece], facts: list[ImageFacts | str]) -> NDArray[np.uint8]:
    pixels, more = piece.result()
    facts += more
    return pixels


def _decode_piece(
    encoded: EncodedImages, preparation: Preparation, contents: list[Encoded], start: int, *, skip_unreadable: bool
) -> _Piece:
    pixels = np.zeros((len(contents), *preparation.size, 3), np.uint8)
    facts: list[ImageFacts | str] = []
    for row, content in enumerate(contents):
        try:
            pixels[row], known = preparation.prepare(content, encoded.location(start + row))
            facts.append(known)
        except UnreadableImageError as error:
            if not skip_unreadable:
                raise DataError(_skippable(str(error))) from error
            facts.append(str(error))
    return _Piece(pixels, facts)


def _skippable(problem: str) -> str:
    return f"{problem}; or leave out such images with --skip-unreadable"


def _write_facts(path: Path, facts: Sequence[ImageFacts | str]) -> None:
    rows = [{"problem": known} if isinstance(known, str) else known._asdict() for known in facts]
    with atomic_write(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=FACTS), temporary, write_page_checksum=True)


def _read_facts(path: Path, count: int) -> pa.Table | None:
    """Stored facts; None if they are missing or damaged."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            facts = file.read()
    except (FileNotFoundError, pa.ArrowException, OSError):
        return None
    return facts if facts.schema.equals(FACTS) and len(facts) == count else None
