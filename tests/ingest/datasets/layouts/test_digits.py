"""The digits of scikit-learn: splits, enlargement, masks."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.layout import DatasetSpec, open_dataset
from failmodes.ingest.datasets.layouts.digits import upsample


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    cache = tmp_path_factory.mktemp("cache")
    return {split: open_dataset(DatasetSpec(kind="digits"), cache, split) for split in ("train", "test")}


def test_digits_are_split_by_class_without_overlap(digits: dict[str, Dataset]) -> None:
    assert (np.bincount(digits["test"].labels) == 50).all()
    assert len(digits["train"].labels) + len(digits["test"].labels) == 1797
    small = load_digits().images
    both = np.concatenate([digits["train"].images[:], digits["test"].images[:]])
    # every image of the whole set is in one split: compare as multisets of pixels
    whole = np.repeat(upsample(small.astype(np.int64))[..., None], 3, axis=3)
    assert sorted(map(bytes, both.reshape(1797, -1))) == sorted(map(bytes, whole.reshape(1797, -1)))


def test_digits_keep_one_identity_everywhere(digits: dict[str, Dataset]) -> None:
    # pixels and split are made in whole numbers: a change here means other data, not another machine
    assert digits["test"].dataset_id == "9dc234db16d32b3c"
    assert digits["train"].dataset_id == "f220531b5ac32ade"


def test_enlarging_is_linear_interpolation() -> None:
    small = np.random.default_rng(0).integers(0, 17, (3, 8, 8))
    position = np.clip((np.arange(32) + 0.5) / 4 - 0.5, 0, 7)
    low = np.minimum(position.astype(int), 6)
    part = position - low
    rows = small[:, low] * (1 - part)[:, None] + small[:, low + 1] * part[:, None]
    exact = rows[:, :, low] * (1 - part) + rows[:, :, low + 1] * part
    assert np.abs(upsample(small) - exact * 255 / 16).max() <= 0.5 + 1e-9


def test_the_mask_is_the_ink(digits: dict[str, Dataset]) -> None:
    test = digits["test"]
    assert test.masks is not None
    assert test.masks.shape == (500, 32, 32)
    np.testing.assert_array_equal(test.masks, test.images[:][..., 0] > 127)
    assert (test.masks.mean(axis=(1, 2)) > 0.05).all(), "every digit has ink"
    assert test.note is not None
