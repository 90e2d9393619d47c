"""CIFAR in its three layouts: the same images whatever the layout, and clear errors for damaged ones."""

import hashlib
import os
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cifar_files import COUNT, IMAGES, LABELS, write_parquet
from encoded_files import encoded

from failmodes.ingest.datasets.layout import DatasetSpec, open_dataset
from failmodes.ingest.datasets.layouts.cifar import CIFAR10_CLASSES, VARIANTS, read_pickle
from failmodes.runtime.errors import DataError


def planes(images: np.ndarray) -> np.ndarray:
    return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


def write_python(folder: Path, kind: str, split: str = "test") -> Path:
    """As the published files: protocol 2, keys and pixels as Python 2 strings, which are bytes now."""
    folder.mkdir(parents=True, exist_ok=True)
    variant, names = VARIANTS[kind], VARIANTS[kind].batches[split]
    for name, part in zip(names, np.array_split(np.arange(COUNT), len(names)), strict=True):
        batch = {b"data": planes(IMAGES[part]), variant.label_key: LABELS[kind][part].tolist(), b"batch_label": b"x"}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    return folder


def write_binary(folder: Path, kind: str, split: str = "test") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    names = VARIANTS[kind].batches[split]
    for name, part in zip(names, np.array_split(np.arange(COUNT), len(names)), strict=True):
        fine = LABELS[kind][part].astype(np.uint8)[:, None]
        before = fine if kind == "cifar10" else np.hstack([fine // 5, fine])
        (folder / f"{name}.bin").write_bytes(np.hstack([before, planes(IMAGES[part])]).tobytes())
    return folder


WRITERS = {"python": write_python, "binary": write_binary, "parquet": write_parquet}


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("kind", ["cifar10", "cifar100"])
@pytest.mark.parametrize("layout", WRITERS)
def test_every_layout_gives_the_same_data_set(tmp_path: Path, layout: str, kind: str, split: str) -> None:
    folder = WRITERS[layout](tmp_path / layout, kind, split)
    dataset = open_dataset(DatasetSpec(kind=kind, path=folder), tmp_path / "cache", split)
    assert dataset.split == split
    assert dataset.labels.dtype == np.int64
    np.testing.assert_array_equal(dataset.labels, LABELS[kind])
    np.testing.assert_array_equal(dataset.images[:], IMAGES)
    np.testing.assert_array_equal(dataset.images[3:17], IMAGES[3:17])
    ids = np.array([19, 0, 7, 7])
    np.testing.assert_array_equal(dataset.images[ids], IMAGES[ids])
    hasher = hashlib.blake2b(digest_size=8)
    for array in (IMAGES, LABELS[kind].astype(np.int64)):
        hasher.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    assert dataset.dataset_id == hasher.hexdigest()
    assert dataset.note is None


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (os.environ["MALFORMED_FOLDER"],)


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MALFORMED_FOLDER", str(tmp_path / "side effect"))
    content = pickle.dumps({b"data": Malicious(), b"labels": [0]}, protocol=2)
    (tmp_path / "test_batch").write_bytes(content)
    with pytest.raises(DataError, match=r"test_batch is refused: it asks for (posix|nt)\.mkdir"):
        open_dataset(DatasetSpec(kind="cifar10", path=tmp_path), tmp_path)
    assert not (tmp_path / "side effect").exists()
    pickle.loads(content)  # the same bytes do run elsewhere, so the test can fail
    assert (tmp_path / "side effect").exists()


@pytest.mark.parametrize(
    "program",
    [b"cbuiltins\neval\n(V1+1\ntR.", b"cos\nsystem\n(Vtrue\ntR.", b"cnumpy\nload\n(Vx\ntR.", b"c_codecs\ndecode\n."],
    ids=["eval", "system", "numpy.load", "decode"],
)
def test_only_arrays_may_be_built(tmp_path: Path, program: bytes) -> None:
    (tmp_path / "p").write_bytes(program)
    with pytest.raises(DataError, match="is refused: it asks for"):
        read_pickle(tmp_path / "p")


def test_jpeg_copies_are_found_by_their_bytes_and_named(tmp_path: Path) -> None:
    folder = write_parquet(tmp_path / "hf", "cifar10", image="image", jpegs=3)
    dataset = open_dataset(DatasetSpec(kind="cifar10", path=folder), tmp_path)
    assert dataset.label == "CIFAR-10 (JPEG copy)"
    assert dataset.note is not None
    assert "3 of 20" in dataset.note
    relabeled = open_dataset(DatasetSpec(kind="cifar10", path=folder, label="Mine"), tmp_path)
    assert (relabeled.label, relabeled.note) == ("Mine", dataset.note)


@pytest.mark.test_all
def test_real_cifar10_is_the_jpeg_copy_and_decodes_in_seconds(real_data: Path, tmp_path: Path) -> None:
    dataset = open_dataset(DatasetSpec(kind="cifar10", path=real_data / "cifar10"), tmp_path)
    assert dataset.label == "CIFAR-10 (JPEG copy)"
    assert dataset.class_names == CIFAR10_CLASSES
    np.testing.assert_array_equal(dataset.labels, np.arange(10_000) % 10)
    means = np.asarray(dataset.images[:]).mean(axis=(0, 1, 2)) / 255
    np.testing.assert_allclose(means, [0.4941, 0.4851, 0.4504], atol=5e-5)


def test_images_of_several_row_groups_are_read_whole(tmp_path: Path) -> None:
    """As in the published files, whose row groups have 2,000 images and a dictionary each."""
    pixels = np.random.default_rng(0).integers(0, 256, (700, 32, 32, 3), np.uint8)
    cells = [{"bytes": encoded(image), "path": None} for image in pixels]
    table = pa.table({"img": cells, "label": np.arange(700) % 10})
    pq.write_table(table, tmp_path / "test-0.parquet", row_group_size=300)
    dataset = open_dataset(DatasetSpec(kind="cifar10", path=tmp_path), tmp_path / "cache")
    assert np.array_equal(dataset.images, pixels)
