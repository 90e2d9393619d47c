"""A list of images: a CSV or Parquet file with the columns `path` and `label`.

path     of an image: relative to the list's folder, or absolute; no URL
label    its class: names, or whole numbers from 0
split    optional: "train" or "test"; other rows are skipped

Every other column is metadata of the images, which `typed_metadata` describes.
"""

from pathlib import Path

import numpy as np
import polars as pl

from failmodes.ingest.data_files import MAX_NAME_LETTERS
from failmodes.ingest.datasets.dataset import MAX_IMAGES, Dataset
from failmodes.ingest.datasets.encoded_images import ImageFiles
from failmodes.ingest.datasets.labeled_images import LabeledImages, open_labeled_images
from failmodes.ingest.datasets.labels import classes_of
from failmodes.ingest.datasets.layout import OF_ENCODED, Request, layout, refuse_other_split
from failmodes.ingest.datasets.metadata import typed_metadata
from failmodes.ingest.datasets.table_files import read_table
from failmodes.runtime.errors import DataError, listed, printable
from failmodes.runtime.storage.files import is_url

PATH, LABEL, SPLIT = "path", "label", "split"
EXPECTED = "expected the columns path and label, one row per image"
MAX_PATH_LETTERS = 4096
CLASS = "index of its class"  # a column added here


@layout(
    "list",
    takes=OF_ENCODED,
    path_is="file",
    expected="a .csv or .parquet file with the columns path and label",
)
def open_list(request: Request) -> Dataset:
    """Open the images of a list, in its order.

    Classes are the names in the column `label`, sorted, or the numbers from 0 to the largest; of the whole list, so
    that all splits have the same ones. Images are prepared by `open_labeled_images`.

    Raises:
        DataError: the list is damaged, a column is missing, a path or label is empty or invalid, or as
            `open_labeled_images`.
    """
    path = request.path
    rows = _read(path)
    names, labels = classes_of(rows[LABEL], str(path))
    rows = rows.with_columns(labels.alias(CLASS))
    notes: list[str] = []
    if SPLIT in rows.columns:
        chosen = rows.filter(pl.col(SPLIT) == request.split)
        if not len(chosen):
            splits = listed([repr(printable(str(split), 60)) for split in rows[SPLIT].unique().sort()], 5)
            raise DataError(f"{path} has no row with split {request.split!r}: it has {splits}")
        others = rows.filter(~pl.col(SPLIT).is_in(["train", "test"]))
        if len(others):
            notes.append(f"skipped: {len(others):,} rows whose split is neither train nor test")
        rows = chosen
    else:
        refuse_other_split(request)
    files = [path.parent / name for name in rows[PATH]]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise DataError(
            f"{path}: {printable(str(missing[0]))} is no file ({len(missing):,} of {len(files):,} images): paths are"
            " relative to the folder of the list"
        )
    images = LabeledImages(
        ImageFiles(files),
        rows[CLASS].to_numpy().astype(np.int64),
        names,
        notes,
        tuple(rows[PATH]),
        metadata=typed_metadata(
            {column: rows[column].to_arrow() for column in rows.columns if column not in (PATH, LABEL, SPLIT, CLASS)},
            path,
            request.spec.metadata_columns,
        ),
    )
    return open_labeled_images(request, images, printable(path.stem, 100))


def _read(path: Path) -> pl.DataFrame:
    """The rows of a list, with texts in `path`, `label` and `split`, and no value missing in the first two.

    Raises:
        DataError: it is damaged, too large, or lacks a column or a value.
    """
    rows = read_table(path, EXPECTED, (PATH, LABEL, SPLIT))
    _check_columns(rows, path)
    ours = pl.col([name for name in (PATH, LABEL, SPLIT) if name in rows.columns])
    rows = rows.with_columns(ours.cast(pl.String).str.strip_chars())
    for column in (PATH, LABEL):
        empty = rows[column].fill_null("").eq("").arg_true()
        if len(empty):
            raise DataError(f"{path}, row {empty[0] + 1}: {column} is empty ({len(empty):,} such rows): {EXPECTED}")
    if not 0 < len(rows) <= MAX_IMAGES:
        raise DataError(f"{path} has {len(rows):,} rows: expected 1 to {MAX_IMAGES:,}, one per image")
    rows = rows.with_columns(ours.fill_null(""))
    _check_texts(rows, path)
    return rows


def _check_columns(rows: pl.DataFrame, path: Path) -> None:
    """Check the names and types of columns.

    Raises:
        DataError: one is missing, or neither text nor number.
    """
    for column in (PATH, LABEL):
        if column not in rows.columns:
            raise DataError(
                f"{path} has the columns {listed([printable(name, 60) for name in rows.columns], 8)}: {EXPECTED}"
            )
    for column in {PATH, LABEL, SPLIT}.intersection(rows.columns):
        kind = rows.schema[column]
        if kind.is_nested() or kind in (pl.Binary, pl.Object):
            raise DataError(f"{path}: the column {column} holds {kind}: expected text or numbers")
        if column == LABEL and kind.is_float():
            raise DataError(f"{path}: the column label holds {kind}: expected names or whole numbers")


def _check_texts(rows: pl.DataFrame, path: Path) -> None:
    """Check that no text is too long, and that paths are of local files.

    Raises:
        DataError: one is too long, a URL, or no valid path.
    """
    for column, most in ((LABEL, MAX_NAME_LETTERS), (PATH, MAX_PATH_LETTERS)):
        longest = int(rows[column].str.len_chars().to_numpy().max())
        if longest > most:
            raise DataError(f"{path}: the column {column} has a text of {longest:,} letters: at most {most:,}")
    for number, name in enumerate(rows[PATH], start=1):
        if is_url(name):
            raise DataError(
                f"{path}, row {number}: {printable(name, 60)} is a URL: download the images, and name files"
            )
        if not name.isprintable():
            raise DataError(f"{path}, row {number}: {printable(name, 60)} is no path of a file")
