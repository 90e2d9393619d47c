"""A table beside a dataset with metadata of its images, joined by their paths or numbers: `[dataset.metadata]`."""

from dataclasses import replace
from pathlib import PurePosixPath
from typing import Annotated

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.metadata import typed_metadata
from failmodes.ingest.datasets.table_files import read_table
from failmodes.ingest.study_types import Name, StrictModel, UserPath
from failmodes.runtime.errors import DataError, StudyError, counted, did_you_mean, listed, printable
from failmodes.warehouse.schema import MAX_METADATA_COLUMNS

# Columns that name an image, the preferred first; then those that number it from 0
PATHS = ("path", "file", "file_name", "filename", "image_path", "image")
NUMBERS = ("image_id", "index")
SPLIT = "split"
EXPECTED = f"expected one row per image, with its path in a column {PATHS[0]} or its number from 0 in {NUMBERS[0]}"


class MetadataSpec(StrictModel):
    """Metadata of the images of a dataset, which become columns of `images`.

    Attributes:
        path: a .csv or .parquet file with one row per image, or more.
        key: its column with the path of an image, as in the column `file` of `images` or only the file's name, or with
            its number from 0 in the split; default: the first of path, file, file_name, filename, image_path, image,
            image_id, index that it has.
        columns: the only columns to keep, of the table and of the dataset itself; default: all.
    """

    path: UserPath | None = None
    key: Name | None = None
    columns: Annotated[list[Name], Field(min_length=1, max_length=MAX_METADATA_COLUMNS)] | None = None

    @model_validator(mode="after")
    def _names_something(self) -> "MetadataSpec":
        if self.path is None and self.columns is None:
            raise ValueError("name a table as `path`, or the `columns` to keep")
        if self.key is not None and self.path is None:
            raise ValueError("`key` is a column of a table: name that as `path`")
        return self


def with_side_table(dataset: Dataset, spec: MetadataSpec, *, split: str, is_complete: bool) -> Dataset:
    """The dataset with the metadata of a table.

    Args:
        dataset: its images.
        spec: the table and its columns.
        split: rows of other splits are left out, if the table has a column `split`.
        is_complete: whether no image of its source was left out, so that images have the numbers of the source.

    Raises:
        StudyError: the table does not exist.
        DataError: it is damaged, has no column that names the images, two rows for an image, none for all images, or
            columns that are no metadata.
    """
    notes: list[str] = []
    metadata = dict(dataset.metadata)
    known = [*metadata]
    if spec.path is not None:
        rows, key = _rows(spec, split)
        places = _places(dataset, rows[key], spec, is_complete=is_complete)
        columns = {name: rows[name].to_arrow() for name in rows.columns if name not in (key, SPLIT)}
        known += columns
        found = {
            name: values.take(pa.array(places, mask=places < 0))
            for name, values in typed_metadata(columns, spec.path, spec.columns).items()
        }
        if twice := metadata.keys() & found.keys():
            raise DataError(f"{spec.path}: {dataset.label} has a column {sorted(twice)[0]!r} too: rename one")
        metadata |= found
        if missing := int((places < 0).sum()):
            notes.append(
                f"{printable(spec.path.name, 60)} has no row for {missing:,} of {counted(len(places), 'image')}"
            )
    lacking = [name for name in spec.columns or () if name not in metadata]
    if lacking:
        shown = listed([printable(name, 60) for name in known], 8) or "no columns"
        hint = did_you_mean(lacking[0], known, f"there are {shown}; one without values is not kept")
        raise DataError(f"{spec.path or dataset.label}: no metadata {printable(lacking[0], 60)!r}: {hint}")
    note = "; ".join(filter(None, [dataset.note, *notes])) or None
    return replace(dataset, metadata=metadata, note=note)


def _rows(spec: MetadataSpec, split: str) -> tuple[pl.DataFrame, str]:
    """The rows of the table for a split, and its column that names images."""
    path = spec.path
    assert path is not None
    try:
        rows = read_table(path, EXPECTED)
    except FileNotFoundError as error:
        raise StudyError(f"{path} does not exist: {EXPECTED}") from error
    key = spec.key or next((name for name in (*PATHS, *NUMBERS) if name in rows.columns), None)
    if key not in rows.columns:
        shown = listed([printable(name, 60) for name in rows.columns], 8)
        raise DataError(f"{path} has the columns {shown}: {EXPECTED}, or name another column as `key`")
    assert key is not None
    if SPLIT in rows.columns and key != SPLIT:
        rows = rows.filter(pl.col(SPLIT).cast(pl.String) == split)
    return rows, key


def _places(dataset: Dataset, keys: pl.Series, spec: MetadataSpec, *, is_complete: bool) -> NDArray[np.int64]:
    """(N,) the row of each image; -1 without one."""
    path, name = spec.path, printable(keys.name, 60)
    if keys.dtype.is_integer() and (dataset.files is None or keys.name in NUMBERS):
        if not is_complete:
            raise DataError(
                f"{path} numbers images, but some may be left out: name them by paths, or leave out `skip_unreadable`"
            )
        images = [str(number) for number in range(len(dataset.labels))]
    elif dataset.files is None:
        raise DataError(
            f"{path}: images of {dataset.label} have no paths: expected their numbers from 0 in a column {NUMBERS[0]}, "
            f"not {name!r}"
        )
    else:
        images = [*dataset.files]
    texts = keys.cast(pl.String).to_list()
    rows = _row_of_each(texts, f"{path}: {name}")
    places = np.array([rows.get(image, -1) for image in images], np.int64)
    if (places < 0).all() and dataset.files is not None:
        last_parts = [PurePosixPath(image).name for image in images]
        if len(set(last_parts)) == len(images):
            places = np.array([rows.get(image, -1) for image in last_parts], np.int64)
    if (places < 0).all():
        first = printable(str(texts[0]), 60) if texts else "nothing"
        raise DataError(f"{path}: {name} names none of the images: it holds {first!r}, the images {images[0]!r}")
    return places


def _row_of_each(texts: list[str | None], column: str) -> dict[str, int]:
    """The row of each text; missing ones are left out."""
    rows: dict[str, int] = {}
    for row, text in enumerate(texts):
        if text is not None and rows.setdefault(text, row) != row:
            raise DataError(
                f"{column} has {printable(text, 60)!r} in rows {rows[text] + 1:,} and {row + 1:,}: keep one"
            )
    return rows
