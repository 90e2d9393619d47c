"""The rows of a file of predictions, batch by batch, within bounds: of memory, and of what a row may hold.

A few kilobytes of Parquet may hold a text of a gigabyte, or say that they hold a trillion rows. What its columns
take is known from its metadata before they are decoded, and texts are decoded once each.
"""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet as pq

from failmodes.evaluate.import_predictions.columns import KEYS, LABEL, PredictionColumns, find_columns
from failmodes.warehouse.errors import DataError, StorageError, StudyError, first_line
from failmodes.warehouse.shards.decoded_size import group_sizes, mapped, text_leaves
from failmodes.warehouse.storage.files import reason_of
from failmodes.warehouse.storage.regular_files import check_regular

pc: Any = pyarrow.compute  # its functions are made as it is imported: no checker knows them

PARQUET_SUFFIXES, CSV_SUFFIXES = (".parquet", ".pq"), (".csv", ".csv.gz")
BATCH_VALUES = 1 << 21  # logits a batch: 16 MiB in double precision
CSV_BLOCK_BYTES = 1 << 22
READ_BUFFER_BYTES = 1 << 20
SPARE_BYTES = 64 << 20  # that a row group may take beside what its rows need
KEY_BYTES = 200  # that the keys of a row need, with their label
NUMBER_BYTES = 32  # that a class's number needs: a double, and room for lists that are too long, which are told by row
MOST_TEXT_BYTES = 1000  # of a corruption's name, a class's, or a number in letters
MOST_COLUMNS = 100_000  # four for each class of ImageNet-21k; Arrow takes a second for so many


class FileBatches(NamedTuple):
    """A file that is open.

    Attributes:
        columns: its columns.
        types: Arrow type of each column that is read.
        batches: its rows, in order.
    """

    columns: PredictionColumns
    types: dict[str, pa.DataType]
    batches: Iterator[pa.RecordBatch]


def open_batches(path: Path, class_names: tuple[str, ...]) -> FileBatches:
    """Open a file, whose name says whether it is CSV.

    Raises:
        StudyError: it does not exist, or is named neither as Parquet nor as CSV.
        DataError: it is damaged, a column is missing, or holds no numbers.
        StorageError: it is no regular file, or may not be read.
    """
    try:
        check_regular(path)
    except FileNotFoundError as error:
        raise StudyError(f"{path} does not exist: expected one file of predictions, .parquet or .csv") from error
    csv = path.name.lower().endswith(CSV_SUFFIXES)
    if not csv and not path.name.lower().endswith(PARQUET_SUFFIXES):
        raise StudyError(f"{path} has a name of neither kind: expected {', '.join(PARQUET_SUFFIXES + CSV_SUFFIXES)}")
    with readable(path):
        return _open_csv(path, class_names) if csv else _open_parquet(path, class_names)


def _open_csv(path: Path, class_names: tuple[str, ...]) -> FileBatches:
    _check_header(path)
    blocks = pyarrow.csv.ReadOptions(block_size=CSV_BLOCK_BYTES)
    with pyarrow.csv.open_csv(path, blocks) as reader:
        columns = find_columns(path, reader.schema.names, class_names, csv=True)
    types = dict(zip(KEYS, (pa.int64(), pa.string(), pa.float64()), strict=True))
    types |= dict.fromkeys(columns.values, pa.float64())
    options = pyarrow.csv.ConvertOptions(column_types=types, include_columns=_to_read(columns))
    read = pyarrow.csv.open_csv(path, read_options=blocks, convert_options=options)
    return FileBatches(columns, _value_types(read.schema), _checked(path, read))


def _open_parquet(path: Path, class_names: tuple[str, ...]) -> FileBatches:
    with pq.ParquetFile(path, thrift_container_size_limit=MOST_COLUMNS) as opened:
        metadata = opened.metadata
    texts = [name for name in text_leaves(metadata) if name in (*KEYS, LABEL)]
    file = pq.ParquetFile(
        path, metadata=metadata, read_dictionary=texts, buffer_size=READ_BUFFER_BYTES, page_checksum_verification=True
    )
    columns = find_columns(path, file.schema_arrow.names, class_names, csv=False)
    _check_numbers(path, columns, file.schema_arrow, len(class_names))
    names = _to_read(columns)
    _check_size(path, metadata, set(names), len(class_names))
    batches = file.iter_batches(max(1, BATCH_VALUES // len(class_names)), columns=names)
    return FileBatches(columns, _value_types(file.schema_arrow), _checked(path, batches))


def _check_header(path: Path) -> None:
    """Refuse a CSV file of more than MOST_COLUMNS columns."""
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
        header = file.readline(CSV_BLOCK_BYTES)
    if header.count(b",") >= MOST_COLUMNS:
        raise DataError(f"{path} has more than {MOST_COLUMNS:,} columns: expected one a class")


def _to_read(columns: PredictionColumns) -> list[str]:
    return [*KEYS, *columns.values, *([LABEL] if columns.label else [])]


def _value_types(schema: pa.Schema) -> dict[str, pa.DataType]:
    """Types by column; of a dictionary that of its values."""
    return {field.name: field.type.value_type if pa.types.is_dictionary(field.type) else field.type for field in schema}


def _check_numbers(path: Path, columns: PredictionColumns, schema: pa.Schema, class_count: int) -> None:
    """Refuse columns of anything but numbers, or lists of them, before they are decoded."""
    for name in columns.values:
        kind = schema.field(name).type
        if columns.as_list:
            if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
                raise DataError(f"{path}, row 1: {name} is a {kind} column: expected a list of {class_count} numbers")
            kind = kind.value_type
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
            raise DataError(f"{path}, row 1: {name} holds {kind}: expected numbers")


def _check_size(path: Path, metadata: pq.FileMetaData, names: set[str], class_count: int) -> None:
    """Refuse a row group whose columns, decoded, take far more than its rows need."""
    paths = [metadata.schema.column(leaf).path for leaf in range(metadata.num_columns)]
    leaves = [leaf for leaf, column in enumerate(paths) if not names.isdisjoint(_parents(column))]
    with mapped(path) as data:
        groups = list(group_sizes(metadata, data, leaves))
    for rows, taken in groups:
        needed = rows * (KEY_BYTES + NUMBER_BYTES * class_count)
        if taken > needed + SPARE_BYTES:
            raise DataError(
                f"{path}: {rows:,} of its rows would take {taken / 1e6:,.0f} MB, where they need about "
                f"{needed / 1e6:,.0f}: expected one number a class, and names of at most {MOST_TEXT_BYTES:,} bytes"
            )


def _parents(column: str) -> Iterator[str]:
    """A Parquet column's path, and whatever part of it may be the name of the Arrow column that it belongs to."""
    yield column
    yield from (column[:end] for end, letter in enumerate(column) if letter == ".")


def _checked(path: Path, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches, whose texts are short and valid.

    Raises:
        DataError: a text is longer than MOST_TEXT_BYTES.
        ArrowInvalid: a text is not valid UTF-8.
    """
    for batch in batches:
        for name in (*KEYS, LABEL):
            column = batch.column(name) if name in batch.schema.names else pa.nulls(0)
            texts = column.dictionary if pa.types.is_dictionary(column.type) else column
            if not (pa.types.is_string(texts.type) or pa.types.is_binary(texts.type)):
                continue
            texts.validate(full=True)
            longest = pc.max(pc.binary_length(texts)).as_py() or 0
            if longest > MOST_TEXT_BYTES:
                raise DataError(
                    f"{path}: {name} holds a text of {longest:,} bytes: expected at most {MOST_TEXT_BYTES:,}"
                )
        yield batch


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what reading or converting a damaged or foreign file raises into a DataError of one line.

    Raises:
        StorageError: the file, or the temporary database, could not be read or written.
        MemoryError, duckdb.OutOfMemoryException: as they were: they say nothing of the file.
    """
    try:
        yield
    except (MemoryError, duckdb.OutOfMemoryException):
        raise
    except duckdb.IOException as error:
        raise StorageError(f"cannot write the temporary database of an import: {reason_of(error)}") from error
    except (
        pa.ArrowException,
        OSError,
        EOFError,
        zlib.error,
        ValueError,
        LookupError,
        AttributeError,
        duckdb.Error,
    ) as error:
        if isinstance(error, OSError) and error.errno is not None:  # Arrow's own have no number
            raise StorageError(f"cannot read {path}: {reason_of(error)}") from error
        raise DataError(f"{path} cannot be read as predictions: {first_line(error)}") from error
