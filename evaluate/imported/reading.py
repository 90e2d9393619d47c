"""The file from outside: its column names, and its rows batch by batch, without ever holding it whole."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from warehouse.errors import DataError

PARQUET_SUFFIXES, CSV_SUFFIXES = (".parquet", ".pq"), (".csv", ".csv.gz")
BATCH_VALUES = 1 << 21  # logits a batch: 16 MiB in double precision
CSV_BLOCK_BYTES = 1 << 22
READ_BUFFER_BYTES = 1 << 20


def is_csv(path: Path) -> bool:
    """Whether the file is read as CSV; by its name.

    Raises:
        DataError: it is neither Parquet nor CSV, or no file at all.
    """
    if not path.is_file():
        state = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"{path} {state}: expected one file of predictions, .parquet or .csv")
    name = path.name.lower()
    if name.endswith(CSV_SUFFIXES):
        return True
    if name.endswith(PARQUET_SUFFIXES):
        return False
    raise DataError(f"{path} has a name of neither kind: expected {', '.join(PARQUET_SUFFIXES + CSV_SUFFIXES)}")


def column_names(path: Path) -> list[str]:
    """Names of the columns, in order.

    Raises:
        DataError: the file is missing, damaged or of another kind.
    """
    csv = is_csv(path)
    with readable(path):
        if csv:
            with pyarrow.csv.open_csv(path, pyarrow.csv.ReadOptions(block_size=CSV_BLOCK_BYTES)) as reader:
                return list(reader.schema.names)
        with pq.ParquetFile(path) as file:
            return list(file.schema_arrow.names)


def batches(
    path: Path, columns: Sequence[str], csv_types: dict[str, pa.DataType], class_count: int
) -> Iterator[pa.RecordBatch]:
    """The rows, with just `columns`, in the order of the file.

    Args:
        path: the file.
        columns: names to read.
        csv_types: types of columns in a CSV file; others are guessed from its first block.
        class_count: numbers a row, by which the size of a batch is chosen.

    Raises:
        DataError: the file is damaged, or a CSV value is not of its column's type.
    """
    csv = is_csv(path)
    with readable(path):
        if csv:
            options = pyarrow.csv.ConvertOptions(column_types=csv_types, include_columns=list(columns))
            blocks = pyarrow.csv.ReadOptions(block_size=CSV_BLOCK_BYTES)
            with pyarrow.csv.open_csv(path, read_options=blocks, convert_options=options) as reader:
                yield from reader
            return
        rows = max(1, BATCH_VALUES // class_count)
        with pq.ParquetFile(path, buffer_size=READ_BUFFER_BYTES, page_checksum_verification=True) as file:
            yield from file.iter_batches(rows, columns=list(columns))


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what reading or converting a damaged or foreign file raises into a DataError of one line."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} cannot be read as predictions: {said}") from error
