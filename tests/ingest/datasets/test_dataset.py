"""Checks of labels and images, and balanced subsets."""

import hashlib

import numpy as np
import pytest
from cifar_files import COUNT, IMAGES
from hypothesis import given, settings
from hypothesis import strategies as st

from failmodes.ingest.datasets.dataset import Dataset, balanced_subset
from failmodes.runtime.errors import DataError, StudyError
from failmodes.runtime.hashing import fingerprint_of


def test_labels_must_name_classes() -> None:
    images = np.zeros((2, 8, 8, 3), np.uint8)
    with pytest.raises(DataError, match="label 2 of image 1 is out of range: expected 0 to 1"):
        Dataset("x", "X", "test", images, np.array([0, 2]), ("a", "b"))
    with pytest.raises(DataError, match="2 images but labels"):
        Dataset("x", "X", "test", images, np.array([0]), ("a",))
    with pytest.raises(DataError, match="must be uint8"):
        Dataset("x", "X", "test", images.astype(float), np.array([0, 0]), ("a",))


def test_copies_have_equal_hashes_and_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("failmodes.runtime.hashing.BLOCK_BYTES", 3 * IMAGES[0].nbytes)
    stack = np.concatenate([IMAGES, IMAGES[[2, 5, 2]]])
    dataset = Dataset("x", "X", "test", stack, np.zeros(COUNT + 3, np.int64), ("a",))
    hashes = dataset.pixel_hashes.tolist()
    assert hashes[COUNT:] == [hashes[2], hashes[5], hashes[2]]
    assert len(set(hashes)) == COUNT
    assert hashes[4] == int(hashlib.blake2b(IMAGES[4].tobytes(), digest_size=8).hexdigest(), 16)
    assert dataset.dataset_id == fingerprint_of([dataset.images, dataset.labels])
    said = f"3 of {COUNT + 3} images are exact duplicates of others ({COUNT} distinct); intervals treat copies as one"
    assert dataset.describe().endswith(f"dataset_id {dataset.dataset_id}; {said}")
    alone = Dataset("x", "X", "test", IMAGES, np.zeros(COUNT, np.int64), ("a",))
    assert alone.describe().endswith(f"dataset_id {alone.dataset_id}")


def test_a_class_that_runs_out_is_said() -> None:
    ids, words = balanced_subset(np.array([0, 0, 0, 0, 1]), 4)
    assert (ids.tolist(), words) == ([0, 1, 2, 4], "first 4 of 5, 1 to 3 per class")


@pytest.mark.parametrize("count", [0, 31])
def test_impossible_counts(count: int) -> None:
    with pytest.raises(StudyError, match="request 1 to 30"):
        balanced_subset(np.arange(30) % 10, count)


@settings(max_examples=40)
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
