"""`failmodes.benchmark` of the same images in every source: pixels and labels of the folder, image by image."""

from pathlib import Path

import numpy as np
import pytest
import torch
from packed_images import CLASSES, photographs, write_folder, write_parquet, write_saved, write_tar
from PIL import Image

import failmodes
from failmodes.evaluate.benchmark import Benchmark, study_of
from failmodes.evaluate.given_images import read_given_images
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.runtime.errors import DataError

IMAGES = [image for number, image in enumerate(photographs(20)) if number % 5 != 4]  # without EXIF rotation
SIZE = 32


def model() -> torch.nn.Module:
    torch.manual_seed(0)
    pool = torch.nn.AdaptiveAvgPool2d(1)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 5, 3), torch.nn.ReLU(), pool, torch.nn.Flatten(), torch.nn.Linear(8, 3)
    )


ASKED = {"corruptions": "contrast", "severities": [3], "image_size": SIZE, "normalization": "none",
         "class_names": list(CLASSES)}  # fmt: skip


def dataset_of(images: object, to: Path) -> Dataset:
    """The images that a benchmark of them evaluates."""
    return study_of(Benchmark(models={"Net": model()}, images=images, labels=None, to=to, **ASKED))[1]


def check_sources(sources: dict[str, object], folder: Path) -> None:
    """All of them hold what the folder of images holds."""
    expected = dataset_of(write_folder(folder / "folder", IMAGES), folder / "of-folder")
    for name, source in sources.items():
        dataset = dataset_of(source, folder / f"of-{name}")
        np.testing.assert_array_equal(dataset.images[:], expected.images[:], err_msg=name)
        np.testing.assert_array_equal(dataset.labels, expected.labels, err_msg=name)
        assert dataset.class_names == expected.class_names == CLASSES


class Items:
    """An iterable that is read again from its beginning."""

    def __iter__(self):
        return ({"jpg": image.content, "cls": image.label} for image in IMAGES)


def test_images_of_every_source_are_those_of_the_folder(tmp_path: Path) -> None:
    sources = {
        "parquet": write_parquet(tmp_path / "x.parquet", IMAGES),
        "tar": write_tar(tmp_path / "tar" / "0.tar", IMAGES).parent,
        "iterable": Items(),
        "iterator": iter(Items()),
    }
    check_sources(sources, tmp_path)


@pytest.mark.test_all
def test_images_of_a_saved_dataset_are_those_of_the_folder(tmp_path: Path) -> None:
    import datasets

    saved = write_saved(tmp_path / "saved", IMAGES)
    loaded = datasets.load_from_disk(str(saved))
    undecoded = loaded.cast_column("image", datasets.Image(decode=False))
    check_sources({"saved": saved, "data set": loaded, "undecoded": undecoded}, tmp_path)


@pytest.mark.test_all
def test_another_source_of_the_same_images_leaves_nothing_to_evaluate(tmp_path: Path) -> None:
    sources = write_folder(tmp_path / "folder", IMAGES), write_tar(tmp_path / "tar" / "0.tar", IMAGES).parent
    options = failmodes.Options(attention=False)
    rows = [
        failmodes.benchmark(model(), source, to=tmp_path / "out", progress=False, options=options, **ASKED).sql(
            "select image_id, label, severity, predicted, confidence, rmse from predictions order by severity, image_id"
        )
        for source in sources
    ]
    assert len(rows[0]) == 2 * len(IMAGES)
    assert rows[1].equals(rows[0])


def test_unreadable_items_are_left_out_and_counted(tmp_path: Path) -> None:
    items = [(image.content, image.label) for image in IMAGES]
    items[3] = (b"these are words", 0)
    with pytest.raises(DataError, match="image 3 cannot be decoded"):
        read_given_images(items, None, tmp_path, image_size=SIZE)
    given = read_given_images(items, None, tmp_path, image_size=SIZE, skip_unreadable=True)
    assert given.labels.tolist() == [label for number, (_, label) in enumerate(items) if number != 3]
    assert "left out: 1 image that cannot be decoded (image 3)" in str(given.note)
    contents = [content for content, _ in items]
    with_labels = read_given_images(contents, np.arange(len(items)), tmp_path, image_size=SIZE, skip_unreadable=True)
    assert with_labels.labels.tolist() == [number for number in range(len(items)) if number != 3]
    np.testing.assert_array_equal(with_labels.images, given.images)


class Shuffled:
    """Other images, labels or fewer of them each time that it is read."""

    def __init__(self, what: str) -> None:
        self.what, self.reads = what, 0

    def __iter__(self):
        self.reads += 1
        for number in range(9 if self.what != "end" or self.reads == 1 else 4):
            seed = number + self.reads * (self.what == "pixels")
            pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            yield Image.fromarray(pixels), (number + self.reads * (self.what == "label")) % 3


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("pixels", "image 0 has different pixels when the dataset is read again"),
        ("label", "image 0 has another label when the dataset is read again"),
        ("end", "the images end after 4 when they are read again, and there were 9"),
    ],
)
def test_a_stream_that_differs_when_it_is_read_again_is_refused(what: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_given_images(Shuffled(what), None, tmp_path)


def test_a_set_has_no_order(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="images are a set, which has no order"):
        read_given_images({(image.content, image.label) for image in IMAGES}, None, tmp_path)
