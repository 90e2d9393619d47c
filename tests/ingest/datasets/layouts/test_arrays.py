"""Images as arrays: opened as written; damaged or malicious files give one line; a kill leaves no whole file."""

from pathlib import Path

import numpy as np
import pytest
from encoded_files import npy

from failmodes.ingest.datasets.layout import DatasetSpec, open_dataset
from failmodes.ingest.datasets.layouts import arrays
from failmodes.ingest.datasets.layouts.arrays import (
    CLASSES_FILE,
    IMAGES_FILE,
    LABELS_FILE,
    write_arrays,
)
from failmodes.runtime.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 9, 8, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 0, 1, 1, 0])
NAMES = ("cat", 'a "dog", größer\n')


def header(text: str) -> bytes:
    """A `.npy` file of this header without any data."""
    padded = text.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded.encode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_arrays(tmp_path / "mine", IMAGES, LABELS, NAMES)
    return tmp_path / "mine"


def opened(folder: Path):
    return open_dataset(DatasetSpec(kind="arrays", path=folder), folder)


def test_what_was_written_is_opened(folder: Path) -> None:
    dataset = opened(folder)
    np.testing.assert_array_equal(dataset.images, IMAGES)
    np.testing.assert_array_equal(dataset.labels, LABELS)
    assert (dataset.class_names, dataset.name, dataset.label) == (NAMES, "arrays", "mine")
    assert {path.name for path in folder.iterdir()} == {IMAGES_FILE, LABELS_FILE, CLASSES_FILE}


DAMAGES = {
    "no images": (IMAGES_FILE, None, "images.npy does not exist: expected a folder of images.npy, labels.npy and"),
    "no labels": (LABELS_FILE, None, "labels.npy does not exist"),
    "no classes": (CLASSES_FILE, None, "classes.json does not exist: write the class names into it"),
    "truncated": (IMAGES_FILE, npy(IMAGES)[:-1], "images.npy is not a readable array"),
    "pickle": (LABELS_FILE, b"\x80\x04\x95\x06\x00\x00\x00\x00\x00\x00\x00]\x94K\x01a.", "not a readable array"),
    "array of objects": (LABELS_FILE, npy(np.array([None])), "labels.npy is not a readable array"),
    "header without end": (IMAGES_FILE, header("{'descr': ("), "images.npy is not a readable array"),
    "header that calls": (IMAGES_FILE, header("__import__('os').abort()"), "images.npy is not a readable array"),
    "large shape": (
        IMAGES_FILE, header(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({10**9}, 9, 8, 3)}}"), "a readable",
    ),
    "floats": (IMAGES_FILE, npy(IMAGES / np.float32(255)), r"must be uint8 \(N, H, W, 3\), not float32"),
    "channels first": (IMAGES_FILE, npy(IMAGES.transpose(0, 3, 1, 2)), r"not uint8 \(6, 3, 9, 8\)"),
    "fewer images": (IMAGES_FILE, npy(IMAGES[:5]), "5 images but labels of shape"),
    "float labels": (LABELS_FILE, npy(LABELS / 1), "labels.npy holds float64"),
    "label too large": (LABELS_FILE, npy(LABELS + 1), "label 2 of image 1 is out of range: expected 0 to 1"),
    "label beyond 63 bits": (LABELS_FILE, npy(LABELS.astype("u8") + 2**63), "out of range"),
    "no JSON": (CLASSES_FILE, b"cat, dog", "classes.json is not valid JSON"),
    "numbers": (CLASSES_FILE, b"[0, 1]", "classes.json must hold a list of class names"),
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


@pytest.mark.test_all
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


@pytest.mark.parametrize("last", [IMAGES_FILE, CLASSES_FILE])
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
