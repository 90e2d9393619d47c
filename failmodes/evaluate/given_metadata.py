"""Metadata of images in memory, as a table that a study can name."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from failmodes.ingest.datasets.metadata import typed_metadata
from failmodes.ingest.datasets.side_table import NUMBERS, key_of
from failmodes.runtime.errors import DataError, StudyError, first_line
from failmodes.runtime.storage.files import atomic_write, make_folder
from failmodes.runtime.storage.locations import user_path
from failmodes.warehouse.shards.format import content_hash


def stored_metadata(metadata: Any, count: int, folder: Path, *, has_gaps: bool) -> Path:
    """The table of metadata: the given file, or one written to a folder, named after its content.

    Args:
        metadata: a path; or a data frame (Polars, pandas, Arrow) or a mapping of columns, with one row per image in
            their order, or with a column that names the images.
        count: number of images.
        folder: where a table in memory is written.
        has_gaps: whether images may have been left out, so that rows in order are of other images.

    Raises:
        StudyError: it is none of these.
        DataError: it has another number of rows, or columns that are no metadata.
        StorageError: it cannot be written.
    """
    if isinstance(metadata, str | PathLike):
        return user_path(metadata).absolute()
    if not isinstance(metadata, Mapping) and not hasattr(metadata, "__arrow_c_stream__"):
        raise StudyError(
            f"benchmark: metadata is a {type(metadata).__name__}: expected a path, a data frame or a dict of columns"
        )
    try:
        rows = pa.table(dict(metadata) if isinstance(metadata, Mapping) else metadata)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError(f"benchmark: metadata cannot be read as a table: {first_line(error)}") from error
    rows = rows.select([name for name in rows.column_names if not name.startswith("__index_level_")])
    key = key_of(rows.column_names)
    if key is None:
        if has_gaps:
            raise StudyError("benchmark: metadata= has no paths, but skip_unreadable may leave out images: add them")
        if len(rows) != count:
            raise DataError(f"benchmark: metadata= has {len(rows):,} rows for {count:,} images: expected one per image")
        key = NUMBERS[0]
        rows = rows.add_column(0, key, pa.array(range(count), pa.int32()))
    typed = typed_metadata({name: rows[name] for name in rows.column_names if name != key}, "benchmark: metadata=")
    table = pa.table({key: rows[key], **typed})
    path = make_folder(folder) / f"metadata-{content_hash(table)}.parquet"
    if not path.exists():
        with atomic_write(path) as temporary:
            pq.write_table(table, temporary, compression="zstd")
    return path
