"""Published sets of arrays as CIFAR-10-C: what they hold, their identity, and what is wrong with damaged ones."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from corrupted_datasets import open_set, write_set

from failmodes.ingest.corrupted_datasets import cifar_c as published_arrays
from failmodes.ingest.corrupted_datasets.cifar_c import CifarCDataset
from failmodes.ingest.corrupted_datasets.opening import open_corrupted_dataset
from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.warehouse.errors import DataError, FailmodesError, StudyError


def test_published_rows_are_severity_by_severity(tmp_path: Path, sixty_digits: Dataset) -> None:
    folder = write_set(tmp_path / "set", sixty_digits.images[:], sixty_digits.labels, ("fog", "elastic"))
    source = open_set(folder, sixty_digits, "fog", "elastic_transform")
    ids = np.array([59, 0, 7])
    expected = corrupt(sixty_digits.images[ids], "fog", 3, seed=9, image_ids=ids)
    np.testing.assert_array_equal(source.corrupted(None, "fog", Decimal(3), ids), expected)
    assert isinstance(source.published, CifarCDataset)
    assert isinstance(source.published.arrays["fog"], np.memmap)
    assert source.published.names == ("elastic_transform", "fog"), "aliases stand for the published name"
    np.testing.assert_array_equal(source.labels(sixty_digits), sixty_digits.labels)
    with pytest.raises(StudyError, match="has no 'snow'"):
        source.corrupted(None, "snow", 1, ids)
    with pytest.raises(StudyError, match="holds 1 to 5"):
        source.corrupted(None, "fog", 0, ids)
    with pytest.raises(DataError, match="images 0 to 59"):
        source.corrupted(None, "fog", 1, [60])


def test_a_published_sets_identity_is_its_content(
    tmp_path: Path, sixty_digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write_set(tmp_path / "one", sixty_digits.images[:], sixty_digits.labels)
    second = write_set(tmp_path / "two", sixty_digits.images[:], sixty_digits.labels)
    cache = tmp_path / "cache"
    identity = open_set(first, sixty_digits, cache=cache).source_id
    assert open_set(second, sixty_digits).source_id == identity, "the folder's name is no part of it"
    pixels = np.load(second / "fog.npy")
    pixels[-1, -1, -1, -1] ^= 1
    np.save(second / "fog.npy", pixels)
    assert open_set(second, sixty_digits).source_id != identity
    real = published_arrays.fingerprint_of
    monkeypatch.setattr(published_arrays, "fingerprint_of", lambda arrays: pytest.fail("hashed") if arrays[0].ndim > 1
                        else real(arrays))  # fmt: skip
    assert open_set(first, sixty_digits, cache=cache).source_id == identity, "remembered"
    monkeypatch.undo()
    np.save(first / "fog.npy", pixels)
    assert open_set(first, sixty_digits, cache=cache).source_id != identity, "a changed file is hashed anew"


def spoil_truncated(folder: Path) -> None:
    (folder / "fog.npy").write_bytes((folder / "fog.npy").read_bytes()[:-1])


def spoil_header(folder: Path) -> None:
    (folder / "fog.npy").write_bytes(b"\x93NUMPY")


def spoil_dtype(folder: Path) -> None:
    np.save(folder / "fog.npy", np.load(folder / "fog.npy") / 255.0)


def spoil_shape(folder: Path) -> None:
    np.save(folder / "fog.npy", np.load(folder / "fog.npy").transpose(0, 3, 1, 2))


def spoil_rows(folder: Path) -> None:
    np.save(folder / "fog.npy", np.load(folder / "fog.npy")[:-1])


def spoil_object(folder: Path) -> None:
    np.save(folder / "fog.npy", np.array([{}, {}], dtype=object), allow_pickle=True)


def spoil_sizes(folder: Path) -> None:
    np.save(folder / "snow.npy", np.load(folder / "fog.npy")[:, :16])


def spoil_labels_range(folder: Path) -> None:
    np.save(folder / "labels.npy", np.full(300, -3))


def spoil_labels_count(folder: Path) -> None:
    np.save(folder / "labels.npy", np.zeros(301, int))


def spoil_labels_rounds(folder: Path) -> None:
    np.save(folder / "labels.npy", np.arange(300) % 7)


def spoil_labels_type(folder: Path) -> None:
    np.save(folder / "labels.npy", np.zeros(300))


def spoil_labels_missing(folder: Path) -> None:
    (folder / "labels.npy").unlink()


def spoil_missing(folder: Path) -> None:
    (folder / "fog.npy").unlink()


SPOILT: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated": (spoil_truncated, r"fog\.npy is truncated"),
    "header only": (spoil_header, r"fog\.npy is truncated or no"),
    "floats": (spoil_dtype, "holds float64: expected uint8"),
    "channels first": (spoil_shape, r"expected \(300, height, width, 3\)"),
    "a row short": (spoil_rows, "holds 299 images: expected 300"),
    "pickled objects": (spoil_object, r"fog\.npy is truncated or no"),
    "two sizes": (spoil_sizes, "mixes image sizes"),
    "labels out of range": (spoil_labels_range, "label -3 is out of range"),
    "labels not in fives": (spoil_labels_count, "expected a multiple of 5"),
    "labels differ": (spoil_labels_rounds, "labels differ between severities"),
    "labels of floats": (spoil_labels_type, "one whole number an image"),
    "no labels": (spoil_labels_missing, r"labels\.npy is missing"),
    "no fog": (spoil_missing, r"has no fog\.npy"),
}


@pytest.mark.parametrize(("spoil", "message"), SPOILT.values(), ids=SPOILT.keys())
def test_spoilt_sets_are_named_in_one_line(
    tmp_path: Path, sixty_digits: Dataset, spoil: Callable[[Path], None], message: str
) -> None:
    folder = write_set(tmp_path / "set", sixty_digits.images[:], sixty_digits.labels)
    spoil(folder)
    with pytest.raises(FailmodesError, match=message) as caught:
        open_corrupted_dataset(folder, ("fog",))
    assert "\n" not in str(caught.value)


def test_a_set_of_arrays_has_whole_severities_only(tmp_path: Path, sixty_digits: Dataset) -> None:
    folder = write_set(tmp_path / "set", sixty_digits.images[:], sixty_digits.labels)
    opened = open_corrupted_dataset(folder, ["fog"], severities=[Decimal("3.000")])
    np.testing.assert_array_equal(
        opened.images("fog", Decimal("3.000"), np.arange(60)), opened.images("fog", 3, np.arange(60))
    )
    with pytest.raises(StudyError, match=r"has no fog at severity 2\.5: it holds 1 to 5"):
        open_corrupted_dataset(folder, ["fog"], severities=[2.5])
