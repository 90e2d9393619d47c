"""Corruptions of users' own: registered in code or by an import path, checked, and part of the identity."""

import hashlib
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from corrupted_datasets import dimension_rows

from failmodes.ingest.corrupted_datasets.published_source import PublishedSource
from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.corruptions.catalog import CORRUPTIONS, registered
from failmodes.ingest.corruptions.custom import CustomCorruption, register
from failmodes.ingest.datasets.dataset import Dataset, record_dataset
from failmodes.ingest.datasets.pixel_index import MEASURED, measure_images
from failmodes.ingest.sources import GeneratedSource, record_corruptions, record_source, stored_versions
from failmodes.ingest.specification import CorruptionSpec
from failmodes.runtime.errors import DataError
from failmodes.warehouse import schema


def test_its_code_and_levels_are_part_of_the_source(corruption_module: str, sixty_digits: Dataset) -> None:

    plain, own = (
        GeneratedSource.from_spec(CorruptionSpec(names=n), 0, sixty_digits)
        for n in (["fog"], ["fog", f"{corruption_module}:DIM"])
    )
    assert plain.source_id == GeneratedSource().source_id != own.source_id
    assert "corruption dim" in own.row()["versions"]
    held = registered()["dim"]
    register(CustomCorruption("dim", held.apply, levels=((2,), (3,), (4,), (5,), (6,))))
    assert GeneratedSource.from_spec(CorruptionSpec(names=["fog", "dim"]), 0, sixty_digits).source_id != own.source_id


def test_a_generated_source_corrupts_by_its_own_settings(sixty_digits: Dataset) -> None:
    source = GeneratedSource.from_spec(CorruptionSpec(noise="independent"), 7, sixty_digits)
    ids = np.array([5, 3])
    found = source.corrupted(sixty_digits.images[ids], "fog", Decimal("2.000"), ids)
    expected = corrupt(sixty_digits.images[ids], "fog", 2, seed=7, image_ids=ids, noise="independent")
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(source.labels(sixty_digits), sixty_digits.labels)
    assert (source.pairing.paired, source.pairing.image_pairs) == (True, None)
    assert source.row()["source_label"] == "cifar-c recipe, seed 7, independent noise"
    with pytest.raises(DataError, match="corrupts clean images"):
        source.corrupted(None, "fog", 1, ids)


@pytest.mark.parametrize(
    ("stated", "side_px", "used", "is_warned_of"),
    [
        (None, 32, "cifar-c", False),
        (None, 224, "imagenet-c", False),
        ("cifar-c", 32, "cifar-c", False),
        ("cifar-c", 224, "cifar-c", True),
        ("imagenet-c", 64, "imagenet-c", True),
    ],
)
def test_the_recipe_is_that_of_the_nearest_size_and_another_one_is_a_warning(
    sixty_digits: Dataset, stated: str | None, side_px: int, used: str, is_warned_of: bool
) -> None:
    dataset = replace(sixty_digits, images=np.zeros((60, side_px, side_px, 3), np.uint8))
    source = GeneratedSource.from_spec(CorruptionSpec(recipe=stated), 0, dataset)
    assert source.recipe == used
    assert [note.is_warning for note in source.notes] == [True] * is_warned_of


def test_all_that_shapes_pixels_is_in_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    def identities() -> set[str]:
        return {
            GeneratedSource(seed=seed, noise=noise).source_id for seed in (0, 1) for noise in ("shared", "independent")
        }

    before = identities()
    assert len(before) == 4
    assert identities() == before
    monkeypatch.setattr("PIL.__version__", "0.1")
    assert not identities() & before


def test_dimensions_are_recorded(tmp_path: Path, sixty_digits: Dataset) -> None:
    masks = np.zeros((60, 32, 32), bool)
    masks[:, :8] = True
    files = tuple(f"{i}.png" for i in range(60))
    dataset = replace(sixty_digits, files=files, note="a note", masks=masks)
    source = GeneratedSource(seed=3)
    record_dataset(tmp_path, dataset)
    record_source(tmp_path, source)
    record_corruptions(tmp_path)
    key = dataset.dataset_id
    (row,) = dimension_rows(tmp_path, schema.DATASETS, key)
    assert (row["image_count"], row["class_count"], row["height_px"], row["note"]) == (60, 10, 32, "a note")
    assert dimension_rows(tmp_path, schema.CLASSES, key)[9]["class_name"] == "nine"
    image = dimension_rows(tmp_path, schema.IMAGES, key)[7]
    measured = dict(zip(MEASURED, measure_images(sixty_digits.images[7:8])[:, 0], strict=True))
    of_source = ("image_width_px", "image_height_px", "image_aspect", "file_bytes")
    assert image == measured | dict.fromkeys(of_source) | {
        "dataset_id": key,
        "image_id": 7,
        "label": sixty_digits.labels[7],
        "file": "7.png",
        "mask_area": 0.25,
        "pixel_hash": hashlib.blake2b(sixty_digits.images[7].tobytes(), digest_size=8).hexdigest(),
    }
    record_dataset(tmp_path, sixty_digits)  # without files and masks: the same dataset, so the same rows replace them
    assert dimension_rows(tmp_path, schema.IMAGES, key)[7]["mask_area"] is None
    (row,) = dimension_rows(tmp_path, schema.SOURCES, source.source_id)
    assert (row["seed"], row["recipe"], row["source_kind"]) == (3, "cifar-c", "generated")
    for name in CORRUPTIONS:
        assert dimension_rows(tmp_path, schema.CORRUPTIONS, name)[0]["corruption_order"] == CORRUPTIONS[name].order
    assert dimension_rows(tmp_path, schema.CORRUPTIONS, schema.CLEAN)[0]["corruption_group"] == "clean"


def test_a_class_that_is_called_by_its_wordnet_id_has_its_name_beside(tmp_path: Path, sixty_digits: Dataset) -> None:
    dataset = replace(sixty_digits, class_names=("n01440764", "n02510455", "n99999999", *"defghij"))
    record_dataset(tmp_path, dataset)
    rows = dimension_rows(tmp_path, schema.CLASSES, dataset.dataset_id)
    assert [(row["class_name"], row["wordnet_id"]) for row in rows[:4]] == [
        ("tench", "n01440764"),
        ("giant panda", "n02510455"),
        ("n99999999", None),
        ("d", None),
    ]


def test_gray_is_part_of_the_identity_only_where_it_is_said(sixty_digits: Dataset) -> None:
    plain, gray = (
        GeneratedSource.from_spec(CorruptionSpec(), 0, replace(sixty_digits, gray=gray)) for gray in (False, True)
    )
    assert plain.source_id == GeneratedSource().source_id != gray.source_id
    assert (plain.row()["source_label"], gray.row()["source_label"]) == (
        "cifar-c recipe, seed 0",
        "cifar-c recipe, seed 0, kept gray",
    )
    clean, ids = sixty_digits.images[:2], np.arange(2)
    for source in (plain, gray):
        noisy = source.corrupted(clean, "gaussian_noise", Decimal(5), ids)
        assert (noisy == noisy[..., :1]).all() == source.gray


@pytest.mark.parametrize(
    "options", [{}, {"seed": 9}, {"noise": "independent"}, {"gray": True}, {"recipe": "imagenet-c"}]
)
@pytest.mark.parametrize("versions", [{}, {"numpy": "1.0", "corruption mine": "abc"}])
def test_a_source_is_reproduced_from_its_row(options: dict, versions: dict) -> None:
    source = GeneratedSource(**options, dependencies=versions)
    again = GeneratedSource.from_row(source.row())
    assert (again.recipe, again.seed, again.noise, again.gray) == (
        source.recipe, source.seed, source.noise, source.gray,
    )  # fmt: skip
    assert again.versions == GeneratedSource().versions  # today's
    assert stored_versions(source.row()) == source.versions


@pytest.mark.parametrize("text", ["[", "[]", '{"numpy": 1}', "[" * 100_000])
def test_versions_that_are_none_are_one_line(text: str) -> None:
    with pytest.raises(DataError, match="the versions of a source of corrupted images are not"):
        GeneratedSource.from_row(GeneratedSource().row() | {"versions": text})


def test_of_a_published_set_it_is_not_known_how_objects_moved() -> None:
    """Elastic transform is the one published corruption that moves them; elsewhere masks stay as they are."""
    source = object.__new__(PublishedSource)
    masks = np.ones((2, 8, 8), np.bool_)
    moved = {name: source.moved_masks(masks, name, 3, [0, 1]) for name in CORRUPTIONS}
    assert [name for name, one in moved.items() if one is None] == ["elastic_transform"]
    assert all(one is masks for name, one in moved.items() if name != "elastic_transform")
