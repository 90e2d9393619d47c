"""What a folder of images holds and what is left out: all is counted, and a class of which nothing is left is named."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from failmodes.ingest.datasets.folder_listing import READ_SUFFIXES, class_name_of, list_images
from failmodes.ingest.datasets.layout import DatasetSpec, open_dataset
from failmodes.runtime.errors import DataError


def put(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def listed(root: Path) -> list[str]:
    return [file.relative_to(root).as_posix() for file in list_images(root).files]


def test_suffixes_are_read_whatever_their_case(tmp_path: Path) -> None:
    root = tmp_path / "set"
    (root / "a").mkdir(parents=True)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8))
    for suffix in READ_SUFFIXES:
        image.save(root / "a" / f"low{suffix}")
        image.save(root / "a" / f"UP{suffix.upper()}")
    dataset = open_dataset(DatasetSpec(kind="folder", path=root), tmp_path / "cache")
    assert len(dataset.labels) == 2 * len(READ_SUFFIXES) == 16
    assert dataset.note is None
    lossless = [i for i, file in enumerate(dataset.files or ()) if file.lower().endswith((".png", ".bmp", ".tif"))]
    assert (dataset.images[np.array(lossless)] == np.asarray(image)).all()


def test_whatever_is_left_out_is_named(tmp_path: Path) -> None:
    root = put(tmp_path, "cat/1.jpg", "cat/sub/2.jpg", "cat/sub/deeper/3.jpg", "cat/sub/.DS_Store", "cat/other/4.txt")
    put(root, "cat/x.heic", "cat/._1.jpg", "cat/.ipynb_checkpoints/1.jpg", "dog/2.JPG", "a.jpg", "b.PNG", "c.webp")
    put(root, "README.md", ".DS_Store", ".git/config")
    put(root, "dog/3.jpg")
    (root / "dog" / "empty").mkdir()
    assert listed(root) == ["cat/1.jpg", "dog/2.JPG", "dog/3.jpg"]
    assert list_images(root).notes() == [
        "skipped: 3 files in folders within classes (cat/other/, cat/sub/), 3 images at the root (a.jpg, b.PNG, …),"
        " 2 files of other formats (README.md, cat/x.heic), 2 hidden files (.DS_Store, cat/._1.jpg),"
        " 2 hidden folders (.git/, cat/.ipynb_checkpoints/)"
    ]


@pytest.mark.parametrize("left_out", ["cat/2019/{}.jpg", "cat/{}.avif", "cat/2019/{}.HEIC"])
def test_a_folder_of_which_most_images_would_be_left_out_is_refused(tmp_path: Path, left_out: str) -> None:
    root = put(tmp_path, *(f"cat/{number}.png" for number in range(3)))
    put(root, *(left_out.format(number) for number in range(3)))
    assert len(listed(root)) == 3  # as many as are left out
    put(root, left_out.format(3), *(f"cat/notes/{number}.json" for number in range(9)))
    with pytest.raises(DataError, match="4 of 7 images would be skipped: .* put them directly into their class"):
        list_images(root)


NAMES = st.sampled_from(["1.png", "2.JPG", "3.webp", "4.heic", ".5.png", "sub/6.png", "sub/7.txt", "8"])


@pytest.mark.test_all
@settings(max_examples=60)
@given(cat=st.sets(NAMES), dog=st.sets(NAMES), at_root=st.sets(st.sampled_from(["a.png", "b.txt", ".c"])))
def test_every_file_is_listed_or_counted(
    tmp_path_factory: pytest.TempPathFactory, cat: set[str], dog: set[str], at_root: set[str]
) -> None:
    root = tmp_path_factory.mktemp("set")
    put(
        root,
        *at_root,
        *(f"ant/{number}.png" for number in range(9)),
        *(f"cat/{name}" for name in cat),
        *(f"dog/{name}" for name in dog),
    )
    if any(names and not names & {"1.png", "2.JPG", "3.webp"} for names in (cat, dog)):
        with pytest.raises(DataError, match="has no readable image, only"):
            list_images(root)
    else:
        listing = list_images(root)
        counted = sum(entry.file_count for entry in listing.left_out)
        assert len(listing.files) + counted == 9 + len(cat) + len(dog) + len(at_root)
    shutil.rmtree(root)


def test_splits_that_are_taken_for_classes_are_reported(tmp_path: Path) -> None:
    put(tmp_path / "set", "train/cat/1.png", "val/cat/1.png")
    with pytest.raises(DataError, match=r"give .*set/train as the path if the folders in it are the classes"):
        open_dataset(DatasetSpec(kind="folder", path=tmp_path / "set"), tmp_path / "cache")


def test_a_folder_called_by_id_and_name_is_the_class_of_that_id(tmp_path: Path) -> None:
    root = put(tmp_path, "n02099601-golden_retriever/1.png", "n01440764_tench/1.png", "n01440764_tench/0.png")
    put(root, "n02123045/1.png", "tench/1.png")
    listing = list_images(root)
    assert listing.class_names == ("n01440764", "n02099601", "n02123045", "tench")
    assert listed(root)[:3] == ["n01440764_tench/0.png", "n01440764_tench/1.png", "n02099601-golden_retriever/1.png"]
    assert listing.labels.tolist() == [0, 0, 1, 2, 3]
    assert listing.notes() == [
        "classes named by the WordNet ids that 2 folders begin with (n01440764_tench, n02099601-golden_retriever)"
    ]
    for name in (
        "n0144076_tench",
        "n014407641_tench",
        "N01440764_tench",
        "n01440764tench",
        "xn01440764_a",
        "n01440764",
    ):
        assert class_name_of(name) == name


def test_two_folders_of_one_class_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two folders of the class n01440764, n01440764 and n01440764_tench: move"):
        list_images(put(tmp_path, "n01440764_tench/1.png", "n01440764/1.png"))
