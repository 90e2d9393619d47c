"""Sources of corrupted pixels, their identity, pairing with clean images, and the dimensions they are recorded in."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from failmodes.ingest.corrupted_sets import cifar_c as published_arrays
from failmodes.ingest.corrupted_sets.cifar_c import CifarCSet
from failmodes.ingest.corrupted_sets.opening import PublishedSource, open_corrupted_set, open_pixel_source
from failmodes.ingest.corrupted_sets.pairing import correlations
from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.corruptions.catalogue import CORRUPTIONS
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.dimensions import record_corruptions, record_dataset, record_source
from failmodes.ingest.sources import GeneratedSource
from failmodes.ingest.specification import CorruptionSpec, DatasetSpec
from failmodes.warehouse import schema
from failmodes.warehouse.errors import DataError, FailmodesError, StudyError
from failmodes.warehouse.shards.format import dimension_path, read_verified


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """60 digits: different images of a class resemble each other, which makes pairing hard."""
    whole = open_dataset(DatasetSpec(kind="digits"), tmp_path_factory.mktemp("cache"))
    return Dataset("digits", "Digits", "test", np.asarray(whole.images[:60]), whole.labels[:60], whole.class_names)


def write_set(folder: Path, images: np.ndarray, labels: np.ndarray, names: tuple[str, ...] = ("fog",)) -> Path:
    folder.mkdir(exist_ok=True)
    np.save(folder / "labels.npy", np.tile(labels, 5).astype(np.uint8))
    for name in names:
        known = {"elastic": "contrast"}.get(name, name)
        np.save(folder / f"{name}.npy", np.concatenate([corrupt(images, known, s, seed=9) for s in range(1, 6)]))
    return folder


def open_set(folder: Path, dataset: Dataset, *names: str, cache: Path | None = None) -> PublishedSource:
    source = open_pixel_source(CorruptionSpec(names=list(names or ("fog",)), published=folder), 0, dataset, cache)
    assert isinstance(source, PublishedSource)
    return source


def test_a_generated_source_corrupts_by_its_own_settings(digits: Dataset) -> None:
    source = open_pixel_source(CorruptionSpec(draws="independent"), 7, digits)
    ids = np.array([5, 3])
    found = source.corrupted(digits.images[ids], "fog", Decimal("2.000"), ids)
    expected = corrupt(digits.images[ids], "fog", 2, seed=7, image_ids=ids, draws="independent")
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(source.labels(digits), digits.labels)
    assert source.pairing == (True, None, None)
    assert source.row()["source_label"] == "cifar-c recipe, seed 7, independent draws"
    with pytest.raises(DataError, match="needs the clean images"):
        source.corrupted(None, "fog", 1, ids)


def test_all_that_shapes_pixels_is_in_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    def identities() -> set[str]:
        return {
            GeneratedSource(seed=seed, draws=draws).source_id for seed in (0, 1) for draws in ("paired", "independent")
        }

    before = identities()
    assert len(before) == 4
    assert identities() == before
    monkeypatch.setattr("PIL.__version__", "0.1")
    assert not identities() & before


def test_published_rows_are_severity_by_severity(tmp_path: Path, digits: Dataset) -> None:
    folder = write_set(tmp_path / "set", digits.images[:], digits.labels, ("fog", "elastic"))
    source = open_set(folder, digits, "fog", "elastic_transform")
    ids = np.array([59, 0, 7])
    expected = corrupt(digits.images[ids], "fog", 3, seed=9, image_ids=ids)
    np.testing.assert_array_equal(source.corrupted(None, "fog", Decimal(3), ids), expected)
    assert isinstance(source.published, CifarCSet)
    assert isinstance(source.published.arrays["fog"], np.memmap)
    assert source.published.names == ("elastic_transform", "fog"), "aliases stand for the published name"
    np.testing.assert_array_equal(source.labels(digits), digits.labels)
    with pytest.raises(StudyError, match="has no 'snow'"):
        source.corrupted(None, "snow", 1, ids)
    with pytest.raises(StudyError, match="holds 1 to 5"):
        source.corrupted(None, "fog", 0, ids)
    with pytest.raises(DataError, match="images 0 to 59"):
        source.corrupted(None, "fog", 1, [60])


def test_a_published_sets_identity_is_its_content(
    tmp_path: Path, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write_set(tmp_path / "one", digits.images[:], digits.labels)
    second = write_set(tmp_path / "two", digits.images[:], digits.labels)
    cache = tmp_path / "cache"
    identity = open_set(first, digits, cache=cache).source_id
    assert open_set(second, digits).source_id == identity, "the folder's name is no part of it"
    pixels = np.load(second / "fog.npy")
    pixels[-1, -1, -1, -1] ^= 1
    np.save(second / "fog.npy", pixels)
    assert open_set(second, digits).source_id != identity
    real = published_arrays.fingerprint_of
    monkeypatch.setattr(published_arrays, "fingerprint_of", lambda arrays: pytest.fail("hashed") if arrays[0].ndim > 1
                        else real(arrays))  # fmt: skip
    assert open_set(first, digits, cache=cache).source_id == identity, "remembered"
    monkeypatch.undo()
    np.save(first / "fog.npy", pixels)
    assert open_set(first, digits, cache=cache).source_id != identity, "a changed file is hashed anew"


def test_a_damaged_memory_of_hashes_is_made_anew(tmp_path: Path, digits: Dataset) -> None:
    folder = write_set(tmp_path / "set", digits.images[:], digits.labels)
    identity = open_set(folder, digits, cache=tmp_path / "cache").source_id
    (memory,) = (tmp_path / "cache").rglob("*.json")
    memory.write_text("{")
    assert open_set(folder, digits, cache=tmp_path / "cache").source_id == identity


def test_pairing_wants_labels_and_pixels(tmp_path: Path, digits: Dataset) -> None:
    images, labels = digits.images[:], digits.labels
    by_class = np.argsort(labels, kind="stable")
    shifted = np.empty_like(by_class)  # every image replaced by another of its class: labels still agree
    for digit in range(10):
        members = np.flatnonzero(labels == digit)
        shifted[members] = np.roll(members, 1)
    cases = {
        "true": (images, labels, True, None),
        "another order": (images[by_class], labels[by_class], False, "labels differ"),
        "another image of the class": (images[shifted], labels, False, "pixels do not match"),
        "fewer": (images[:50], labels[:50], False, "holds 50 images, the data set 60"),
        "smaller": (np.ascontiguousarray(images[:, :24, :24]), labels, False, "images are"),
        "one colour": (np.zeros_like(images), labels, False, "of one colour"),
    }
    for number, (name, (pixels, of, paired, note)) in enumerate(cases.items()):
        for corruption in ("brightness", "fog", "gaussian_noise", "motion_blur"):
            if name == "one colour" and corruption == "gaussian_noise":
                continue  # noise alone has no one colour
            folder = write_set(tmp_path / f"{number}-{corruption}", pixels, of, (corruption,))
            found = open_set(folder, digits, corruption).pairing
            assert found.paired == paired, (name, corruption, found)
            assert (found.note is None) if note is None else (note in str(found.note)), (name, corruption, found)


def test_correlation_is_pearsons(digits: Dataset) -> None:
    a, b = digits.images[:4], digits.images[4:8]
    expected = [np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(correlations(a, b), expected)
    assert np.isnan(correlations(np.zeros_like(a), b)).all()


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
    tmp_path: Path, digits: Dataset, spoil: Callable[[Path], None], message: str
) -> None:
    folder = write_set(tmp_path / "set", digits.images[:], digits.labels)
    spoil(folder)
    with pytest.raises(FailmodesError, match=message) as caught:
        open_corrupted_set(folder, ("fog",))
    assert "\n" not in str(caught.value)


def test_a_label_beyond_the_data_sets_classes_never_pairs(tmp_path: Path, digits: Dataset) -> None:
    labels = digits.labels.copy()
    labels[0] = 99
    source = open_set(write_set(tmp_path / "set", digits.images[:], labels), digits)
    assert "labels differ" in str(source.pairing.note)


def rows_of(output: Path, table: schema.Table, key: str) -> list[dict[str, Any]]:
    return read_verified(dimension_path(output, table, key)).rows.to_pylist()


def test_dimensions_are_recorded(tmp_path: Path, digits: Dataset) -> None:
    masks = np.zeros((60, 32, 32), bool)
    masks[:, :8] = True
    dataset = Dataset("digits", "Digits", "test", digits.images, digits.labels, digits.class_names, masks=masks,
                      files=tuple(f"{i}.png" for i in range(60)), note="a note")  # fmt: skip
    source = GeneratedSource(seed=3)
    record_dataset(tmp_path, dataset)
    record_source(tmp_path, source)
    record_corruptions(tmp_path)
    key = dataset.dataset_id
    (row,) = rows_of(tmp_path, schema.DATASETS, key)
    assert (row["image_count"], row["class_count"], row["height_px"], row["note"]) == (60, 10, 32, "a note")
    assert rows_of(tmp_path, schema.CLASSES, key)[9]["class_name"] == "nine"
    image = rows_of(tmp_path, schema.IMAGES, key)[7]
    assert image == {"dataset_id": key, "image_id": 7, "label": digits.labels[7], "file": "7.png", "mask_area": 0.25}
    record_dataset(tmp_path, digits)  # without files and masks: the same data set, so the same rows replace them
    assert rows_of(tmp_path, schema.IMAGES, key)[7]["mask_area"] is None
    (row,) = rows_of(tmp_path, schema.SOURCES, source.source_id)
    assert (row["seed"], row["recipe"], row["source_kind"]) == (3, "cifar-c", "generated")
    for name in CORRUPTIONS:
        assert rows_of(tmp_path, schema.CORRUPTIONS, name)[0]["corruption_order"] == CORRUPTIONS[name].order
    assert rows_of(tmp_path, schema.CORRUPTIONS, schema.CLEAN)[0]["corruption_group"] == "clean"


def test_a_published_source_is_recorded_without_recipe(tmp_path: Path, digits: Dataset) -> None:
    source = open_set(write_set(tmp_path / "CIFAR-10-C", digits.images[:], digits.labels), digits)
    record_source(tmp_path, source)
    (row,) = rows_of(tmp_path, schema.SOURCES, source.source_id)
    assert (row["source_label"], row["recipe"], row["seed"]) == ("CIFAR-10-C (published)", None, None)
