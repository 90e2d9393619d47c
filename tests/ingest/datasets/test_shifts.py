"""Natural shifts: classes matched by name or WordNet id, restrictions, and what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from failmodes.ingest.datasets.layout import DatasetSpec, ShiftSpec, open_dataset
from failmodes.ingest.datasets.layouts.arrays import write_arrays
from failmodes.ingest.datasets.shifts import Shift, match_classes, of_classes, open_shift
from failmodes.ingest.specification import validate
from failmodes.runtime.errors import DataError, FailmodesError, StudyError

NAMES = ("cat", "dog", "frog", "owl")


def arrays(path: Path, names: tuple[str, ...] = NAMES, count: int = 12, side: int = 8, seed: int = 0) -> DatasetSpec:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, side, side, 3), np.uint8)
    write_arrays(path, images, np.arange(count) % len(names), names)
    return DatasetSpec(kind="arrays", path=path)


def opened(tmp_path: Path, names: tuple[str, ...], **options: Any) -> Shift:
    beside = arrays(tmp_path / "clean")
    shifted = arrays(tmp_path / "shifted", names, seed=1, **options)
    spec = ShiftSpec(kind="arrays", path=shifted.path, label="Sketches")
    return open_shift(spec, beside, open_dataset(beside, tmp_path), tmp_path)


def test_classes_are_matched_by_name_in_the_order_of_the_clean_dataset(tmp_path: Path) -> None:
    shift = opened(tmp_path, ("owl", "Dog", "cat", "frog"))
    assert shift.dataset.class_names == NAMES
    assert [NAMES[label] for label in shift.dataset.labels[:4]] == ["owl", "dog", "cat", "frog"]
    assert (shift.restricted, shift.needs_own_clean) == (False, False)


def test_a_subset_of_the_classes_is_restricted_and_has_its_own_clean_images(tmp_path: Path) -> None:
    shift = opened(tmp_path, ("owl", "dog"))
    assert shift.dataset.class_names == ("dog", "owl")
    assert shift.dataset.labels[:2].tolist() == [1, 0]
    assert (shift.restricted, shift.needs_own_clean) == (True, True)
    clean = open_dataset(arrays(tmp_path / "clean"), tmp_path)
    own = of_classes(clean, np.arange(8), shift.dataset.class_names, "Sketches")
    assert own.labels.tolist() == [0, 1, 0, 1]
    np.testing.assert_array_equal(own.images[:], clean.images[[1, 3, 5, 7]])


def test_classes_without_images_and_clean_images_of_a_shift_are_stated(tmp_path: Path) -> None:
    beside = arrays(tmp_path / "clean")
    clean = open_dataset(beside, tmp_path)
    chosen = np.flatnonzero(clean.labels < 2)
    write_arrays(tmp_path / "some", clean.images[chosen], clean.labels[chosen], NAMES)
    shift = open_shift(ShiftSpec(kind="arrays", path=tmp_path / "some", label="Some"), beside, clean, tmp_path)
    assert (shift.dataset.class_names, shift.needs_own_clean) == (NAMES[:2], True)
    assert "6 images, 2 of 4 classes" in shift.describe()
    assert "6 of its images are among the clean ones" in shift.note


def test_wordnet_ids_and_imagenets_names_are_the_same_classes() -> None:
    ids, names = ("n01440764", "n01443537"), ("tench", "goldfish")
    assert match_classes(ids[::-1], names, "a shift", "ImageNet").tolist() == [1, 0]
    assert match_classes(names[::-1], ids, "a shift", "ImageNet").tolist() == [1, 0]
    assert match_classes(("n01443537_goldfish",), ids, "a shift", "ImageNet").tolist() == [1]


def test_the_protocol_of_a_published_shift_restricts_and_is_stated(tmp_path: Path) -> None:
    ids = ("n01440764", "n01443537", "n01484850")
    for folder, kept in (("clean", ids), ("a", ids[1:])):
        for place, name in enumerate(kept):
            (tmp_path / folder / name).mkdir(parents=True)
            Image.new("RGB", (9, 9), (50 * place, 90, len(kept))).save(tmp_path / folder / name / "1.png")
    beside = DatasetSpec(kind="folder", path=tmp_path / "clean", image_size=8)
    spec = ShiftSpec(kind="imagenet-a", path=tmp_path / "a", label="ImageNet-A")
    shift = open_shift(spec, beside, open_dataset(beside, tmp_path), tmp_path)
    assert (shift.dataset.class_names, shift.restricted, shift.clean) == (ids[1:], True, "clean")
    assert "Hendrycks" in shift.source
    assert shift.note.startswith("published for comparison with the ImageNet validation set; ")
    assert shift.describe().startswith(
        "shift ImageNet-A: 2 images, 2 of 3 classes, compared with clean, predictions among these"
    )


def test_columns_of_a_list_follow_the_images_of_some_classes(tmp_path: Path) -> None:
    clean = open_dataset(arrays(tmp_path / "clean"), tmp_path)
    cameras = pa.array([f"c{place}" for place in range(12)])
    listed = replace(clean, metadata={"camera": cameras}, files=tuple("abcdefghijkl"))
    own = of_classes(listed, np.arange(8), ("dog", "owl"), "Sketches")
    assert own.metadata["camera"].to_pylist() == ["c1", "c3", "c5", "c7"]
    assert own.files == ("b", "d", "f", "h")


@pytest.mark.parametrize(
    ("names", "options", "says"),
    [
        (("cat", "fox"), {}, "shift 'Sketches': clean has no class 'fox' .*: name each class as there"),
        (("cat", "Cat"), {}, "shift 'Sketches' names the class 'cat' twice"),
        (NAMES, {"side": 9}, "9×9 and 8×8 pixels"),
    ],
)
def test_other_classes_and_sizes_are_refused(
    tmp_path: Path, names: tuple[str, ...], options: dict[str, Any], says: str
) -> None:
    with pytest.raises(FailmodesError, match=says):
        opened(tmp_path, names, **options)


def test_the_clean_images_themselves_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    beside = arrays(tmp_path / "clean")
    clean = open_dataset(beside, tmp_path)
    with pytest.raises(StudyError, match="shift 'Same' holds the images of clean itself"):
        open_shift(ShiftSpec(kind="arrays", path=tmp_path / "clean", label="Same"), beside, clean, tmp_path)
    with pytest.raises(StudyError, match="gone does not exist: expected a folder"):
        open_shift(ShiftSpec(kind="arrays", path=tmp_path / "gone", label="Gone"), beside, clean, tmp_path)


def test_two_classes_that_a_name_matches_are_refused() -> None:
    with pytest.raises(DataError, match="its class 'CAT' is both 'cat' and 'Cat' of them"):
        match_classes(("CAT",), ("cat", "Cat"), "a shift", "them")


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"label": "A"}, "kind: this key is missing"),
        ({"kind": "arrays", "path": "a"}, "a shift needs a `label`"),
        ({"kind": "array", "path": "a", "label": "A"}, "kind: unknown kind: did you mean 'arrays'"),
        ({"kind": "arrays", "label": "A"}, "needs `path`"),
        ({"kind": "arrays", "path": "a", "label": "A", "masks": "m"}, "masks: a shift has no masks"),
        ({"kind": "arrays", "path": "a", "label": "A", "severities": [1]}, "severities: unknown key"),
    ],
)
def test_keys_of_a_shift(keys: dict[str, Any], says: str) -> None:
    with pytest.raises(StudyError, match=says):
        validate(ShiftSpec, keys, "study.toml")


def test_image_sizes_are_those_of_the_dataset_where_the_layout_takes_them() -> None:
    beside = DatasetSpec(kind="folder", path=Path("clean"), image_size=32, resize=40)
    taken = ShiftSpec(kind="folder", path=Path("shifted"), label="A").beside(beside)
    assert (taken.image_size, taken.resize) == (32, 40)
    own = ShiftSpec(kind="folder", path=Path("shifted"), label="A", image_size=32).beside(beside)
    assert (own.image_size, own.resize) == (32, None)
    assert ShiftSpec(kind="arrays", path=Path("shifted"), label="A").beside(beside).image_size is None
