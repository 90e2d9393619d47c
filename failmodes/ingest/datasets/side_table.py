"""A table beside a dataset with metadata of its images, joined by their paths or numbers: `[dataset.metadata]`."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Annotated, NamedTuple

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
from failmodes.warehouse.schema import CHOOSE_COLUMNS, MAX_METADATA_COLUMNS

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


class DescribedImages(NamedTuple):
    """The images that a table describes.

    Attributes:
        label: name of their dataset, for errors.
        image_count: their number.
        names: (N,) their paths; None without paths.
        metadata: (N,) values by name, known without the table.
        has_gaps: whether some of the images of their source may be left out, so that they have other numbers.
    """

    label: str
    image_count: int
    names: Sequence[str] | None
    metadata: Mapping[str, pa.Array]
    has_gaps: bool = False


def with_side_table(dataset: Dataset, spec: MetadataSpec, *, split: str, has_gaps: bool) -> Dataset:
    """The dataset with the metadata of a table; see `side_metadata`."""
    images = DescribedImages(dataset.label, len(dataset.labels), dataset.files, dataset.metadata, has_gaps)
    metadata, note = side_metadata(images, spec, split=split)
    return replace(dataset, metadata=metadata, note="; ".join(filter(None, [dataset.note, note])) or None)


def side_metadata(
    images: DescribedImages, spec: MetadataSpec, *, split: str | None = None, fix: str = CHOOSE_COLUMNS
) -> tuple[dict[str, pa.Array], str | None]:
    """The metadata of images, with those of a table.

    Args:
        images: which images.
        spec: the table and its columns.
        split: rows of other splits are left out, if the table has a column `split`; None for all.
        fix: how to leave out a column, for errors.

    Returns:
        (N,) values by name; and a note on images without a row, None if all have one.

    Raises:
        StudyError: the table does not exist.
        DataError: it is damaged, has no column that names the images, two rows for an image, none for all images, or
            columns that are no metadata.
    """
    note = None
    metadata = dict(images.metadata)
    known = [*metadata]
    if spec.path is not None:
        rows, key = _rows(spec.path, spec.key, split)
        places = _places(images, rows[key], spec.path)
        used = {key} if split is None else {key, SPLIT}
        columns = {name: rows[name].to_arrow() for name in rows.columns if name not in used}
        known += columns
        found = {
            name: values.take(pa.array(places, mask=places < 0))
            for name, values in typed_metadata(columns, spec.path, spec.columns, fix=fix).items()
        }
        if twice := metadata.keys() & found.keys():
            raise DataError(f"{spec.path}: {images.label} has a column {sorted(twice)[0]!r} too: rename one")
        metadata |= found
        if missing := int((places < 0).sum()):
            name = printable(spec.path.name, 60)
            note = f"{name} has no row for {missing:,} of {counted(len(places), 'image')}"
    lacking = [name for name in spec.columns or () if name not in metadata]
    if lacking:
        shown = listed([printable(name, 60) for name in known], 8) or "no columns"
        hint = did_you_mean(lacking[0], known, f"there are {shown}; one without values is not kept")
        raise DataError(f"{spec.path or images.label}: no metadata {printable(lacking[0], 60)!r}: {hint}")
    return metadata, note


def _rows(path: Path, key: str | None, split: str | None) -> tuple[pl.DataFrame, str]:
    """The rows of the table for a split, and its column that names images."""
    try:
        rows = read_table(path, EXPECTED)
    except FileNotFoundError as error:
        raise StudyError(f"{path} does not exist: {EXPECTED}") from error
    key = key or key_of(rows.columns)
    if key is None or key not in rows.columns:
        shown = listed([printable(name, 60) for name in rows.columns], 8)
        raise DataError(f"{path} has the columns {shown}: {EXPECTED}, or name another column as `key`")
    if split is not None and SPLIT in rows.columns and key != SPLIT:
        rows = rows.filter(pl.col(SPLIT).cast(pl.String) == split)
    return rows, key


def key_of(names: Collection[str]) -> str | None:
    """The column that names images by default; None without one."""
    return next((name for name in (*PATHS, *NUMBERS) if name in names), None)


def _places(images: DescribedImages, keys: pl.Series, path: Path) -> NDArray[np.int64]:
    """(N,) the row of each image; -1 without one."""
    name = printable(keys.name, 60)
    by_number = keys.dtype.is_integer() and (images.names is None or keys.name in NUMBERS)
    if by_number and images.has_gaps:
        raise DataError(
            f"{path} numbers images, but some may be left out: name them by paths, or leave out `skip_unreadable`"
        )
    if images.names is None and not by_number:
        raise DataError(
            f"{path}: images of {images.label} have no paths: expected their numbers from 0 in a column {NUMBERS[0]}, "
            f"not {name!r}"
        )
    names = [str(number) for number in range(images.image_count)] if by_number else [*(images.names or ())]
    texts = keys.cast(pl.String).to_list()
    rows = _row_of_each(texts, f"{path}: {name}")
    last_parts = [PurePosixPath(image).name for image in names]
    choices = [names, last_parts] if len(set(last_parts)) == len(names) else [names]
    for choice in choices:
        places = np.array([rows.get(image, -1) for image in choice], np.int64)
        if (places >= 0).any():
            return places
    first = printable(str(texts[0]), 60) if texts else "nothing"
    raise DataError(f"{path}: {name} names none of the images: it holds {first!r}, the images {names[0]!r}")


def _row_of_each(texts: list[str | None], column: str) -> dict[str, int]:
    """The row of each text; missing ones are left out."""
    rows: dict[str, int] = {}
    for row, text in enumerate(texts):
        if text is not None and rows.setdefault(text, row) != row:
            raise DataError(
                f"{column} has {printable(text, 60)!r} in rows {rows[text] + 1:,} and {row + 1:,}: keep one"
            )
    return rows
