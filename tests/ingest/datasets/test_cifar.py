"""CIFAR in its three layouts: the same images whatever the layout, and clear errors for damaged ones."""

import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cifar_files import COUNT, IMAGES, LABELS, encoded, write_parquet

from failmodes.ingest.datasets.cifar import CIFAR10_CLASSES, CIFAR100_CLASSES, VARIANTS, read_pickle
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.specification import DatasetSpec
from failmodes.warehouse.errors import DataError, StudyError


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


def test_class_names_come_from_the_metadata_or_are_built_in(tmp_path: Path) -> None:
    named = open_dataset(DatasetSpec(kind="cifar100", path=write_parquet(tmp_path / "hf", "cifar100")), tmp_path)
    assert named.class_names[:2] == ("class 0", "class 1")
    built_in = open_dataset(DatasetSpec(kind="cifar100", path=write_binary(tmp_path / "b", "cifar100")), tmp_path)
    assert built_in.class_names == CIFAR100_CLASSES
    assert len(set(CIFAR100_CLASSES)) == 100
    assert list(CIFAR100_CLASSES) == sorted(CIFAR100_CLASSES)
    assert list(CIFAR10_CLASSES) == sorted(CIFAR10_CLASSES)


def test_the_folder_above_will_do(tmp_path: Path) -> None:
    write_python(tmp_path / "cifar-10-batches-py", "cifar10")
    assert len(open_dataset(DatasetSpec(kind="cifar10", path=tmp_path), tmp_path).labels) == COUNT


def test_binary_images_are_mapped_and_parquet_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = open_dataset(DatasetSpec(kind="cifar10", path=write_binary(tmp_path / "b", "cifar10")), tmp_path)
    assert isinstance(binary.images, np.memmap)
    folder = write_parquet(tmp_path / "hf", "cifar10")
    spec = DatasetSpec(kind="cifar10", path=folder)
    first = open_dataset(spec, tmp_path / "cache")
    assert isinstance(first.images, np.memmap)
    (cached,) = (tmp_path / "cache").rglob("*.npy")
    monkeypatch.setattr(
        "failmodes.ingest.datasets.cifar_parquet.decode_opaque", lambda *_: pytest.fail("decoded twice")
    )
    assert open_dataset(spec, tmp_path / "cache").dataset_id == first.dataset_id
    monkeypatch.undo()
    cached.write_bytes(cached.read_bytes()[:5000])  # a damaged cache is made anew
    assert open_dataset(spec, tmp_path / "cache").dataset_id == first.dataset_id


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


def test_arrays_of_old_and_new_numpy_are_read(tmp_path: Path) -> None:
    for protocol in (0, 1, 2, 3, 4):
        content = pickle.dumps({b"data": planes(IMAGES), b"labels": [1]}, protocol=protocol)
        for module in (b"numpy.core.multiarray", b"numpy._core.multiarray"):
            if protocol < 4:  # where names are lines, not length-prefixed
                content = content.replace(b"numpy._core.multiarray", module)
            (tmp_path / "batch").write_bytes(content)
            np.testing.assert_array_equal(read_pickle(tmp_path / "batch")[b"data"], planes(IMAGES))


def damage_truncate_python(folder: Path) -> None:
    file = write_python(folder, "cifar10") / "test_batch"
    file.write_bytes(file.read_bytes()[:-100])


def damage_python_shape(folder: Path) -> None:
    folder.mkdir()
    (folder / "test_batch").write_bytes(pickle.dumps({b"data": np.zeros((2, 3000), np.uint8), b"labels": [0, 1]}))


def damage_python_count(folder: Path) -> None:
    folder.mkdir()
    (folder / "test_batch").write_bytes(pickle.dumps({b"data": planes(IMAGES), b"labels": [0, 1]}))


def damage_python_label(folder: Path) -> None:
    folder.mkdir()
    (folder / "test_batch").write_bytes(pickle.dumps({b"data": planes(IMAGES[:2]), b"labels": [0, 10]}))


def damage_python_keys(folder: Path) -> None:
    write_python(folder, "cifar100")
    (folder / "test").rename(folder / "test_batch")


def damage_truncate_binary(folder: Path) -> None:
    file = write_binary(folder, "cifar10") / "test_batch.bin"
    file.write_bytes(file.read_bytes()[:-100])


def damage_binary_label(folder: Path) -> None:
    file = write_binary(folder, "cifar10") / "test_batch.bin"
    content = bytearray(file.read_bytes())
    content[3073] = 200
    file.write_bytes(content)


def damage_truncate_parquet(folder: Path) -> None:
    file = sorted(write_parquet(folder, "cifar10").glob("*.parquet"))[1]
    file.write_bytes(file.read_bytes()[:-100])


def damage_parquet_columns(folder: Path) -> None:
    folder.mkdir()
    pq.write_table(pa.table({"pixels": [b""], "label": [0]}), folder / "test-0.parquet")


def damage_parquet_label(folder: Path) -> None:
    folder.mkdir()
    cells = [{"bytes": encoded(IMAGES[0]), "path": None}]
    pq.write_table(pa.table({"img": cells, "label": [-1]}), folder / "test-0.parquet")


def damage_parquet_image(folder: Path) -> None:
    folder.mkdir()
    cells = [{"bytes": encoded(IMAGES[i])[: 4000 - 3900 * i], "path": None} for i in (0, 1)]
    pq.write_table(pa.table({"img": cells, "label": [1, 2]}), folder / "test-0.parquet")


def damage_parquet_size(folder: Path) -> None:
    folder.mkdir()
    cells = [{"bytes": encoded(IMAGES[0, :16]), "path": None}]
    pq.write_table(pa.table({"img": cells, "label": [1]}), folder / "test-0.parquet")


def damage_parquet_paths(folder: Path) -> None:
    folder.mkdir()
    pq.write_table(pa.table({"img": ["/etc/hostname"], "label": [1]}), folder / "test-0.parquet")


def damage_empty(folder: Path) -> None:
    folder.mkdir()


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated pickle": (damage_truncate_python, "test_batch is truncated"),
    "wrong shape": (damage_python_shape, r"expected uint8 \(N, 3072\)"),
    "more images than labels": (damage_python_count, "20 images and 2 labels"),
    "label out of range": (damage_python_label, "label 10 of image 1 is out of range: expected 0 to 9"),
    "keys of CIFAR-100": (damage_python_keys, "no batch of CIFAR-10"),
    "truncated binary": (damage_truncate_binary, "multiple of 3,073"),
    "binary label": (damage_binary_label, "label 200 of image 1"),
    "truncated parquet": (damage_truncate_parquet, "is damaged and cannot be read"),
    "parquet columns": (damage_parquet_columns, "expected img or image"),
    "parquet label": (damage_parquet_label, "label -1 of image 0"),
    "parquet image": (damage_parquet_image, "row 1 cannot be decoded"),
    "parquet image size": (damage_parquet_size, r"\(16, 32, 3\): expected \(32, 32, 3\)"),
    "parquet of paths": (damage_parquet_paths, "expected the bytes"),
    "empty folder": (damage_empty, "failmodes download cifar10"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_data_is_named_in_one_line(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(tmp_path / "data")
    with pytest.raises(DataError, match=message) as caught:
        open_dataset(DatasetSpec(kind="cifar10", path=tmp_path / "data"), tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*.npy")), "no half-decoded file is left"


def test_a_missing_batch_or_folder_says_what_to_do(tmp_path: Path) -> None:
    folder = write_binary(tmp_path / "b", "cifar10", "train")
    (folder / "data_batch_3.bin").unlink()
    with pytest.raises(DataError, match=r"data_batch_3\.bin is missing"):
        open_dataset(DatasetSpec(kind="cifar10", path=folder), tmp_path, "train")
    spec = DatasetSpec(kind="cifar100", path=tmp_path / "nowhere")
    with pytest.raises(
        StudyError, match=r"does not exist: get CIFAR-100 with `failmodes download cifar100 --to .*https"
    ):
        open_dataset(spec, tmp_path)
    with pytest.raises(StudyError, match="unknown split"):
        open_dataset(spec, tmp_path, "validation")
