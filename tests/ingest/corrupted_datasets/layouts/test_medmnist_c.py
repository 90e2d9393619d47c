"""MedMNIST-C archives: what `failmodes corrupt` writes is what the published loader and this package read."""

from pathlib import Path

import numpy as np
import pytest
from corrupted_datasets import DIGITS, contents, set_options
from numpy.testing import assert_array_equal
from run_commands import run

from failmodes.ingest.corrupted_datasets.command import write_corrupted_dataset
from failmodes.ingest.corrupted_datasets.corrupted_dataset import open_corrupted_dataset
from failmodes.ingest.corrupted_datasets.published_source import pair_with_published
from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.datasets.dataset import Dataset, balanced_subset
from failmodes.ingest.datasets.layout import open_dataset


@pytest.mark.test_all
def test_the_command_writes_archives_as_published(tmp_path: Path, digits: Dataset) -> None:
    folder = tmp_path / "digits-C"
    options = ("--layout", "medmnist-c", "--corruption", "fog", "--corruption", "contrast", "--images", "40")
    run("corrupt", "digits", "--to", folder, *options, folder=tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == ["contrast.npz", "fog.npz", "manifest.json"]
    ids, _ = balanced_subset(digits.labels, 40)
    expected = np.concatenate([corrupt(digits.images[ids], "fog", s, image_ids=ids) for s in range(1, 6)])
    with np.load(folder / "fog.npz") as archive:  # as medmnistc.dataset.CorruptedMedMNIST reads it
        assert_array_equal(archive["test_images"], expected)
        assert_array_equal(archive["test_labels"], np.tile(digits.labels[ids], 5)[:, None])
    opened = open_corrupted_dataset(folder, ["fog"], tmp_path / "cache")
    assert_array_equal(opened.images("fog", 2, np.array([7, 0])), expected[[47, 40]])
    assert pair_with_published(digits, opened).paired
    before = contents(folder)
    run("corrupt", "digits", "--to", folder, *options, folder=tmp_path)
    assert contents(folder) == before, "a finished dataset is left alone"
    (folder / "fog.npz").unlink()
    run("corrupt", "digits", "--to", folder, *options, folder=tmp_path)
    assert contents(folder) == before, "the same images make the same bytes"


def test_gray_images_are_written_with_one_channel(tmp_path: Path) -> None:
    gray = DIGITS.model_copy(update={"gray": True})
    options = set_options(layout="medmnist-c", corruptions=["gaussian_noise"])
    write_corrupted_dataset(gray, options, tmp_path / "set")
    with np.load(tmp_path / "set" / "gaussian_noise.npz") as archive:
        assert archive["test_images"].shape == (5 * 40, 32, 32)
    opened = open_corrupted_dataset(tmp_path / "set", ["gaussian_noise"])
    assert pair_with_published(open_dataset(gray, tmp_path / "cache"), opened).paired
