"""CIFAR in its three layouts: the same images whatever the layout, and clear errors for damaged ones."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cifar_files import encoded, write_parquet

from failmodes.ingest.datasets.layouts.cifar import CIFAR10_CLASSES
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.specification import DatasetSpec


def test_jpeg_copies_are_found_by_their_bytes_and_named(tmp_path: Path) -> None:
    folder = write_parquet(tmp_path / "hf", "cifar10", image="image", jpegs=3)
    dataset = open_dataset(DatasetSpec(kind="cifar10", path=folder), tmp_path)
    assert dataset.label == "CIFAR-10 (JPEG copy)"
    assert dataset.note is not None
    assert "3 of 20" in dataset.note
    relabeled = open_dataset(DatasetSpec(kind="cifar10", path=folder, label="Mine"), tmp_path)
    assert (relabeled.label, relabeled.note) == ("Mine", dataset.note)


@pytest.mark.data
def test_real_cifar10_is_the_jpeg_copy_and_decodes_in_seconds(real_data: Path, tmp_path: Path) -> None:
    dataset = open_dataset(DatasetSpec(kind="cifar10", path=real_data / "cifar10"), tmp_path)
    assert dataset.label == "CIFAR-10 (JPEG copy)"
    assert dataset.class_names == CIFAR10_CLASSES
    np.testing.assert_array_equal(dataset.labels, np.arange(10_000) % 10)
    means = np.asarray(dataset.images[:]).mean(axis=(0, 1, 2)) / 255
    np.testing.assert_allclose(means, [0.4941, 0.4851, 0.4504], atol=5e-5)


def test_images_of_several_row_groups_are_read_whole(tmp_path: Path) -> None:
    """As in the published files, whose row groups have 2,000 images and a dictionary each."""
    pixels = np.random.default_rng(0).integers(0, 256, (700, 32, 32, 3), np.uint8)
    cells = [{"bytes": encoded(image), "path": None} for image in pixels]
    table = pa.table({"img": cells, "label": np.arange(700) % 10})
    pq.write_table(table, tmp_path / "test-0.parquet", row_group_size=300)
    dataset = open_dataset(DatasetSpec(kind="cifar10", path=tmp_path), tmp_path / "cache")
    assert np.array_equal(dataset.images, pixels)
