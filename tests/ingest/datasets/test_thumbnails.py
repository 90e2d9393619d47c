"""Clean images on record: just the pixels that corruptions are given, bounded in number and bytes, made once."""

from pathlib import Path

import numpy as np
import pytest
from pictured_results import patterns

from failmodes.ingest.datasets import thumbnails
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.decoding import decode
from failmodes.ingest.datasets.thumbnails import record_thumbnails
from failmodes.warehouse.schema import THUMBNAILS
from failmodes.warehouse.shards.format import list_results_files, read_verified


def dataset_of(images: np.ndarray) -> Dataset:
    return Dataset("arrays", "Patterns", "test", images, np.arange(len(images)) % 2, ("a", "b"))


def stored(output: Path) -> dict[int, bytes]:
    (path,) = list_results_files(output, THUMBNAILS)
    rows = read_verified(path).rows.to_pylist()
    return {row["image_id"]: row["png"] for row in rows}


@pytest.mark.parametrize("gray", [False, True])
def test_they_are_the_very_pixels(tmp_path: Path, gray: bool) -> None:
    images = patterns(5, height=20, width=13, gray=gray)
    record_thumbnails(tmp_path, dataset_of(images), np.array([0, 2, 4]), "some")
    found = stored(tmp_path)
    assert list(found) == [0, 2, 4]
    for image_id, png in found.items():
        np.testing.assert_array_equal(np.asarray(decode(png, "it")), images[image_id])
    (path,) = list_results_files(tmp_path, THUMBNAILS)
    rows = read_verified(path).rows
    assert set(zip(rows["height_px"].to_pylist(), rows["width_px"].to_pylist(), strict=True)) == {(20, 13)}


def test_of_too_many_evenly_spaced_ones_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnails, "MAX_IMAGES", 4)
    record_thumbnails(tmp_path, dataset_of(patterns(10)), np.arange(10), "all")
    assert list(stored(tmp_path)) == [0, 3, 6, 9]
