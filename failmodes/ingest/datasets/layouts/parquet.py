"""Parquet files with a column of encoded images, as datasets of the Hugging Face hub are stored.

The image is a struct of `bytes` and `path`, or bytes. Labels are names, or whole numbers whose names may stand in the
metadata of the file. Every other column is metadata of the images.
"""

from dataclasses import replace

from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.image_columns import COLUMN_KEYS, choose_columns, label_by_columns
from failmodes.ingest.datasets.labeled_images import open_labeled_images
from failmodes.ingest.datasets.layout import OF_ENCODED, VALIDATION, Request, layout
from failmodes.ingest.datasets.parquet_images import ParquetImages, column_names, features_of, image_paths, read_columns
from failmodes.ingest.datasets.shard_files import shard_files

SUFFIXES = (".parquet", ".pq")


@layout(
    "parquet",
    takes={*OF_ENCODED, *COLUMN_KEYS, VALIDATION},
    path_is="files",
    expected="a .parquet file with a column of images, a folder of such files, or a pattern of their names",
)
def open_parquet(request: Request) -> Dataset:
    """Open the images of Parquet files, in the order of the files and rows.

    Raises:
        DataError: a file is damaged, a column is missing, ambiguous or changes its type, a label is missing, or as
            `open_labeled_images`.
    """
    files, label, is_whole = shard_files(request, SUFFIXES)
    chosen = choose_columns(request, column_names(files[0]), features_of(files[0]), f"{files[0]} has the columns")
    encoded = ParquetImages(files, chosen.image)
    others = read_columns(files, chosen.others)
    images = label_by_columns(encoded, chosen, others, str(files[0]), image_paths(files, chosen.image))
    return replace(open_labeled_images(request, images, label), is_whole=is_whole)
