"""Corrupted datasets are recognized by layout: any name is a corruption, and what is not evaluated is listed."""

import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from benchmark_sets import (
    BLOODMNIST_C,
    CIFAR_10_C_BAR,
    IMAGENET_3DCC,
    IMAGENET_C_BAR,
    IMAGENET_C_BAR_PARAMETERS,
    darkened,
    write_arrays,
    write_medmnist_c,
    write_tree,
)

from failmodes.evaluate.study.study_file import check_study
from failmodes.evaluate.study.study_schema import Study
from failmodes.ingest.corrupted_datasets.corrupted_dataset import open_corrupted_dataset, recognize_layout
from failmodes.ingest.corrupted_datasets.published_source import PublishedSource
from failmodes.ingest.corruptions.catalog import corruptions_of_sets, name_in_set
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.layout import open_dataset
from failmodes.ingest.datasets.layouts.arrays import write_arrays as write_dataset
from failmodes.runtime.errors import DataError, FailmodesError, StudyError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (12, 16, 16, 3)).astype(np.uint8)
LABELS = np.array([0, 1, 2, 2, 1, 0, 0, 1, 2, 0, 1, 2])  # not periodic, as those of a real dataset
FILES = [f"{name}/{number:02d}.JPEG" for number, name in enumerate(np.array(["n01", "n02", "n03"])[LABELS])]
ORDER = np.argsort(FILES)
CLEAN = Dataset("x", "X", "test", IMAGES, LABELS, ("n01", "n02", "n03"))
CLEAN_TREE = Dataset(
    "x", "X", "test", IMAGES[ORDER], LABELS[ORDER], ("n01", "n02", "n03"), files=tuple(FILES[i] for i in ORDER)
)


def study_of(folder: Path, published: Path, names: object = ("all",), **keys: object) -> Study:
    content = {
        "name": "s", "output": "out", "dataset": {"kind": "digits"},
        "corruptions": {"names": list(names), "published": str(published), **keys},
    }  # fmt: skip
    return check_study(content, folder, require_models=False)


def opened(study: Study, dataset: Dataset = CLEAN, cache: Path | None = None) -> PublishedSource:
    return PublishedSource.from_spec(study.corruptions, dataset, cache)


SETS: dict[str, tuple[str, Callable[[Path], Path], tuple[str, ...], Dataset]] = {
    "CIFAR-10-C-bar": ("cifar-c", lambda p: write_arrays(p, IMAGES, LABELS, CIFAR_10_C_BAR), CIFAR_10_C_BAR, CLEAN),
    "ImageNet-C-bar": (
        "imagenet-c",
        lambda p: write_tree(p, IMAGES, FILES, IMAGENET_C_BAR),
        IMAGENET_C_BAR,
        CLEAN_TREE,
    ),
    "ImageNet-3DCC": ("imagenet-c", lambda p: write_tree(p, IMAGES, FILES, IMAGENET_3DCC), IMAGENET_3DCC, CLEAN_TREE),
    "MedMNIST-C": ("medmnist-c", lambda p: write_medmnist_c(p, IMAGES, LABELS, BLOODMNIST_C), BLOODMNIST_C, CLEAN),
}


@pytest.mark.test_all
@pytest.mark.parametrize(("layout", "write", "names", "clean"), SETS.values(), ids=SETS)
def test_every_name_of_a_set_is_evaluated(tmp_path: Path, layout: str, write, names, clean: Dataset) -> None:
    folder = write(tmp_path / "set")
    assert recognize_layout(folder, lambda: None)[0].name == layout
    study = study_of(tmp_path, Path("set"))
    assert sorted(study.corruptions.names) == sorted(names)
    assert len(study.cells) == 1 + 5 * len(names)
    source = opened(study, clean, tmp_path / "cache")
    assert (source.notes, source.pairing.paired) == ((), True), (source.notes, source.pairing)
    for name in names:
        found = source.corrupted(None, name, Decimal(4), np.array([5, 0]))
        np.testing.assert_array_equal(found, darkened(np.asarray(clean.images), name, 4)[[5, 0]])


def test_a_name_outside_the_catalog_is_a_corruption_of_its_own(tmp_path: Path) -> None:
    write_arrays(tmp_path / "set", IMAGES, LABELS, ["sparkles", "fog"])
    study = study_of(tmp_path, tmp_path / "set", ["sparkles"])
    assert corruptions_of_sets()["sparkles"].row() == {
        "corruption": "sparkles", "corruption_label": "Sparkles", "corruption_group": "other", "corruption_order": 2000,
        "headline": False, "dose_ordered": False, "interpolable": False,
    }  # fmt: skip
    (note,) = opened(study).notes
    assert (note.topic, note.is_warning) == ("corruptions_left_out", False)
    assert note.text == "set also holds 1 corruption that this study leaves out: fog"
    masks = np.ones((2, 16, 16), np.bool_)
    assert opened(study).moved_masks(masks, "sparkles", 1, [0, 1]) is None, "whether objects move is unknown"
    with pytest.raises(StudyError, match="'sparkles' has no recipe"):
        check_study(
            {"name": "s", "output": "o", "dataset": {"kind": "digits"}, "corruptions": {"names": ["sparkles"]}},
            tmp_path, require_models=False,
        )  # fmt: skip
    with pytest.raises(StudyError, match=r"unknown corruption 'sparkle': did you mean 'sparkles'"):
        study_of(tmp_path, tmp_path / "set", ["sparkle"])


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("Perlin-Noise", "perlin_noise"), ("3d fog", "3d_fog"), ("elastic", "elastic_transform"), ("none", None),
        ("all", None), ("..", None), ("a" * 61, None), ("fög", None), ("a\x1b[2J", None), ("a/b", None), ("", None),
    ],
)  # fmt: skip
def test_names_of_files_become_names_of_corruptions(given: str, name: str | None) -> None:
    assert name_in_set(given) == name


def test_hostile_and_reserved_names_are_listed_and_not_read(tmp_path: Path) -> None:
    folder = write_arrays(tmp_path / "set", IMAGES, LABELS, ["fog", "none", "a\x1b[2Jb", "x" * 80])
    (folder / "notes").mkdir()
    (folder / "README.txt").write_text("a text")
    (folder / "more.zip").write_bytes(b"zip")
    study = study_of(tmp_path, folder)
    assert study.corruptions.names == ["fog"]
    (note,) = opened(study).notes
    assert note.is_warning
    for part in ("none.npy", "a\\x1b[2Jb.npy", "notes/", "more.zip"):
        assert part in note.text
    assert "README" not in note.text
    assert note.text.isprintable()


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    folder = write_arrays(tmp_path / "set", IMAGES, LABELS, ["perlin_noise", "Perlin-Noise"])
    with pytest.raises(FailmodesError, match="perlin_noise has two files"):
        study_of(tmp_path, folder)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def test_incomplete_arrays_are_listed_and_the_rest_is_evaluated(tmp_path: Path) -> None:
    folder = write_arrays(tmp_path / "set", IMAGES, LABELS, ["fog", "lines", "ripple", "sparkles"])
    np.save(folder / "lines.npy", np.load(folder / "lines.npy")[: 3 * 12])
    np.save(folder / "ripple.npy", np.load(folder / "ripple.npy")[:-1])
    cut(folder / "sparkles.npy")
    study = study_of(tmp_path, folder)
    assert study.corruptions.names == ["fog", "lines"]
    assert [float(level) for level in study.severities_of("lines")] == [1, 2, 3]
    assert len(study.cells) == 1 + 5 + 3
    source = opened(study)
    (note,) = source.notes
    assert (note.topic, note.is_warning) == ("incomplete_dataset", True)
    for part in ("ripple.npy holds 59 images: expected 60", "sparkles.npy is truncated", "lines lacks severity 4, 5"):
        assert part in note.text
    np.testing.assert_array_equal(source.corrupted(None, "lines", 3, [1]), darkened(IMAGES, "lines", 3)[[1]])
    for name, message in (("lines", "no lines at severity 4"), ("ripple", "holds 59"), ("sparkles", "is truncated")):
        with pytest.raises(FailmodesError, match=message):
            opened(study_of(tmp_path, folder, [name]))


def test_sets_of_fewer_severities_are_read(tmp_path: Path) -> None:
    folder = write_arrays(tmp_path / "set", IMAGES, LABELS, ["ripple"])
    np.save(folder / "ripple.npy", np.load(folder / "ripple.npy")[:36])
    np.save(folder / "labels.npy", np.tile(LABELS, 3))
    study = study_of(tmp_path, folder)
    assert [int(level) for level in study.severities] == [1, 2, 3]
    (note,) = opened(study).notes
    assert note.text == "set holds severities 1, 2, 3 instead of 1 to 5"
    np.save(folder / "labels.npy", LABELS)
    assert opened(study_of(tmp_path, folder)).published.image_count == 12, "labels may stand once"


def test_incomplete_trees_are_listed_and_the_rest_is_evaluated(tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "set", IMAGES, FILES, ["fog", "flash"])
    shutil.rmtree(folder / "flash" / "4")
    (folder / "fog" / "2" / FILES[3]).unlink()
    (folder / "fog" / "6" / "n01").mkdir(parents=True)
    (folder / "previews" / "fog").mkdir(parents=True)
    study = study_of(tmp_path, folder)
    source = opened(study, CLEAN_TREE)
    assert len(study.cells) == 1 + 5 + 4
    gaps, unread, paired = source.notes
    assert "flash lacks severity 4" in gaps.text
    assert "1 of 12 images are left out of every corruption and severity" in gaps.text
    assert "fog/2 holds 11" in gaps.text
    assert "previews/" in unread.text
    assert "fog/6/" in unread.text
    assert paired.text == "11 of 12 clean images and of 11 images of set pair: only these are evaluated"
    assert source.published.image_count == 11
    assert source.pairing.paired
    with pytest.raises(DataError, match=r"fog/2 lacks n03/03\.JPEG"):
        opened(study_of(tmp_path, folder, ["fog"]), CLEAN_TREE)
    for file in FILES[4:8]:
        (folder / "fog" / "3" / file).unlink()
    with pytest.raises(DataError, match="fog/3 lacks"):
        opened(study_of(tmp_path, folder), CLEAN_TREE)


def test_archives_in_another_order_truncated_or_of_several_labels_are_listed(tmp_path: Path) -> None:
    folder = write_medmnist_c(tmp_path / "bloodmnist", IMAGES, LABELS, ["bubble", "saturate", "pixelate"])
    write_medmnist_c(folder, IMAGES[::-1], LABELS[::-1], ["stain_deposit"])
    cut(folder / "pixelate.npz")
    study = study_of(tmp_path, folder)
    assert sorted(study.corruptions.names) == ["bubble", "saturate"]
    (note,) = opened(study, CLEAN, tmp_path / "cache").notes
    assert "stain_deposit.npz has labels in another order" in note.text
    assert "pixelate.npz is truncated or not an .npz archive" in note.text
    many = write_medmnist_c(tmp_path / "chestmnist", IMAGES, LABELS, ["bubble"])
    np.savez(many / "bubble.npz", test_images=np.tile(IMAGES, (5, 1, 1, 1)), test_labels=np.zeros((60, 14), np.uint8))
    with pytest.raises(StudyError, match="14 labels per image: only datasets with one label"):
        study_of(tmp_path, many)
    write_medmnist_c(tmp_path / "all" / "bloodmnist", IMAGES, LABELS, ["bubble"])
    with pytest.raises(StudyError, match="holds several datasets"):
        study_of(tmp_path, tmp_path / "all")


def test_gray_archives_become_three_equal_channels(tmp_path: Path) -> None:
    gray = IMAGES[..., 0]
    folder = write_medmnist_c(tmp_path / "octmnist", gray, LABELS, ["contrast_down"])
    clean = Dataset("x", "X", "test", np.repeat(gray[..., None], 3, axis=3), LABELS, ("a", "b", "c"), gray=True)
    found = opened(study_of(tmp_path, folder), clean, tmp_path / "cache")
    assert found.pairing.paired
    expected = np.repeat(darkened(gray, "contrast_down", 5)[..., None], 3, axis=3)
    np.testing.assert_array_equal(found.corrupted(None, "contrast_down", 5, np.arange(12)), expected)


@pytest.mark.test_all
def test_folders_named_by_parameters_are_severities_by_rank(tmp_path: Path) -> None:
    write_tree(tmp_path / "set", IMAGES, FILES, IMAGENET_C_BAR_PARAMETERS)
    study = study_of(tmp_path, tmp_path / "set")
    assert len(study.cells) == 1 + 5 * 10
    source = opened(study, CLEAN_TREE)
    (note,) = source.notes
    assert not note.is_warning
    for name, levels in IMAGENET_C_BAR_PARAMETERS.items():
        assert (f"{name} {'/'.join(levels)}" in note.text) == (name != "brownish_noise"), "its parameters are 1 to 5"
        for severity in range(1, 6):
            found = source.corrupted(None, name, severity, np.arange(12))
            np.testing.assert_array_equal(found, darkened(np.asarray(CLEAN_TREE.images), name, severity))


FOLDERS: dict[str, tuple[str, int, str]] = {
    "from zero": ("0 1 2 3 4", 5, "severities are their ranks: fog 0/1/2/3/4"),
    "from zero to five": ("0 1 2 3 4 5", 5, "fog/0/ (severities are above 0 and up to 5, to thousandths)"),
    "some of one to five": ("1 3 5", 3, "fog lacks severity 2, 4"),
    "even": ("2 4 6 8 10", 5, "severities are their ranks: fog 2/4/6/8/10"),
    "halves": ("0.0625 0.125 0.25 0.5", 4, "severities are their ranks: fog 0.0625/0.125/0.25/0.5"),
    "more than five": ("0.1 0.2 0.3 0.4 0.5 0.6", 0, "has 6 folders named by numbers, 0.1, 0.2, 0.3 and 3 more"),
}


@pytest.mark.parametrize(("folders", "count", "said"), FOLDERS.values(), ids=FOLDERS)
def test_folders_of_severities_that_are_not_one_to_five_are_listed(tmp_path, folders: str, count: int, said: str):
    write_tree(tmp_path / "set", IMAGES[:4], FILES[:4], {"fog": folders.split(), "snow": list("12345")})
    study = study_of(tmp_path, tmp_path / "set")
    assert len([cell for cell in study.cells if cell.corruption == "fog"]) == count
    assert said in "; ".join(
        note.text for note in opened(study_of(tmp_path, tmp_path / "set", ["all"]), CLEAN_TREE).notes
    )


CYCLIC = np.arange(60) % 2
READINGS: dict[str, tuple[int, int, int, int | str]] = {  # severities of images and of labels, clean images, result
    "three of five": (3, 3, 20, 3),
    "labels once": (3, 1, 20, 3),
    "one": (1, 1, 60, 1),
    "five as published": (5, 5, 12, 5),
    "another clean size": (3, 3, 40, "5 severities of 12 or 3 severities of 20"),
}


@pytest.mark.parametrize(("held", "labeled", "clean", "result"), READINGS.values(), ids=READINGS)
def test_the_clean_size_decides_where_labels_repeat_in_several_ways(tmp_path, held, labeled, clean, result) -> None:
    folder, size = tmp_path / "set", 60 // held
    write_arrays(folder, np.resize(IMAGES, (size, 16, 16, 3)), CYCLIC[:size], ["fog"])
    np.save(folder / "fog.npy", np.load(folder / "fog.npy")[: held * size])
    np.save(folder / "labels.npy", CYCLIC[: labeled * size])
    write_dataset(tmp_path / "clean", np.resize(IMAGES, (clean, 16, 16, 3)), CYCLIC[:clean], ("a", "b", "c"))
    content = {
        "name": "s", "output": "out", "dataset": {"kind": "arrays", "path": "clean"},
        "corruptions": {"names": ["all"], "published": "set"},
    }  # fmt: skip
    if isinstance(result, str):
        with pytest.raises(StudyError, match=result):
            check_study(content, tmp_path, require_models=False)
        return
    study = check_study(content, tmp_path, require_models=False)
    assert len(study.cells) == 1 + result
    source = opened(study, open_dataset(study.dataset, study.cache))
    assert (source.published.image_count, source.pairing.paired) == (size, True)


@pytest.mark.parametrize("count", [6, 7, 9])
def test_more_than_five_severities_in_an_array_are_refused(tmp_path: Path, count: int) -> None:
    folder = write_arrays(tmp_path / "set", IMAGES, LABELS, ["fog"])
    np.save(folder / "fog.npy", np.resize(np.load(folder / "fog.npy"), (12 * count, 16, 16, 3)))
    np.save(folder / "labels.npy", np.tile(LABELS, count))
    with pytest.raises(DataError, match=f"are {count} severities of the 12 clean images: at most 5"):
        open_corrupted_dataset(folder, (), clean_count=12)


def reordered(folder: Path) -> None:
    np.save(folder / "labels.npy", np.tile(LABELS[::-1], 5))


def without(folder: Path, start: str) -> None:
    for path in folder.rglob(f"{start}*"):
        shutil.rmtree(path)


SOME = np.flatnonzero(LABELS[ORDER] < 2)
FEW = Dataset(
    "x",
    "X",
    "test",
    IMAGES[ORDER][SOME],
    LABELS[ORDER][SOME],
    ("n01", "n02"),
    files=tuple(FILES[i] for i in ORDER[SOME]),
)
OTHERS = Dataset("x", "X", "test", IMAGES, LABELS, ("n01", "n02", "n03"), files=tuple(f"{f}x.png" for f in FILES))
NOTES: dict[str, tuple[Callable[[Path], object], Dataset, str, bool, str]] = {
    "labels in another order": (reordered, CLEAN, "pairing", True, "agree); pixels match, so its labels are probably"),
    "another order": (lambda p: write_arrays(p, IMAGES[::-1], LABELS[::-1], ["ripple"]), CLEAN, "pairing", True,
                      "pixels differ too"),
    "other names": (lambda _: None, OTHERS, "pairing", False, "no published image has the name of a clean one"),
    "a class less": (lambda p: without(p, "n03"), OTHERS, "classes_absent", True, "no image of 1 of 3 classes (n03)"),
    "other classes": (lambda _: None, FEW, "classes_left_out", False, "1 of 3 classes are not in the clean dataset: "
                      "their 4 of 12 images are left out"),
    "a renamed class": (lambda p: [one.rename(one.with_name("m03")) for one in p.rglob("n03")], CLEAN_TREE,
                        "classes_left_out", True, "it has no image of n03"),
    "files elsewhere": (lambda p: np.save(p / "fog" / "1" / "a.npy", LABELS), CLEAN_TREE, "incomplete_dataset", True,
                        "1 entries are not read (fog/1/a.npy)"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "clean", "topic", "is_warning", "said"), NOTES.values(), ids=NOTES)
def test_what_does_not_fit_the_clean_images_is_a_note(
    tmp_path, change, clean: Dataset, topic, is_warning, said
) -> None:
    folder = tmp_path / "set"
    if clean is CLEAN:
        write_arrays(folder, IMAGES, LABELS, ["ripple"])
    else:
        write_tree(folder, IMAGES, FILES, ["fog"])
    change(folder)
    notes = {note.topic: note for note in opened(study_of(tmp_path, folder), clean).notes}
    assert notes[topic].is_warning == is_warning
    assert said in notes[topic].text


def test_a_label_that_is_no_class_of_the_clean_dataset_is_refused(tmp_path: Path) -> None:
    folder = write_arrays(tmp_path / "set", IMAGES, LABELS + 1, ["ripple"])
    with pytest.raises(DataError, match="label 3 is out of range: the clean dataset has 3 classes"):
        opened(study_of(tmp_path, folder))


def test_a_missing_folder_is_an_error_only_when_images_are_needed(tmp_path: Path) -> None:
    study = study_of(tmp_path, tmp_path / "gone", ["sparkles", "fog"])
    assert study.corruptions.names == ["sparkles", "fog"]
    with pytest.raises(StudyError, match="gone is not a folder"):
        open_corrupted_dataset(tmp_path / "gone", ("fog",))
