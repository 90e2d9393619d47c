"""CIFAR-10 and CIFAR-100 in their three published layouts, recognized by the content of the folder.

Python batches are read by a restricted unpickler that only builds arrays: a pickle may run any code. Class names are
listed here, in the order of the class index, for layouts without them.
"""

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.data_files import check_memory
from failmodes.ingest.datasets.dataset import Dataset, ImageArray, class_indices
from failmodes.ingest.datasets.decoding import decode_opaque, decode_to_cache
from failmodes.ingest.datasets.image_columns import IMAGE, Role, choose_column
from failmodes.ingest.datasets.layout import Request, layout
from failmodes.ingest.datasets.parquet_images import ParquetImages, column_names, read_columns
from failmodes.runtime.errors import DataError, StorageError, first_line
from failmodes.runtime.storage.files import check_regular

CIFAR_HOME = "https://www.cs.toronto.edu/~kriz/cifar.html"
SIDE = 32
SHAPE = (SIDE, SIDE, 3)
PIXEL_BYTES = 3 * SIDE * SIDE
JPEG_MAGIC = b"\xff\xd8\xff"
MAX_ENCODED_BYTES = 1 << 16  # of one image: unpacked, 32×32 pixels are 3,072 bytes
MAX_BATCH_IMAGES = 10_000_000  # the largest set in these layouts, CIFAR-5m, has 6 million
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
    label_role: Role  # of a column in Parquet
    label_bytes: int  # before each image of a binary batch; the last is the class
    batches: dict[str, tuple[str, ...]]  # file names by split, without the binary layout's .bin
    subfolders: tuple[str, ...]  # that may contain the files


VARIANTS = {
    "cifar10": CifarVariant(
        "CIFAR-10", CIFAR10_CLASSES, b"labels", Role("label_column", ("label", "labels"), ""), 1,
        {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)},
        ("cifar-10-batches-py", "cifar-10-batches-bin", "data", "plain_text"),
    ),
    "cifar100": CifarVariant(
        "CIFAR-100", CIFAR100_CLASSES, b"fine_labels", Role("label_column", ("fine_label", "label"), ""), 2,
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
    path = request.path
    kind = request.spec.kind
    split = request.split
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
        content = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise DataError(f"{path} holds data of {content}: expected uint8 (N, {PIXEL_BYTES})")
    labels = class_indices(np.asarray(batch[variant.label_key]), str(path))
    if len(labels) != len(data):
        raise DataError(f"{path} holds {len(data):,} images and {len(labels):,} labels: expected as many")
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
    return _as_images(records[:, variant.label_bytes :]), labels


def _size(path: Path, record_bytes: int) -> int:
    """Size of a batch, bytes; one that is too large is refused before it is read."""
    try:
        size = check_regular(path)
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing: download the dataset again") from error
    except StorageError as error:
        raise DataError(f"{error}: download the dataset again") from error
    if size > record_bytes * MAX_BATCH_IMAGES:
        raise DataError(f"{path} holds {size:,} bytes: a batch of CIFAR has at most {MAX_BATCH_IMAGES:,} images")
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

    Raises:
        DataError: a file is damaged or lacks a column, or an image or label is invalid.
    """
    variant = VARIANTS[kind]
    files = sorted(folder.glob(f"{split}-*.parquet"))
    names = column_names(files[0])
    subject = f"{files[0]} has columns"
    encoded = ParquetImages(files, choose_column(IMAGE, names, {}, subject)[0])
    column = choose_column(variant.label_role, names, {}, subject)[0]
    labels = class_indices(read_columns(files, [column])[column].to_numpy(), str(files[0]))  # floats if one is missing
    jpegs = sum(content.startswith(JPEG_MAGIC) for content in encoded.read(np.arange(len(labels))))
    images = decode_to_cache(cache, files, "Parquet", (len(labels), *SHAPE), _decoded(encoded))
    label, note = variant.label, None
    if jpegs:
        label, note = f"{label} (JPEG copy)", f"JPEG copy: {jpegs:,} of {len(labels):,} images are stored with loss"
    return Dataset(kind, label, split, images, labels, variant.class_names, note)


def _decoded(encoded: ParquetImages) -> Iterator[NDArray[np.uint8]]:
    for place, content in enumerate(encoded.read(np.arange(len(encoded)))):
        location = encoded.location(place)
        if len(content) > MAX_ENCODED_BYTES:
            raise DataError(f"{location} is an image of {len(content):,} bytes: expected 32×32 pixels")
        pixels = np.asarray(decode_opaque(content, location))
        if pixels.shape != SHAPE:
            raise DataError(f"{location} is an image of {pixels.shape}: expected {SHAPE}")
        yield pixels[None]
