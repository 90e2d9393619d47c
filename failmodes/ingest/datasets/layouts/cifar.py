"""CIFAR-10 and CIFAR-100 in their three published layouts, recognized by the content of the folder.

Python batches are read by a restricted unpickler that only builds arrays: a pickle may run any code. Class names are
listed here, in the order of the class index, for layouts without them.
"""

import json
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
from numpy.typing import NDArray

from failmodes.ingest.data_files import check_memory
from failmodes.ingest.datasets.dataset import Dataset, ImageArray, check_labels, class_indices
from failmodes.ingest.datasets.decoding import decode_opaque, decode_to_cache
from failmodes.ingest.datasets.layout import Request, layout
from failmodes.warehouse.errors import DataError, StorageError, first_line
from failmodes.warehouse.storage.files import check_regular

pc: Any = pyarrow.compute  # its functions are made as it is imported: no checker knows them

CIFAR_HOME = "https://www.cs.toronto.edu/~kriz/cifar.html"
SIDE = 32
SHAPE = (SIDE, SIDE, 3)
PIXEL_BYTES = 3 * SIDE * SIDE
IMAGE_COLUMNS = ("img", "image")  # of Parquet files
BLOCK_ROWS = 512
JPEG_MAGIC = b"\xff\xd8\xff"
MOST_ENCODED_BYTES = 1 << 16  # of one image: unpacked, 32×32 pixels are 3,072 bytes
MOST_BATCH_IMAGES = 10_000_000  # the largest set in these layouts, CIFAR-5m, has 6 million
PICKLED_BYTES = 4096  # of an image with its label and its file name, and some more
_CIFAR100 = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
wardrobe whale willow_tree wolf woman worm
"""

CIFAR100_CLASSES = tuple(_CIFAR100.split())
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class CifarVariant(NamedTuple):
    """The differences between CIFAR-10 and CIFAR-100."""

    label: str
    class_names: tuple[str, ...]
    label_key: bytes  # in a python batch
    label_columns: tuple[str, ...]  # in Parquet
    label_bytes: int  # before each image of a binary batch; the last is the class
    batches: dict[str, tuple[str, ...]]  # file names by split, without the binary layout's .bin
    subfolders: tuple[str, ...]  # that may contain the files


VARIANTS = {
    "cifar10": CifarVariant(
        "CIFAR-10", CIFAR10_CLASSES, b"labels", ("label", "labels"), 1,
        {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)},
        ("cifar-10-batches-py", "cifar-10-batches-bin", "data", "plain_text"),
    ),
    "cifar100": CifarVariant(
        "CIFAR-100", CIFAR100_CLASSES, b"fine_labels", ("fine_label", "label"), 2,
        {"train": ("train",), "test": ("test",)},
        ("cifar-100-python", "cifar-100-binary", "data", "cifar100"),
    ),
}  # fmt: skip

# Names in pickles of NumPy arrays, with the module names of NumPy 1 (in the published files) and of NumPy 2
_ARRAY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")

_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    **{(module, "_reconstruct"): np.empty(0).__reduce__()[0] for module in _ARRAY_MODULES},
}


@layout(
    *VARIANTS,
    expected="the folder that `failmodes download cifar10 --to {parent}` writes (or cifar100), or the files of "
    + CIFAR_HOME,
)
def open_cifar(request: Request) -> Dataset:
    """Open a split from a folder of python batches, binary batches or Parquet files, or from the folder above it.

    Raises:
        DataError: no layout is found, a file is missing, truncated or of another shape, a label is out of range.
    """
    path, kind, split = request.path, request.spec.kind, request.split
    variant = VARIANTS[kind]
    for folder in (path, *(path / name for name in variant.subfolders)):
        opened = _open_here(folder, kind, split, request.cache)
        if opened:
            return opened
    raise DataError(
        f"{path} holds no {split} images of {variant.label}: expected {variant.batches[split][0]} (python),"
        f" {variant.batches[split][0]}.bin (binary) or {split}-*.parquet; `failmodes download {kind}` downloads it"
    )


def _open_here(folder: Path, kind: str, split: str, cache: Path) -> Dataset | None:
    variant = VARIANTS[kind]
    readers: dict[str, Callable[[Path, CifarVariant], tuple[ImageArray, NDArray[np.int64]]]] = {
        "": read_python_batch,
        ".bin": read_binary_batch,
    }
    for suffix, read in readers.items():
        files = [folder / f"{name}{suffix}" for name in variant.batches[split]]
        if any(file.exists() and not file.is_dir() for file in files):
            parts, labels = zip(*(read(file, variant) for file in files), strict=True)
            images = parts[0] if len(parts) == 1 else np.concatenate(parts)
            return Dataset(kind, variant.label, split, images, np.concatenate(labels), variant.class_names)
    if any(folder.glob(f"{split}-*.parquet")):
        return open_parquet(folder, kind, split, cache)
    return None


def read_python_batch(path: Path, variant: CifarVariant) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (N, 32, 32, 3), a view of the batch's own array, and labels (N,) of one python batch."""
    batch = read_pickle(path)
    if b"data" not in batch or variant.label_key not in batch:
        raise DataError(f"{path} lacks data or {variant.label_key.decode()}: it is not a batch of {variant.label}")
    data = batch[b"data"]
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != PIXEL_BYTES:
        found = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise DataError(f"{path} holds data of {found}: expected uint8 (N, {PIXEL_BYTES})")
    labels = class_indices(np.asarray(batch[variant.label_key]), str(path))
    if len(labels) != len(data):
        raise DataError(f"{path} holds {len(data):,} images and {len(labels):,} labels: expected as many")
    check_labels(labels, len(variant.class_names), str(path))
    return _as_images(data), labels


def read_binary_batch(path: Path, variant: CifarVariant) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (N, 32, 32, 3), mapped, and labels (N,) of one binary batch."""
    record = variant.label_bytes + PIXEL_BYTES
    size = _size(path, record)
    if not size or size % record:
        raise DataError(
            f"{path} holds {size:,} bytes: expected a multiple of {record:,}; it is truncated or not a batch"
        )
    records = np.memmap(path, dtype=np.uint8, mode="r", shape=(size // record, record))
    labels = records[:, variant.label_bytes - 1].astype(np.int64)
    check_labels(labels, len(variant.class_names), str(path))
    return _as_images(records[:, variant.label_bytes :]), labels


def _size(path: Path, record_bytes: int) -> int:
    """Size of a batch, bytes; one that is too large is refused before it is read."""
    try:
        size = check_regular(path)
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing: download the dataset again") from error
    except StorageError as error:
        raise DataError(f"{error}: download the dataset again") from error
    if size > record_bytes * MOST_BATCH_IMAGES:
        raise DataError(f"{path} holds {size:,} bytes: a batch of CIFAR has at most {MOST_BATCH_IMAGES:,} images")
    return size


def _as_images(flat: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return flat.reshape(len(flat), 3, SIDE, SIDE).transpose(0, 2, 3, 1)


class _ArraysOnly(pickle._Unpickler):
    """Builds arrays, lists and dicts, and nothing else.

    Based on the unpickler written in Python: the one in C allocates as many memos as a single opcode requests, up to
    64 GB.
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        if (module, name) == ("_codecs", "encode"):  # Python 3 pickles bytes this way with old protocols
            return _latin1_bytes
        raise DataError(f"it asks for {module}.{name}, which no batch needs; it may be malicious and was not opened")


def read_pickle(path: Path) -> dict[bytes, Any]:
    """Read a batch: a dict with bytes as keys.

    Raises:
        DataError: it is missing, truncated, not a dict, or contains anything but NumPy arrays; no code in it is run.
    """
    check_memory(2 * _size(path, PICKLED_BYTES), f"{path}, unpickled,")
    try:
        with path.open("rb") as file:
            content = _ArraysOnly(file, encoding="bytes").load()
    except DataError as error:
        raise DataError(f"{path} is refused: {error}") from error
    except Exception as error:  # a malformed stream of opcodes raises anything
        raise DataError(
            f"{path} is truncated or not a pickle ({first_line(error)}): download the dataset again"
        ) from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}: expected a dict of data and labels")
    return {key.encode() if isinstance(key, str) else key: value for key, value in content.items()}


def _latin1_bytes(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise DataError(f"it encodes text as {encoding!r}: only bytes written as latin1 are expected")
    return text.encode("latin1")


def open_parquet(folder: Path, kind: str, split: str, cache: Path) -> Dataset:
    """Open a split in the Hugging Face layout, which may span several files, in the order of their names.

    Class names of the schema's metadata go before those of `VARIANTS`.

    Raises:
        DataError: a file is damaged or lacks a column, or an image or label is invalid.
    """
    variant, files = VARIANTS[kind], sorted(folder.glob(f"{split}-*.parquet"))
    schemas = [_schema(path) for path in files]
    image_column, label_column = (_column(files, schemas, n) for n in (IMAGE_COLUMNS, variant.label_columns))
    names = _class_names(schemas[0], label_column) or variant.class_names
    labels = np.concatenate([_labels(path, label_column, len(names)) for path in files])
    jpegs = sum(_count_jpegs(path, image_column) for path in files)
    blocks = (block for path in files for block in _decoded_blocks(path, image_column))
    images = decode_to_cache(cache, files, {"column": image_column}, (len(labels), *SHAPE), blocks)
    label, note = variant.label, None
    if jpegs:
        label, note = f"{label} (JPEG copy)", f"JPEG copy: {jpegs:,} of {len(labels):,} images are stored with loss"
    return Dataset(kind, label, split, images, labels, names, note)


def _schema(path: Path) -> pa.Schema:
    with _reading(path):
        check_regular(path)
        return pq.read_schema(path)


def _column(files: list[Path], schemas: list[pa.Schema], names: tuple[str, ...]) -> str:
    """The first of `names` that is a column of the first file; all files must have it."""
    chosen = next((name for name in names if name in schemas[0].names), names[0])
    for path, schema in zip(files, schemas, strict=True):
        if chosen not in schema.names:
            raise DataError(f"{path} has columns {', '.join(schema.names)}: expected {' or '.join(names)}")
    return chosen


def _class_names(schema: pa.Schema, label_column: str) -> tuple[str, ...]:
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        names = features[label_column]["names"]
        return tuple(str(name) for name in (names.values() if isinstance(names, dict) else names))
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()


def _labels(path: Path, column: str, class_count: int) -> NDArray[np.int64]:
    with _reading(path):
        values = pq.read_table(path, columns=[column]).column(column)
    if values.null_count or not pa.types.is_integer(values.type):
        raise DataError(f"{path} holds labels of {values.type} ({values.null_count} missing): expected whole numbers")
    labels = np.asarray(values.to_numpy(), np.int64)
    check_labels(labels, class_count, str(path))
    return labels


def _count_jpegs(path: Path, column: str) -> int:
    """How many images begin with the bytes of a JPEG."""
    found = 0
    for encoded in _encoded_blocks(path, column):
        first = pc.binary_slice(encoded, 0, len(JPEG_MAGIC))
        found += pc.sum(pc.equal(first, pa.scalar(JPEG_MAGIC, first.type))).as_py() or 0
    return found


def _decoded_blocks(path: Path, column: str) -> Iterator[NDArray[np.uint8]]:
    start = 0
    for encoded in _encoded_blocks(path, column):
        block = np.empty((len(encoded), *SHAPE), np.uint8)
        for row, content in enumerate(encoded.to_pylist()):
            location = f"{path}, row {start + row}"
            pixels = np.asarray(decode_opaque(content or b"", location))
            if pixels.shape != SHAPE:
                raise DataError(f"{location} is an image of {pixels.shape}: expected {SHAPE}")
            block[row] = pixels
        start += len(encoded)
        yield block


def _encoded_blocks(path: Path, column: str) -> Iterator[pa.Array]:
    with _reading(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        for batch in file.iter_batches(BLOCK_ROWS, columns=[column]):
            values = batch.column(0)
            encoded = pc.struct_field(values, "bytes") if pa.types.is_struct(values.type) else values
            if not (pa.types.is_binary(encoded.type) or pa.types.is_large_binary(encoded.type)):
                raise DataError(f"{path} holds images of {values.type}: expected the bytes of encoded images")
            longest = pc.max(pc.binary_length(encoded)).as_py() or 0
            if longest > MOST_ENCODED_BYTES:
                raise DataError(f"{path} holds an image of {longest:,} bytes: expected 32×32 pixels")
            yield encoded


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what pyarrow raises while it reads `path` into a DataError."""
    try:
        yield
    except StorageError as error:
        raise DataError(f"{error}: download the dataset again") from error
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise DataError(f"{path} is damaged and cannot be read ({first_line(error)}): download it again") from error
