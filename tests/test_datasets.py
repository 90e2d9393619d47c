"""Digits, subsets and specifications."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.datasets import load_digits

from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.digits import upsample
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.specification import CorruptionSpec, DatasetSpec
from failmodes.ingest.subset import balanced_subset
from failmodes.warehouse.errors import DataError, StudyError


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


def test_labels_must_name_classes() -> None:
    images = np.zeros((2, 8, 8, 3), np.uint8)
    with pytest.raises(DataError, match="label 2 of image 1 is out of range: expected 0 to 1"):
        Dataset("x", "X", "test", images, np.array([0, 2]), ("a", "b"))
    with pytest.raises(DataError, match="2 images but labels"):
        Dataset("x", "X", "test", images, np.array([0]), ("a",))
    with pytest.raises(DataError, match="must be uint8"):
        Dataset("x", "X", "test", images.astype(float), np.array([0, 0]), ("a",))


def test_a_prefix_where_classes_interleave() -> None:
    ids, words = balanced_subset(np.arange(10_000) % 10, 2_000)
    np.testing.assert_array_equal(ids, np.arange(2_000))
    assert words == "first 2,000 of 10,000, balanced over classes"
    ids, words = balanced_subset(np.arange(30) % 10, None)
    assert (len(ids), words) == (30, "all 30 images")
    assert balanced_subset(np.arange(30) % 10, 30)[1] == "all 30 images"


def test_a_class_that_runs_out_is_said() -> None:
    ids, words = balanced_subset(np.array([0, 0, 0, 0, 1]), 4)
    assert (ids.tolist(), words) == ([0, 1, 2, 4], "first 4 of 5, 1 to 3 a class")


@pytest.mark.parametrize("count", [0, 31])
def test_impossible_counts(count: int) -> None:
    with pytest.raises(StudyError, match="ask for 1 to 30"):
        balanced_subset(np.arange(30) % 10, count)


@settings(max_examples=40, deadline=None)
@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=60), data=st.data())
def test_choices_are_balanced_firsts(labels: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(labels)))
    ids, _ = balanced_subset(np.array(labels), count)
    assert ids.dtype == np.int64
    assert ids.tolist() == sorted(set(ids.tolist()))
    assert len(ids) == count
    taken = {label: [i for i in ids.tolist() if labels[i] == label] for label in set(labels)}
    for label, chosen in taken.items():
        every = [i for i, other in enumerate(labels) if other == label]
        assert chosen == every[: len(chosen)], "the first of its class"
        if len(chosen) < len(every):  # not run out: nobody has more than one above it
            assert max(map(len, taken.values())) <= len(chosen) + 1


BAD_SPECS: dict[str, tuple[type, dict[str, Any], str]] = {
    "unknown key": (DatasetSpec, {"kind": "digits", "colour": 1}, "Extra inputs are not permitted"),
    "unknown kind": (DatasetSpec, {"kind": "mnist"}, "digits"),
    "no path": (DatasetSpec, {"kind": "cifar10"}, "needs `path`"),
    "path of digits": (DatasetSpec, {"kind": "digits", "path": "x"}, "leave out `path`"),
    "size of cifar": (DatasetSpec, {"kind": "cifar10", "path": "x", "image_size": 64}, "`image_size` is for"),
    "no images": (DatasetSpec, {"kind": "digits", "images": 0}, "greater than or equal to 1"),
    "misspelt": (CorruptionSpec, {"names": ["gausian_noise"]}, "did you mean 'gaussian_noise'"),
    "twice": (CorruptionSpec, {"names": ["fog", "fog"]}, "named twice"),
    "clean severity": (CorruptionSpec, {"severities": [0, 1]}, "always evaluated: leave it out"),
    "severity": (CorruptionSpec, {"severities": [1, 5.5]}, "5.5 is out of range"),
    "no severity": (CorruptionSpec, {"severities": [float("nan")]}, "out of range"),
    "switches": (
        CorruptionSpec,
        {"names": ["all"], "severities": [1, 2.5]},
        "2.5 is not defined for glass_blur .*leave out",
    ),
    "recipe": (CorruptionSpec, {"recipe": "imagenet"}, "'cifar-c' or 'imagenet-c'"),
    "severity twice": (CorruptionSpec, {"severities": [1, 1]}, "named twice"),
    "no names": (CorruptionSpec, {"names": []}, "at least 1"),
    "seed": (CorruptionSpec, {"seeds": [-1]}, "greater than or equal to 0"),
    "published seeds": (CorruptionSpec, {"published": "x", "seeds": [1, 2]}, "has its own draws"),
}


@pytest.mark.parametrize(("spec", "values", "message"), BAD_SPECS.values(), ids=BAD_SPECS.keys())
def test_bad_specifications(spec: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        spec(**values)


def test_specifications_have_sensible_defaults() -> None:
    spec = CorruptionSpec()
    assert (len(spec.names), spec.severities, spec.seeds) == (6, [1, 2, 3, 4, 5], [0])
    assert CorruptionSpec(published=Path("x"), names=["frosted_glass_blur"]).names == ["glass_blur"]
