"""The images of a study file for reproducing images of a warehouse: clean ones, and those of a published dataset."""

from functools import cached_property
from pathlib import Path

import numpy as np

from failmodes.evaluate.study.study_file import check_study
from failmodes.evaluate.study.study_schema import Study
from failmodes.ingest.corrupted_datasets.published_source import PublishedSource
from failmodes.ingest.corruptions.apply import ImageIds
from failmodes.ingest.corruptions.pixels import Images
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.layout import open_dataset
from failmodes.runtime.errors import StudyError
from failmodes.runtime.storage.locations import STUDY_FILE, default_location, read_toml


class StudyImages:
    """The dataset and the published corrupted dataset of a study file, opened on first use.

    Attributes:
        path: the study file.
    """

    def __init__(self, path: Path, *, is_named: bool) -> None:
        """Read a study file without its models, whose checkpoints may be missing.

        Args:
            path: the file.
            is_named: whether the user named the file; otherwise it is untrusted: its code is not run, and the cache
                stays beside the file.

        Raises:
            StudyError: the file is not a valid study, or it was not named and uses custom code or a library's dataset.
        """
        self.path = path
        content = {key: value for key, value in read_toml(path).items() if key not in ("models", "results")}
        if not is_named:
            content["output"] = "."
            table = content.get("dataset")
            if isinstance(table, dict) and "name" in table:  # a download, or files that a library unpickles
                raise StudyError(f"{path} uses a dataset of the hub or of torchvision: name the study file")
        self._study: Study = check_study(
            content, path.resolve().parent, str(path), require_models=False, own_code=is_named
        )

    def clean(self, dataset_id: str, image_ids: ImageIds) -> Images | None:
        """Clean images (N, H, W, 3) uint8 of a dataset; None if the study has another one.

        Raises:
            DataError: the dataset is missing or damaged.
        """
        ids = np.asarray(image_ids)
        if self._dataset.dataset_id != dataset_id or (len(ids) and ids.max() >= len(self._dataset.images)):
            return None
        return np.asarray(self._dataset.images[ids])

    def published(self, source_id: str, corruption: str, severity: float, image_ids: ImageIds) -> Images | None:
        """Images (N, H, W, 3) uint8 of a published dataset; None if the study has no such dataset.

        Raises:
            DataError: the dataset is missing or damaged.
        """
        source = self._published
        if source is None or source.source_id != source_id:
            return None
        return source.corrupted(None, corruption, severity, image_ids)

    @cached_property
    def _dataset(self) -> Dataset:
        without_masks = self._study.dataset.model_copy(update={"masks": None})  # not needed for images
        return open_dataset(without_masks, self._study.cache)

    @cached_property
    def _published(self) -> PublishedSource | None:
        spec = self._study.corruptions
        return None if spec.published is None else PublishedSource.from_spec(spec, self._dataset, self._study.cache)


def open_study_images(location: Path | None, warehouse: Path) -> StudyImages | None:
    """The images of the study at a location or beside the warehouse; None if there is no study.

    A study that the user did not name is untrusted, like the warehouse: its code is not run, and nothing is written
    elsewhere.

    Args:
        location: the location given by the user; None for the default of the current folder.
        warehouse: its DuckDB file.

    Raises:
        StudyError: the file is not a valid study, or one beside the warehouse uses custom code.
    """
    named = default_location() if location is None else location
    if named.suffix == ".toml":
        return StudyImages(named, is_named=True)
    beside = warehouse.parent / STUDY_FILE
    return StudyImages(beside, is_named=False) if beside.is_file() else None
