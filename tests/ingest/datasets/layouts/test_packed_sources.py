"""Parquet files, tar shards, saved data sets and torchvision's classes: the images of a folder, whatever holds them."""

import os
import random
import tarfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from packed_images import (
    CLASSES,
    PackedImage,
    parquet_table,
    photographs,
    write_folder,
    write_parquet,
    write_saved,
    write_tar,
)

from failmodes.ingest.corrupted_datasets.corrupted_dataset import image_names
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.image_arrays import ImagesOnDemand, describe_decoding
from failmodes.ingest.datasets.kinds import kind_of_files
from failmodes.ingest.datasets.layout import DatasetSpec, open_dataset
from failmodes.runtime.errors import DataError, FailmodesError, StudyError

IMAGES = photographs()
CAMERAS = [*"ababcabca"]
SIZES = {"image_size": 24, "resize": 30}


def opened(kind: str, path: Path, cache: Path, **keys: object) -> Dataset:
    return open_dataset(DatasetSpec(kind=kind, path=path, **keys), cache)


def write_shards(folder: Path) -> Path:
    """Eleven shards, whose numbers are not padded: some of a single image, one of none."""
    for number in range(11):
        images = IMAGES[number : number + 1] if number < 8 else IMAGES[8:] if number == 10 else []
        cameras = [{"camera": CAMERAS[IMAGES.index(image)], "iso": 100 + number} for image in images]
        write_tar(folder / f"{number}.tar", images, cameras)
    return folder


SOURCES: dict[str, tuple[str, Callable[[Path], Path], dict[str, object]]] = {
    "one shard": (
        "webdataset",
        lambda here: write_tar(here / "a" / "x.tar", IMAGES, [{"camera": c} for c in CAMERAS]),
        {},
    ),
    "shards": ("webdataset", lambda here: write_shards(here / "shards"), {}),
    "a pattern": ("webdataset", lambda here: write_shards(here / "shards") / "*.tar", {}),
    "Parquet": ("parquet", lambda here: write_parquet(here / "x.parquet", IMAGES, camera=CAMERAS), {}),
    "splits": (
        "parquet",
        lambda here: [
            write_parquet(here / "hub" / "data" / "train-00000-of-00001.parquet", IMAGES[:2], camera=CAMERAS[:2]),
            write_parquet(here / "hub" / "data" / "validation-00001-of-00002.parquet", IMAGES[5:], camera=CAMERAS[5:]),
            write_parquet(here / "hub" / "data" / "validation-00000-of-00002.parquet", IMAGES[:5], camera=CAMERAS[:5]),
        ][0].parents[1],
        {"split": "validation"},
    ),
    "saved": ("huggingface", lambda here: write_saved(here / "saved", IMAGES, camera=CAMERAS), {}),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.test_all] * (name == "saved")) for name in SOURCES]
)
def test_every_source_gives_the_images_of_a_folder(name: str, tmp_path: Path) -> None:
    of_folder = opened("folder", write_folder(tmp_path / "folder", IMAGES), tmp_path / "cache", **SIZES)
    kind, write, keys = SOURCES[name]
    path = write(tmp_path)
    dataset = opened(kind, path, tmp_path / "cache", **SIZES, **keys)
    np.testing.assert_array_equal(dataset.images[:], of_folder.images[:])
    assert dataset.dataset_id == of_folder.dataset_id
    assert dataset.class_names == of_folder.class_names == CLASSES
    assert dataset.note == of_folder.note
    assert dataset.source_sizes.equals(of_folder.source_sizes)
    assert dataset.measured.equals(of_folder.measured)
    assert [Path(file).name for file in dataset.files] == [image.name for image in IMAGES]
    assert dataset.metadata["camera"].to_pylist() == CAMERAS
    assert kind_of_files(path) == kind or "*" in path.name
    on_demand = opened(kind, path, tmp_path / "other", decode="on-demand", **SIZES, **keys)
    assert isinstance(on_demand.images, ImagesOnDemand)
    assert on_demand.dataset_id == of_folder.dataset_id
    assert on_demand.measured.equals(of_folder.measured)
    places = random.Random(0).choices(range(len(IMAGES)), k=20)
    np.testing.assert_array_equal(on_demand.images[places], of_folder.images[places])
    assert not list((tmp_path / "other").rglob("*.npy")), "nothing decoded is stored"


def test_no_name_of_an_image_leads_out_of_the_folder_of_a_corrupted_dataset(tmp_path: Path) -> None:
    images = [image._replace(name=f"../../../../{image.name}") for image in IMAGES]
    dataset = opened("parquet", write_parquet(tmp_path / "x.parquet", images), tmp_path, **SIZES)
    assert image_names(dataset) == [f"{CLASSES[image.label]}/{image.name[:4]}" for image in IMAGES]
    with pytest.raises(DataError, match=r"image 'a/..' cannot be the name of a file"):
        image_names(replace(dataset, files=("a/..",) * len(IMAGES)))


def test_torchvision_classes_are_read_from_local_files(tmp_path: Path) -> None:
    pytest.importorskip("torchvision")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("t10k", "train"):
        header = b"".join(number.to_bytes(4, "big") for number in (0x803, 5, 28, 28))
        (raw / f"{part}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01\0\0\0\x05" + bytes([3, 1, 0, 9, 1]))
    dataset = opened("torchvision", tmp_path, tmp_path / "cache", name="FashionMNIST")
    np.testing.assert_array_equal(dataset.images[:], np.repeat(pixels[..., None], 3, axis=3))
    assert dataset.labels.tolist() == [3, 1, 0, 9, 1]
    assert dataset.class_names[9] == "Ankle boot"
    assert "5 gray images repeated over three channels" in str(dataset.note)
    upright = [image for number, image in enumerate(IMAGES) if number % 5 != 4]
    folder = write_folder(tmp_path / "folder", upright)
    of_class = opened(
        "torchvision", folder, tmp_path / "cache", name="ImageFolder", image_size=24, background=[0, 0, 0]
    )
    np.testing.assert_array_equal(of_class.labels, [image.label for image in upright])
    with pytest.raises(StudyError, match="no class 'FashionMnist': did you mean 'FashionMNIST'"):
        opened("torchvision", folder, tmp_path / "cache", name="FashionMnist")
    with pytest.raises(DataError, match="CIFAR10 cannot be opened .Dataset not found or corrupted"):
        opened("torchvision", folder, tmp_path / "cache", name="CIFAR10")


@pytest.mark.parametrize("kind", ["webdataset", "parquet", "folder"])
def test_unreadable_images_are_named_or_left_out_and_counted(kind: str, tmp_path: Path) -> None:
    images = [*IMAGES]
    images[1] = images[1]._replace(content=b"these are words")
    images[7] = images[7]._replace(content=images[7].content[:200])
    write = {
        "webdataset": lambda: write_tar(tmp_path / "x.tar", images, [{"camera": camera} for camera in CAMERAS]),
        "parquet": lambda: write_parquet(tmp_path / "x.parquet", images, camera=CAMERAS),
        "folder": lambda: write_folder(tmp_path / "folder", images),
    }
    path = write[kind]()
    where = {"webdataset": "x.tar, 0001.png", "parquet": "x.parquet, row 2", "folder": "0001.png"}[kind]
    with pytest.raises(DataError, match=rf"{where} cannot be decoded .*--skip-unreadable"):
        opened(kind, path, tmp_path / "cache", **SIZES)
    assert not list((tmp_path / "cache").rglob("*.npy")), "nothing is half stored"
    kept = [place for place in range(len(IMAGES)) if place not in (1, 7)]
    whole = opened("folder", write_folder(tmp_path / "whole", IMAGES), tmp_path / "cache", **SIZES)
    for decode in ("once", "on-demand"):
        dataset = opened(kind, path, tmp_path / decode, decode=decode, skip_unreadable=True, **SIZES)
        np.testing.assert_array_equal(dataset.images[:], whole.images[kept])
        assert dataset.labels.tolist() == [IMAGES[place].label for place in kept]
        assert f"left out: 2 images that cannot be decoded ({path}" in str(dataset.note)
        if kind != "folder":
            assert dataset.metadata["camera"].to_pylist() == [CAMERAS[place] for place in kept]
        with pytest.raises(DataError, match=f"{where} cannot be decoded"):
            opened(kind, path, tmp_path / decode, decode=decode, **SIZES)


def test_labels_are_names_too_and_a_column_may_be_named(tmp_path: Path) -> None:
    table = parquet_table(IMAGES).drop_columns("label")
    names = [CLASSES[image.label] for image in IMAGES]
    table = table.append_column("species", pa.array(names)).rename_columns({"image": "photo"})
    pq.write_table(table, tmp_path / "x.parquet")
    dataset = opened("parquet", tmp_path / "x.parquet", tmp_path, label_column="species", **SIZES)
    assert dataset.class_names == CLASSES
    assert dataset.labels.tolist() == [image.label for image in IMAGES]
    assert "labels are the column 'species'" in str(dataset.note)
    with pytest.raises(DataError, match="columns species: expected one of label, .*; label_column names"):
        opened("parquet", tmp_path / "x.parquet", tmp_path, **SIZES)
    with_key = [image._replace(name=f"{number}.img.png") for number, image in enumerate(IMAGES)]
    write_tar(tmp_path / "tar" / "x.tar", with_key, [{"species": name} for name in names], **{"thumb.png": b"no"})
    keys = {"image_column": "img.png", "label_column": "species"}
    assert opened("webdataset", tmp_path / "tar", tmp_path, **keys, **SIZES).dataset_id == dataset.dataset_id


def test_the_line_of_the_plan_names_how_often_images_are_decoded(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", IMAGES)
    once = opened("parquet", path, tmp_path, **SIZES)
    again = opened("parquet", path, tmp_path, decode="on-demand", **SIZES)
    assert "decoded once" in str(describe_decoding(once.images, 7))
    assert "once for each of 7 cells" in str(describe_decoding(again.images, 7))
    assert describe_decoding(once.images[:], 7) is None


def test_a_full_disk_turns_to_decoding_on_demand_unless_the_study_forbids_it(tmp_path: Path, monkeypatch) -> None:
    import shutil

    path = write_parquet(tmp_path / "x.parquet", IMAGES)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 8, 1))
    assert isinstance(opened("parquet", path, tmp_path, **SIZES).images, ImagesOnDemand)
    with pytest.raises(FailmodesError, match='free disk space, or set decode = "on-demand"'):
        opened("parquet", path, tmp_path, decode="once", **SIZES)


def cut(path: Path, length: int) -> Path:
    os.truncate(path, path.stat().st_size - length if length < 0 else length)
    return path


def repacked(path: Path, change: Callable[[list[PackedImage]], list[PackedImage]], **more: bytes) -> Path:
    return write_tar(path, change([*IMAGES]), **more)


def compressed(path: Path) -> Path:
    import gzip

    path.write_bytes(gzip.compress(write_tar(path, IMAGES).read_bytes()))
    return path


def without_labels(path: Path) -> Path:
    with tarfile.open(path, "w") as shard:
        shard.addfile(tarfile.TarInfo("1.jpg"))
    return path


REFUSED: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "a shard cut within a member": (
        "webdataset",
        lambda here: cut(write_tar(here / "x.tar", IMAGES), 3000),
        "x.tar is cut short",
    ),
    "a shard cut between members": (
        "webdataset",
        lambda here: cut(write_tar(here / "x.tar", IMAGES), whole_members(here / "x.tar")),
        "its end is missing",
    ),
    "an empty shard": ("webdataset", lambda here: (here / "x.tar").write_bytes(b""), "is cut short, damaged or no tar"),
    "a compressed shard": ("webdataset", lambda here: compressed(here / "x.tar"), "must be unpacked to .tar"),
    "no label in a shard": (
        "webdataset",
        lambda here: without_labels(here / "x.tar"),
        "sample 1 has no label: expected",
    ),
    "two images in a sample": (
        "webdataset",
        lambda here: repacked(here / "x.tar", lambda images: images, webp=b"x"),
        "expected one image; image_column",
    ),
    "a label beyond the classes": (
        "webdataset",
        lambda here: repacked(here / "x.tar", lambda images: [images[0]._replace(label=3)]),
        "label 3 of image 0 is out of",
    ),
    "JSON that changes its type": (
        "webdataset",
        lambda here: write_tar(here / "x.tar", IMAGES, [{"iso": 1}, {"iso": "b"}]),
        "'iso' in its .json is text, but a number",
    ),
    "JSON that nests": (
        "webdataset",
        lambda here: write_tar(here / "x.tar", IMAGES, [{"box": [1, 2]}] * 9),
        "'box' holds list",
    ),
    "damaged JSON": (
        "webdataset",
        lambda here: repacked(here / "x.tar", lambda images: images, json=b"{"),
        "is not valid JSON",
    ),
    "a Parquet file cut short": (
        "parquet",
        lambda here: cut(write_parquet(here / "x.parquet", IMAGES), -9),
        "is cut short or damaged",
    ),
    "no images": (
        "parquet",
        lambda here: pq.write_table(pa.table({"label": [1]}), here / "x.parquet"),
        "expected one of image",
    ),
    "a hidden label": (
        "parquet",
        lambda here: write_parquet(here / "x.parquet", [IMAGES[0]._replace(label=-1)]),
        "label -1 of image 0 is out of range",
    ),
    "a missing label": (
        "parquet",
        lambda here: pq.write_table(pa.table({"image": [b"x"], "label": pa.nulls(1, pa.int64())}), here / "x.parquet"),
        "'label' is empty in row 1",
    ),
    "a column that changes its type": (
        "parquet",
        lambda here: [
            write_parquet(here / "0.parquet", IMAGES[:1], x=[1]),
            write_parquet(here / "1.parquet", IMAGES[:1], x=["a"]),
        ],
        "1.parquet: the column 'x' holds string, but int64 in",
    ),
    "a column that is missing": (
        "parquet",
        lambda here: [
            write_parquet(here / "0.parquet", IMAGES[:1], x=[1]),
            write_parquet(here / "1.parquet", IMAGES[:1]),
        ],
        "1.parquet has no column 'x', unlike",
    ),
    "a nested column": (
        "parquet",
        lambda here: write_parquet(here / "x.parquet", IMAGES[:1], box=[[1, 2]]),
        "'box' holds list",
    ),
    "another split": (
        "parquet",
        lambda here: write_parquet(here / "train-0.parquet", IMAGES),
        "of the split train, none of test",
    ),
    "several sizes": ("parquet", lambda here: write_parquet(here / "x.parquet", IMAGES), "row 2 is 41×40 pixels where"),
    "no saved data set": (
        "huggingface",
        lambda here: write_parquet(here / "x.parquet", IMAGES),
        "is no folder that save_to_disk",
    ),
    "no files": ("parquet", lambda here: None, "holds no .parquet file"),
}


def whole_members(path: Path) -> int:
    """Bytes of a shard up to the end of its first sample."""
    with tarfile.open(path) as shard:
        return shard.getmembers()[2].offset


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.test_all] * (name == "no saved data set")) for name in REFUSED]
)
def test_damaged_and_inconsistent_sources_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    kind, write, message = REFUSED[name]
    (tmp_path / "source").mkdir()
    write(tmp_path / "source")
    keys = {} if name == "several sizes" else SIZES
    with pytest.raises(FailmodesError) as caught:
        opened(kind, tmp_path / "source", tmp_path / "cache", **keys)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "cache").rglob("*.npy")), "nothing is half stored"


@pytest.mark.test_all
@pytest.mark.parametrize("kind", ["parquet", "webdataset"])
def test_any_damage_to_a_file_is_refused_or_named(kind: str, tmp_path: Path) -> None:
    """Cut anywhere, and bytes overwritten anywhere: an error of ours, or images that can be decoded."""
    write = {"parquet": write_parquet, "webdataset": write_tar}[kind]
    whole = write(tmp_path / f"x.{'tar' if kind == 'webdataset' else kind}", IMAGES).read_bytes()
    rng = random.Random(0)
    for trial in range(150):
        content = bytearray(whole[: rng.randrange(len(whole))] if trial % 3 == 0 else whole)
        for _ in range(trial % 3 * 4):
            content[rng.randrange(len(content))] = rng.randrange(256)
        path = tmp_path / f"{trial}" / f"x.{'tar' if kind == 'webdataset' else kind}"
        path.parent.mkdir()
        path.write_bytes(content)
        with suppress(FailmodesError):
            dataset = opened(kind, path, tmp_path / f"{trial}", skip_unreadable=True, **SIZES)
            assert len(dataset.images[:]) == len(dataset.labels)
