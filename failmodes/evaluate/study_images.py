"""The images of a study file, for whoever makes pictures of a warehouse again: clean ones, and a published set's."""

from functools import cached_property
from pathlib import Path

import numpy as np

from failmodes.evaluate.study.study_file import check_study
from failmodes.evaluate.study.study_schema import Study
from failmodes.ingest.corrupted_datasets.published_source import PublishedSource
from failmodes.ingest.corruptions.apply import ImageIds
from failmodes.ingest.corruptions.pixels import Images
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.warehouse.storage.locations import STUDY_FILE, default_location, read_toml


class StudyImages:
    """The data set of a study file, and its published set; opened when they are first asked for.

    Attributes:
        path: the study file.
    """

    def __init__(self, path: Path, *, is_named: bool) -> None:
        """Read a study file; its models are left out, so that their checkpoints may be missing.

        Args:
            path: the file.
            is_named: whether the user named it; else it may be a stranger's, of whom nothing is run, and what is cached
                stays beside the file.

        Raises:
            StudyError: it is no study, or one that was not named and has code of its own.
        """
        self.path = path
        content = {key: value for key, value in read_toml(path).items() if key not in ("models", "results")}
        if not is_named:
            content["output"] = "."
        self._study: Study = check_study(
            content, path.resolve().parent, str(path), require_models=False, own_code=is_named
        )

    def clean(self, dataset_id: str, image_ids: ImageIds) -> Images | None:
        """Clean images (N, H, W, 3) uint8 of a data set; None where the study has another one.

        Raises:
            DataError: the data set is missing or damaged.
        """
        ids = np.asarray(image_ids)
        if self._dataset.dataset_id != dataset_id or (len(ids) and ids.max() >= len(self._dataset.images)):
            return None
        return np.asarray(self._dataset.images[ids])

    def published(self, source_id: str, corruption: str, severity: float, image_ids: ImageIds) -> Images | None:
        """Images (N, H, W, 3) uint8 of a published set; None where the study names no such set.

        Raises:
            DataError: the set is missing or damaged.
        """
        source = self._published
        if source is None or source.source_id != source_id:
            return None
        return source.corrupted(None, corruption, severity, image_ids)

    @cached_property
    def _dataset(self) -> Dataset:
        without_masks = self._study.dataset.model_copy(update={"masks": None})  # pictures need none
        return open_dataset(without_masks, self._study.cache)

    @cached_property
    def _published(self) -> PublishedSource | None:
        spec = self._study.corruptions
        return None if spec.published is None else PublishedSource.from_spec(spec, self._dataset, self._study.cache)


def open_study_images(location: Path | None, warehouse: Path) -> StudyImages | None:
    """The images of the study that a location names, or that lies beside the warehouse; None without one.

    A study that was not named itself may be a stranger's, as the warehouse may: no code of its own is run, and nothing
    is written elsewhere.

    Args:
        location: what the user named; None for the default of the current folder.
        warehouse: the DuckDB file that it means.

    Raises:
        StudyError: the file is no study, or one beside the warehouse names code of its own.
    """
    named = default_location() if location is None else location
    if named.suffix == ".toml":
        return StudyImages(named, is_named=True)
    beside = warehouse.parent / STUDY_FILE
    return StudyImages(beside, is_named=False) if beside.is_file() else None
