"""Published sets of arrays as CIFAR-10-C: what they hold, their identity, and what is wrong with damaged ones."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from corrupted_datasets import open_set, write_set
from run_commands import run

from failmodes.ingest.corrupted_datasets.corrupted_dataset import open_corrupted_dataset
from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.datasets.dataset import Dataset, balanced_subset
from failmodes.ingest.sources import GeneratedSource
from failmodes.runtime.errors import DataError, FailmodesError, StudyError


def test_published_rows_are_severity_by_severity(tmp_path: Path, sixty_digits: Dataset) -> None:
    folder = write_set(tmp_path / "set", sixty_digits.images[:], sixty_digits.labels, ("fog", "elastic"))
    source = open_set(folder, sixty_digits, "fog", "elastic_transform")
    ids = np.array([59, 0, 7])
    expected = corrupt(sixty_digits.images[ids], "fog", 3, seed=9, image_ids=ids)
    np.testing.assert_array_equal(source.corrupted(None, "fog", Decimal(3), ids), expected)
    assert isinstance(source.published._images("fog"), np.memmap)
    assert source.published.names == ("fog", "elastic_transform"), "aliases stand for the published name"
    np.testing.assert_array_equal(source.labels(sixty_digits), sixty_digits.labels)
    with pytest.raises(DataError, match="images 0 to 59"):
        source.corrupted(None, "fog", 1, [60])


def test_a_published_sets_identity_is_its_content(tmp_path: Path, sixty_digits: Dataset) -> None:
    first = write_set(tmp_path / "one", sixty_digits.images[:], sixty_digits.labels)
    second = write_set(tmp_path / "two", sixty_digits.images[:], sixty_digits.labels)
    cache = tmp_path / "cache"
    identity = open_set(first, sixty_digits, cache=cache).source_id
    assert open_set(second, sixty_digits).source_id == identity, "the folder's name is no part of it"
    pixels = np.load(second / "fog.npy")
    pixels[-1, -1, -1, -1] ^= 1
    np.save(second / "fog.npy", pixels)
    assert open_set(second, sixty_digits).source_id != identity
    assert open_set(first, sixty_digits, cache=cache).source_id == identity, "remembered"
    (memory,) = cache.rglob("*.json")
    memory.write_text("{")
    assert open_set(first, sixty_digits, cache=cache).source_id == identity, "and hashed again where that is damaged"
    np.save(first / "fog.npy", pixels)
    assert open_set(first, sixty_digits, cache=cache).source_id != identity, "a changed file is hashed anew"


def resaved(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    return lambda path: np.save(path, change(np.load(path)), allow_pickle=True)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


SPOILT: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "floats": ("fog", resaved(lambda fog: fog / 255.0), "holds float64"),
    "channels first": ("fog", resaved(lambda fog: fog.transpose(0, 3, 1, 2)), r"expected \(images, height, width, 3\)"),
    "a row short": ("fog", resaved(lambda fog: fog[:-1]), "holds 299 images: expected 300"),
    "pickled objects": ("fog", resaved(lambda _: np.array([{}, {}], object)), r"fog\.npy is truncated or no"),
    "truncated": ("fog", cut, r"fog\.npy is truncated"),
    "missing": ("fog", Path.unlink, "has no fog: it holds no corruption"),
    "no labels": ("labels", Path.unlink, r"labels\.npy is missing"),
    "labels out of range": ("labels", resaved(lambda _: np.full(300, -3)), "label -3 is out of range"),
    "labels not in fives": ("labels", resaved(lambda _: np.zeros(301, int)), "a multiple of 5 "),
    "labels differ": ("labels", resaved(lambda _: np.arange(300) % 7), "labels differ between severities"),
    "labels of floats": ("labels", resaved(lambda _: np.zeros(300)), "expected whole numbers, one per image"),
}


@pytest.mark.parametrize(("name", "spoil", "message"), SPOILT.values(), ids=SPOILT)
def test_spoilt_sets_are_named_in_one_line(tmp_path, sixty_digits, name: str, spoil, message: str) -> None:
    folder = write_set(tmp_path / "set", sixty_digits.images[:], sixty_digits.labels)
    spoil(folder / f"{name}.npy")
    with pytest.raises(FailmodesError, match=message) as caught:
        open_corrupted_dataset(folder, ("fog",))
    assert "\n" not in str(caught.value)


def test_a_set_of_arrays_has_whole_severities_only(tmp_path: Path, sixty_digits: Dataset) -> None:
    folder = write_set(tmp_path / "set", sixty_digits.images[:], sixty_digits.labels)
    with pytest.raises(StudyError, match=r"has no fog at severity 2\.5: it holds 1 to 5"):
        open_corrupted_dataset(folder, ["fog"], severities=[2.5])


def test_the_command_writes_arrays_as_published(tmp_path: Path, digits: Dataset) -> None:
    folder = tmp_path / "D-C"
    options = ("--corruption", "fog", "--corruption", "gaussian_noise", "--seed", "3", "--images", "40")
    run("corrupt", "digits", "--to", folder, *options, folder=tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == [
        "fog.npy", "gaussian_noise.npy", "labels.npy", "manifest.json"
    ]  # fmt: skip
    ids, description = balanced_subset(digits.labels, 40)
    for name in ("fog", "gaussian_noise"):
        rows = [corrupt(digits.images[ids], name, s, seed=3, image_ids=ids) for s in range(1, 6)]
        expected = folder / f"expected-{name}.npy"
        np.save(expected, np.concatenate(rows))
        assert (folder / f"{name}.npy").read_bytes() == expected.read_bytes(), "as numpy.save writes it"
    np.testing.assert_array_equal(np.load(folder / "labels.npy"), np.tile(digits.labels[ids], 5))
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["source_id"] == GeneratedSource(seed=3).source_id
    assert (manifest["recipe"], manifest["seed"], manifest["noise"]) == ("cifar-c", 3, "shared")
    assert manifest["dataset"]["dataset_id"] == digits.dataset_id
    assert (manifest["images"], manifest["subset"]) == (40, description)
    assert {name: list(levels) for name, levels in manifest["corruptions"].items()} == {
        "fog": list("12345"), "gaussian_noise": list("12345")
    }  # fmt: skip
