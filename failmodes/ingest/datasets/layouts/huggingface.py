"""Datasets of Hugging Face's `datasets` (extra `datasets`): a folder that `save_to_disk` wrote, or a name on the hub.

Images are not decoded by that library. Every column but those of the images and labels is metadata of the images.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.data_files import data_errors
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.image_columns import COLUMN_KEYS, choose_columns, label_by_columns
from failmodes.ingest.datasets.labeled_images import open_labeled_images
from failmodes.ingest.datasets.layout import OF_ENCODED, VALIDATION, Request, layout, refuse_other_split
from failmodes.ingest.datasets.preparation import Encoded
from failmodes.runtime.errors import DataError, StudyError, listed, printable
from failmodes.runtime.packages import require

CONFIGURATION = ":"  # between the name of a dataset and that of its configuration
SAVED_FILES = ("state.json", "dataset_dict.json")  # of a dataset, and of one with splits
ANSWER_S = 10
BATCH_ROWS = 500


class HuggingFaceImages:
    """Encoded images of a column of a dataset.

    Attributes:
        files: the Arrow files of the dataset.
    """

    def __init__(self, dataset: Any, column: str, label: str, *, follow_paths: bool) -> None:
        """Turn off the decoding of the column.

        Args:
            dataset: a `datasets.Dataset`.
            column: of the images.
            label: name of the dataset in errors.
            follow_paths: whether an image may be another file, which a saved dataset from outside must not name.

        Raises:
            DataError: the column does not hold images.
        """
        import datasets

        if not isinstance(dataset.features[column], datasets.Image):
            raise DataError(f"{label}: the column {printable(column, 60)} does not hold images of the type Image")
        self.files = [Path(file["filename"]) for file in dataset.cache_files]
        self._images = dataset.select_columns([column]).cast_column(column, datasets.Image(decode=False))
        self._column = column
        self._label = label
        self._follow_paths = follow_paths

    def __len__(self) -> int:
        return len(self._images)

    def location(self, place: int) -> str:
        """The dataset and the row, from 1."""
        return f"{self._label}, row {place + 1}"

    def read(self, places: NDArray[np.int64]) -> Iterator[Encoded]:
        """The bytes or files of images; no bytes where a row has neither."""
        with data_errors(self._label, "cannot be read", ": save or download it again"):
            images = self._images[places.tolist()][self._column]
        for image in images:
            content, path = ((image or {}).get(key) for key in ("bytes", "path"))
            yield Path(path) if content is None and path and self._follow_paths else content or b""

    def paths(self) -> list[str | None]:
        """The names (N,) that are stored with the images."""
        batches = self._images.with_format("arrow").iter(BATCH_ROWS)  # never all images at once
        structs = (batch[self._column].combine_chunks() for batch in batches)
        paths = (path for struct in structs for path in struct.field("path").to_pylist())
        return [None if path is None else Path(path).name for path in paths]


@layout(
    "huggingface",
    takes={*OF_ENCODED, *COLUMN_KEYS, "name", VALIDATION},
    expected="a folder that save_to_disk of the package datasets wrote; a dataset of the hub is given as `name`",
)
def open_huggingface(request: Request) -> Dataset:
    """Open a saved dataset, or one of the hub, which is downloaded to its cache if necessary.

    Raises:
        StudyError: both path and name, or neither.
        MissingExtraError: `datasets` is not installed.
        DataError: it cannot be read or downloaded, has no such split, a column is missing or ambiguous, or as
            `open_labeled_images`.
    """
    spec = request.spec
    if (spec.path is None) == (spec.name is None):
        raise StudyError('kind "huggingface" needs either `path`, a folder of save_to_disk, or `name`, one of the hub')
    require("datasets", 'kind = "huggingface"')
    label = printable(spec.name or request.path.name, 100)
    dataset, is_whole = _saved(request) if spec.name is None else (_of_hub(spec.name, request.split), False)
    location = str(request.path) if spec.name is None else spec.name
    chosen = choose_columns(request, dataset.column_names, dataset.features.to_dict(), f"{location} has the columns")
    encoded = HuggingFaceImages(dataset, chosen.image, location, follow_paths=spec.name is not None)
    others = dataset.select_columns(list(chosen.others)).with_format("arrow")[:]
    images = label_by_columns(encoded, chosen, others, location, encoded.paths())
    return replace(open_labeled_images(request, images, label), is_whole=is_whole)


def _saved(request: Request) -> tuple[Any, bool]:
    """The dataset of a folder; and whether the folder has no splits."""
    import datasets

    if not any((request.path / name).is_file() for name in SAVED_FILES):
        raise StudyError(
            f"{request.path} is no folder that save_to_disk of the package datasets wrote: Parquet files are of kind "
            '"parquet"'
        )
    with data_errors(request.path, "is damaged", ": save the dataset again"):
        loaded = datasets.load_from_disk(str(request.path))
    if isinstance(loaded, datasets.DatasetDict):
        return _split(loaded, request.split, str(request.path)), False
    refuse_other_split(request)
    return loaded, True


def _of_hub(name: str, split: str) -> Any:
    """A split of a dataset of the hub: OWNER/NAME, or OWNER/NAME:CONFIGURATION.

    Whether the hub can be reached is asked first, without the retries of its client, which take 23 seconds.
    """
    import datasets
    import huggingface_hub
    from datasets import config

    repository, _, configuration = name.partition(CONFIGURATION)
    cached = Path(config.HF_DATASETS_CACHE) / repository.replace("/", "___")
    with data_errors(name, "cannot be opened", ": check the name and the connection to the hub"):
        if not cached.exists():
            huggingface_hub.dataset_info(repository, timeout=ANSWER_S)
        loaded = datasets.load_dataset(repository, configuration or None)
    return _split(loaded, split, name)


def _split(splits: Any, split: str, location: str) -> Any:
    if split not in splits:
        raise DataError(f"{location} has the splits {listed([*splits], 5)}, not {split}: set `split`")
    return splits[split]
