"""The Hugging Face layout: `{split}-*.parquet` with a column of encoded images and one of labels."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
from numpy.typing import NDArray

from failmodes.ingest.datasets.dataset import Dataset, check_labels
from failmodes.ingest.datasets.decoding import decode_opaque, decode_to_cache
from failmodes.warehouse.errors import DataError, StorageError, first_line
from failmodes.warehouse.storage.files import check_regular

pc: Any = pyarrow.compute  # its functions are made as it is imported: no checker knows them

IMAGE_COLUMNS = ("img", "image")
BLOCK_ROWS = 512
JPEG_MAGIC = b"\xff\xd8\xff"
SHAPE = (32, 32, 3)
MOST_ENCODED_BYTES = 1 << 16  # of one image: unpacked, 32×32 pixels are 3,072 bytes


def open_parquet(
    folder: Path,
    kind: str,
    label: str,
    class_names: tuple[str, ...],
    label_columns: tuple[str, ...],
    split: str,
    cache: Path,
) -> Dataset:
    """Open a split that may span several files, in the order of their names.

    Args:
        folder: where the files lie.
        kind: kind of data set, cifar10 or cifar100.
        label: its name on charts.
        class_names: used where the schema's metadata has none.
        label_columns: names that the labels' column may have, first choice first.
        split: train or test.
        cache: where decoded images are kept.

    Raises:
        DataError: a file is damaged, lacks a column, or an image or label is not what it should be.
    """
    files = sorted(folder.glob(f"{split}-*.parquet"))
    schemas = [_schema(path) for path in files]
    image_column, label_column = (_column(files, schemas, names) for names in (IMAGE_COLUMNS, label_columns))
    names = _class_names(schemas[0], label_column) or class_names
    labels = np.concatenate([_labels(path, label_column, len(names)) for path in files])
    jpegs = sum(_count_jpegs(path, image_column) for path in files)
    blocks = (block for path in files for block in _decoded_blocks(path, image_column))
    images = decode_to_cache(cache, files, {"column": image_column}, (len(labels), *SHAPE), blocks)
    note = None
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
        raise DataError(f"{error}: fetch the data set again") from error
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise DataError(f"{path} is damaged and cannot be read ({first_line(error)}): fetch it again") from error
