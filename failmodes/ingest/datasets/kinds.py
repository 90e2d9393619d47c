"""The kind of dataset that a path holds, recognized by the files there."""

from pathlib import Path

from failmodes.ingest.datasets.image_columns import IMAGE, candidate_columns
from failmodes.ingest.datasets.layouts import list as lists
from failmodes.ingest.datasets.layouts.arrays import IMAGES_FILE
from failmodes.ingest.datasets.layouts.huggingface import SAVED_FILES
from failmodes.ingest.datasets.layouts.parquet import SUFFIXES as PARQUET_SUFFIXES
from failmodes.ingest.datasets.layouts.webdataset import SUFFIXES as TAR_SUFFIXES
from failmodes.ingest.datasets.parquet_images import column_names, features_of
from failmodes.ingest.datasets.shard_files import files_at


def kind_of_files(path: Path) -> str:
    """The kind of a path: a saved dataset, arrays, tar shards, Parquet files, a list, or a folder of class folders.

    Raises:
        DataError: a Parquet file is damaged.
    """
    if any((path / name).is_file() for name in SAVED_FILES):
        return "huggingface"
    if (path / IMAGES_FILE).is_file():
        return "arrays"
    if files_at(path, TAR_SUFFIXES):
        return "webdataset"
    files = files_at(path, PARQUET_SUFFIXES)
    if files and not _is_list(files[0]):
        return "parquet"
    return "list" if path.is_file() else "folder"


def _is_list(path: Path) -> bool:
    """Whether a Parquet file lists paths of images and holds none itself."""
    names = column_names(path)
    images = candidate_columns(IMAGE, names, {name: str(of.get("_type")) for name, of in features_of(path).items()})
    return lists.PATH in names and lists.LABEL in names and not images
