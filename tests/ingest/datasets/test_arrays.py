"""Images as arrays: opened as written; damaged or malicious files give one line; a kill leaves no whole file."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from failmodes.evaluate.study.study_file import read_study
from failmodes.ingest.datasets import arrays
from failmodes.ingest.datasets.arrays import (
    CLASSES_FILE,
    IMAGES_FILE,
    LABELS_FILE,
    NOTE_FILE,
    open_arrays,
    write_arrays,
)
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.specification import DatasetSpec
from failmodes.warehouse.errors import DataError, StorageError, StudyError

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 9, 8, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 0, 1, 1, 0])
NAMES = ("cat", 'a "dog", größer\n')


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def header(text: str) -> bytes:
    """A `.npy` file of this header without any data."""
    padded = text.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded.encode()


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr("arr_0.npy", npy(IMAGES))
    return file.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_arrays(tmp_path / "mine", IMAGES, LABELS, NAMES)
    return tmp_path / "mine"


def opened(folder: Path):
    return open_arrays(folder, "test", declared_split="test")


def test_what_was_written_is_opened_and_stays_mapped(folder: Path) -> None:
    dataset = opened(folder)
    assert isinstance(dataset.images, np.memmap)
    np.testing.assert_array_equal(dataset.images, IMAGES)
    np.testing.assert_array_equal(dataset.labels, LABELS)
    assert (dataset.class_names, dataset.name, dataset.label) == (NAMES, "arrays", "mine")
    assert {path.name for path in folder.iterdir()} == {IMAGES_FILE, LABELS_FILE, CLASSES_FILE}


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i4", "u8"])
def test_labels_of_any_whole_numbers_and_images_in_any_order_are_taken(folder: Path, dtype: str) -> None:
    (folder / LABELS_FILE).write_bytes(npy(LABELS.astype(dtype)))
    (folder / IMAGES_FILE).write_bytes(npy(np.asfortranarray(IMAGES)))
    dataset = opened(folder)
    assert dataset.labels.dtype == np.int64
    np.testing.assert_array_equal(dataset.labels, LABELS)
    np.testing.assert_array_equal(dataset.images[2:4], IMAGES[2:4])


def test_more_images_than_are_written_at_a_time(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(arrays, "BLOCK_IMAGES", 4)
    write_arrays(tmp_path, np.flip(IMAGES, 1), LABELS, NAMES)
    np.testing.assert_array_equal(opened(tmp_path).images, IMAGES[:, ::-1])


def test_a_study_opens_them_by_kind(folder: Path) -> None:
    spec = DatasetSpec(kind="arrays", path=folder, label="Mine")
    dataset = open_dataset(spec, folder / "cache")
    assert (dataset.label, dataset.dataset_id) == ("Mine", opened(folder).dataset_id)
    path = folder.parent / "study.toml"
    path.write_text('name = "a"\noutput = "out"\n[dataset]\nkind = "arrays"\npath = "mine"\n')
    study = read_study(path, require_models=False)
    assert open_dataset(study.dataset, study.cache).dataset_id == dataset.dataset_id


DAMAGES = {
    "no images": (IMAGES_FILE, None, "images.npy does not exist: expected a folder of images.npy, labels.npy and"),
    "no labels": (LABELS_FILE, None, "labels.npy does not exist"),
    "no classes": (CLASSES_FILE, None, "classes.json does not exist: write the class names into it"),
    "empty file": (IMAGES_FILE, b"", "images.npy is no array that can be read"),
    "truncated": (IMAGES_FILE, npy(IMAGES)[:-1], "images.npy is no array that can be read"),
    "truncated header": (LABELS_FILE, npy(LABELS)[:40], "labels.npy is no array that can be read"),
    "pickle": (LABELS_FILE, b"\x80\x04\x95\x06\x00\x00\x00\x00\x00\x00\x00]\x94K\x01a.", "no array that can be read"),
    "array of objects": (LABELS_FILE, npy(np.array([None])), "labels.npy is no array that can be read"),
    "archive": (IMAGES_FILE, archive(), "images.npy is no array that can be read"),
    "header without end": (IMAGES_FILE, header("{'descr': ("), "images.npy is no array that can be read"),
    "header that calls": (IMAGES_FILE, header("__import__('os').abort()"), "images.npy is no array that can be read"),
    "endless shape": (
        IMAGES_FILE, header(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({10**30}, 9, 8, 3)}}"), "no array",
    ),
    "large shape": (
        IMAGES_FILE, header(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({10**9}, 9, 8, 3)}}"), "no array",
    ),
    "floats": (IMAGES_FILE, npy(IMAGES / np.float32(255)), r"must be uint8 \(N, H, W, 3\), not float32"),
    "channels first": (IMAGES_FILE, npy(IMAGES.transpose(0, 3, 1, 2)), r"not uint8 \(6, 3, 9, 8\)"),
    "gray": (IMAGES_FILE, npy(IMAGES[..., 0]), r"not uint8 \(6, 9, 8\)"),
    "no pixels": (IMAGES_FILE, npy(np.zeros((6, 0, 8, 3), np.uint8)), r"not uint8 \(6, 0, 8, 3\)|no array"),
    "fewer images": (IMAGES_FILE, npy(IMAGES[:5]), "5 images but labels of shape"),
    "float labels": (LABELS_FILE, npy(LABELS / 1), "labels.npy holds float64: expected whole numbers"),
    "one-hot labels": (LABELS_FILE, npy(np.eye(2, dtype=int)[LABELS]), "labels of shape"),
    "label too large": (LABELS_FILE, npy(LABELS + 1), "label 2 of image 1 is out of range: expected 0 to 1"),
    "label below 0": (LABELS_FILE, npy(LABELS - 1), "label -1 of image 0 is out of range"),
    "label beyond 63 bits": (LABELS_FILE, npy(LABELS.astype("u8") + 2**63), "out of range"),
    "no JSON": (CLASSES_FILE, b"cat, dog", "classes.json is no JSON that can be read"),
    "no UTF-8": (CLASSES_FILE, '["ä"]'.encode("latin-1"), "classes.json is no JSON that can be read"),
    "deep JSON": (CLASSES_FILE, b"[" * 100_000, "classes.json is no JSON that can be read"),
    "half a character": (CLASSES_FILE, b'["\\ud800", "b"]', "classes.json is no JSON that can be read"),
    "mapping": (CLASSES_FILE, b'{"cat": 0}', "classes.json must hold a list of class names"),
    "numbers": (CLASSES_FILE, b"[0, 1]", "classes.json must hold a list of class names"),
    "no names": (CLASSES_FILE, b"[]", "classes.json must hold a list of class names"),
    "name twice": (CLASSES_FILE, b'["cat", "cat"]', "classes.json names the class 'cat' twice"),
    "name too few": (CLASSES_FILE, b'["cat"]', "label 1 of image 1 is out of range"),
    "large file": (CLASSES_FILE, b" " * ((16 << 20) + 1), "classes.json: it is larger than 16.8 MB"),
}  # fmt: skip


@pytest.mark.parametrize(("file", "content", "said"), DAMAGES.values(), ids=DAMAGES)
def test_damaged_and_malformed_files_are_one_line(folder: Path, file: str, content: bytes | None, said: str) -> None:
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_bytes(content)
    with pytest.raises(DataError, match=said) as refused:
        opened(folder)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("seed", range(3))
def test_bytes_changed_at_random_are_a_data_error_or_another_data_set(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = {name: (folder / name).read_bytes() for name in (IMAGES_FILE, LABELS_FILE, CLASSES_FILE)}
    refused = 0
    for _ in range(150):
        name = rng.choice(list(whole))
        content = bytearray(whole[name])
        for place in rng.integers(0, min(len(content), 128), 3):
            content[place] = rng.choice([*b"(){}[]',:0-9 \n", rng.integers(256)])
        (folder / name).write_bytes(content)
        try:
            assert isinstance(opened(folder).dataset_id, str)
        except DataError:
            refused += 1
        (folder / name).write_bytes(whole[name])
    assert refused > 50


def test_a_folder_is_one_split(folder: Path) -> None:
    with pytest.raises(DataError, match="is its test split: a folder of arrays holds one"):
        open_arrays(folder, "train", declared_split="test")
    assert open_arrays(folder, "train", declared_split="train").split == "train"


def test_a_folder_that_is_not_there_says_what_it_should_hold(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"does not exist: expected a folder that holds images\.npy, labels\.npy and"):
        open_dataset(DatasetSpec(kind="arrays", path=tmp_path / "none"), tmp_path)


def test_they_need_a_path_and_keep_their_size() -> None:
    with pytest.raises(ValueError, match="kind 'arrays' needs `path`"):
        DatasetSpec(kind="arrays")
    with pytest.raises(ValueError, match="`image_size` is for kind 'folder': arrays images keep their size"):
        DatasetSpec(kind="arrays", path=Path("mine"), image_size=32)


def test_gray_arrays_stay_gray_and_others_are_refused(folder: Path, tmp_path: Path) -> None:
    gray = np.repeat(IMAGES[..., :1], 3, axis=-1)
    write_arrays(tmp_path / "gray", gray, LABELS, NAMES)
    dataset = open_dataset(DatasetSpec(kind="arrays", path=tmp_path / "gray", gray=True), tmp_path)
    assert (dataset.gray, dataset.note) == (True, "gray, and kept so by corruptions")
    assert open_dataset(DatasetSpec(kind="digits", gray=True), tmp_path).gray
    with pytest.raises(DataError, match="image 0 is not gray, its channels differ"):
        open_dataset(DatasetSpec(kind="arrays", path=folder, gray=True), tmp_path)


def test_a_note_is_shown_with_the_images(folder: Path) -> None:
    assert opened(folder).note is None
    write_arrays(folder, IMAGES, LABELS, NAMES, "7 gray images repeated")
    assert "[7 gray images repeated]" in opened(folder).describe()
    for content, said in ((b"two\nlines", "several lines"), (b"\xff", "no text in UTF-8"), (b"a" * 3000, "note.txt")):
        (folder / NOTE_FILE).write_bytes(content)
        with pytest.raises(DataError, match=said):
            opened(folder)
    write_arrays(folder, IMAGES, LABELS, NAMES)
    assert not (folder / NOTE_FILE).exists()


@pytest.mark.parametrize("last", [IMAGES_FILE, LABELS_FILE, CLASSES_FILE])
@pytest.mark.parametrize("is_new", [True, False], ids=["new", "over a whole one"])
def test_a_kill_leaves_no_folder_that_counts_as_whole(tmp_path: Path, monkeypatch, last: str, *, is_new: bool) -> None:
    if not is_new:
        write_arrays(tmp_path, IMAGES[::-1], LABELS, NAMES)
    whole = arrays.atomic_write

    def killed(path: Path):
        if path.name == last:
            raise KeyboardInterrupt
        return whole(path)

    monkeypatch.setattr(arrays, "atomic_write", killed)
    monkeypatch.setattr(arrays, "atomic_write_bytes", lambda path, _: killed(path))
    with pytest.raises(KeyboardInterrupt):
        write_arrays(tmp_path, IMAGES, LABELS, NAMES)
    assert not (tmp_path / CLASSES_FILE).exists()
    monkeypatch.undo()
    write_arrays(tmp_path, IMAGES, LABELS, NAMES)
    np.testing.assert_array_equal(opened(tmp_path).images, IMAGES)


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        write_arrays(tmp_path / "file" / "mine", IMAGES, LABELS, NAMES)


def test_class_names_are_plain_json_for_everyone(folder: Path) -> None:
    assert json.loads((folder / CLASSES_FILE).read_text(encoding="utf-8")) == list(NAMES)
