"""Tables that describe images: CSV or Parquet files, read as a whole."""

import re
from collections.abc import Collection
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from failmodes.ingest.data_files import check_memory, check_names
from failmodes.ingest.datasets.metadata import parsed_texts
from failmodes.runtime.errors import DataError, StorageError, first_line
from failmodes.runtime.storage.files import check_regular

SUFFIXES = (".csv", ".parquet", ".pq")
MAX_BYTES = 4 << 30  # a hundred million rows
MAX_ITEMS = 1_000_000  # row groups and columns of a Parquet file
_QUOTED = re.compile("`.*(`|$)")  # how Polars quotes a file


def read_table(path: Path, expected: str, texts: Collection[str] = ()) -> pl.DataFrame:
    """The rows of a table; columns of a CSV file have the types that all of their texts can be read as.

    Args:
        path: a .csv or .parquet file.
        expected: description of its columns, for errors.
        texts: columns that stay text in a CSV file.

    Raises:
        DataError: it is damaged or too large, or has another suffix.
        FileNotFoundError: it does not exist.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path} has an unknown suffix: {expected}, as {' or '.join(SUFFIXES[:2])}")
    try:
        if (size := check_regular(path)) > MAX_BYTES:
            raise DataError(f"{path} has {size / 1e9:,.1f} GB: at most {MAX_BYTES / 1e9:,.1f} GB are read")
        if suffix == ".csv":
            rows = pl.read_csv(path, infer_schema=False)
            check_names(rows.columns, str(path))
            others = [name for name in rows.columns if name not in texts]
            return rows.with_columns(pl.Series(name, parsed_texts(rows[name].to_arrow())) for name in others)
        with pq.ParquetFile(path, page_checksum_verification=True, thrift_container_size_limit=MAX_ITEMS) as file:
            groups = range(file.metadata.num_row_groups)
            check_names(file.schema_arrow.names, str(path))
            check_memory(sum(file.metadata.row_group(group).total_byte_size for group in groups), str(path))
            return pl.DataFrame(pl.from_arrow(file.read()))
    except StorageError as error:
        raise DataError(str(error)) from error
    except FileNotFoundError:
        raise
    except (pl.exceptions.PolarsError, pa.ArrowException, OSError, ValueError) as error:
        reason = _QUOTED.sub("a field", first_line(error))
        raise DataError(f"{path} cannot be read as a table ({reason}): {expected}") from error
