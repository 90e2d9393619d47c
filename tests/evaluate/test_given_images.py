"""Labeled images as users have them come to one array; what is no uint8 pixels is refused with the mend."""

import weakref
from collections import UserDict
from pathlib import Path

import numpy as np
import pytest
import torch
from image_sources import LABELS, PIL, PIXELS, TENSORS, ClassLabel, HuggingFace, Images, NotInMemory, Stream, loader
from PIL import ExifTags, Image
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    IterableDataset,
    RandomSampler,
    Subset,
    TensorDataset,
)
from torchvision import tv_tensors
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from failmodes.evaluate.given_images import read_given_images
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.specification import DatasetSpec
from failmodes.warehouse.errors import DataError, StorageError


def read(tmp_path: Path, images, labels=None, **options):
    return read_given_images(images, labels, tmp_path / "cache", **options)


ALONE = {
    "array": lambda: PIXELS,
    "array, channels first": lambda: np.ascontiguousarray(PIXELS.transpose(0, 3, 1, 2)),
    "array, mirrored view": lambda: PIXELS[:, ::-1][:, ::-1],
    "not in memory": NotInMemory,
    "tensor": lambda: TENSORS,
    "tensor, channels last": lambda: torch.from_numpy(PIXELS),
    "tensor of an image": lambda: tv_tensors.Image(TENSORS),
    "list of arrays": lambda: list(PIXELS),
    "tuple of tensors": lambda: tuple(TENSORS),
    "list of PIL images": lambda: PIL,
    "generator": lambda: (image for image in PIL),
    "data set": lambda: Images(make=lambda image, _: image),
    "data set of one tensor": lambda: TensorDataset(TENSORS),
    "mappings": lambda: [{"img": image} for image in PIL],
    "loader": lambda: DataLoader(TensorDataset(TENSORS), batch_size=3),
    "loader of images": lambda: DataLoader(Images(TENSORS, lambda image, _: image), batch_size=3),
}
WITH_LABELS = {
    "data set of PIL images": Images,
    "data set of tensors": lambda: Images(TENSORS),
    "data set of arrays": lambda: Images(PIXELS),
    "data set with transform": lambda: Images(make=lambda image, label: (v2.functional.pil_to_tensor(image), label)),
    "data set of mappings": lambda: Images(make=lambda image, label: {"image": image, "label": label}),
    "data set of other keys": lambda: Images(make=lambda image, label: {"pixel_values": image, "target": label}),
    "data set of a mapping's kind": lambda: Images(make=lambda image, label: UserDict(img=image, fine_label=label)),
    "labels in an array each": lambda: Images(make=lambda image, label: (image, np.array([label]))),
    "labels in a tensor each": lambda: Images(make=lambda image, label: (image, torch.tensor([label]))),
    "tensor labels": lambda: Images(make=lambda image, label: (image, torch.tensor(label))),
    "NumPy labels": lambda: Images(make=lambda image, label: [image, np.int16(label)]),
    "list of pairs": lambda: list(zip(PIL, LABELS, strict=True)),
    "generator of pairs": lambda: zip(PIXELS, LABELS, strict=True),
    "subset": lambda: Subset(Images(PIL + PIL), range(7)),
    "concatenated": lambda: ConcatDataset([Subset(Images(), range(3)), Subset(Images(), range(3, 7))]),
    "stream": Stream,
    "loader": lambda: loader(batch_size=3),
    "loader of one batch": lambda: loader(batch_size=7),
    "loader of items": lambda: loader(batch_size=None),
    "loader of labels in a tensor each": lambda: DataLoader(
        TensorDataset(TENSORS, torch.from_numpy(LABELS)[:, None]), batch_size=3
    ),
    "loader with workers": lambda: loader(batch_size=2, num_workers=2),
    "loader of mappings": lambda: DataLoader(
        Images(TENSORS, lambda image, label: {"image": image, "label": label}), batch_size=2
    ),
    "loader of a stream": lambda: DataLoader(Stream(), batch_size=2, collate_fn=lambda items: list(zip(*items))),  # noqa: B905
    "loader with an order": lambda: loader(sampler=list(range(7)), batch_size=2),
    "loader with a batch sampler": lambda: loader(batch_sampler=BatchSampler(range(7), 3, drop_last=False)),
    "Hugging Face": HuggingFace,
    "Hugging Face, other names": lambda: HuggingFace("photo", "species"),
    "Hugging Face, two labels": lambda: HuggingFace("img", "fine_label", {"coarse_label": ClassLabel()}),
}


@pytest.mark.parametrize("make", ALONE.values(), ids=ALONE)
def test_images_alone_come_with_labels_of_their_own(tmp_path: Path, make) -> None:
    given = read(tmp_path, make(), LABELS.tolist())
    np.testing.assert_array_equal(given.images[:], PIXELS)
    np.testing.assert_array_equal(given.labels, LABELS)
    assert (given.labels.dtype, given.images.dtype, given.images.shape) == (np.int64, np.uint8, PIXELS.shape)


@pytest.mark.parametrize("make", WITH_LABELS.values(), ids=WITH_LABELS)
def test_data_sets_bring_their_labels(tmp_path: Path, make) -> None:
    given = read(tmp_path, make())
    np.testing.assert_array_equal(given.images[:], PIXELS)
    np.testing.assert_array_equal(given.labels, LABELS)


@pytest.mark.parametrize("make", WITH_LABELS.values(), ids=WITH_LABELS)
def test_labels_that_are_there_already_are_not_given_twice(tmp_path: Path, make) -> None:
    with pytest.raises(DataError, match="labels are given twice: .* leave the second out"):
        read(tmp_path, make(), LABELS)


def test_a_mapped_file_stays_mapped(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", PIXELS)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert np.shares_memory(read(tmp_path, mapped, LABELS).images, mapped)


def test_items_are_kept_in_a_file_not_in_memory(tmp_path: Path) -> None:
    alive, most = 0, 0

    def forget() -> None:
        nonlocal alive
        alive -= 1

    def items():
        nonlocal alive, most
        for index in range(200):
            image = np.full((8, 8, 3), index, np.uint8)
            weakref.finalize(image, forget)
            alive += 1
            most = max(most, alive)
            yield image, index
            del image

    given = read(tmp_path, items())
    assert most <= 2
    assert isinstance(given.images, np.memmap)
    assert given.images[:, 0, 0, 0].tolist() == list(range(200))
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_pil_images_of_eight_bits_become_rgb(tmp_path: Path, mode: str) -> None:
    if mode == "I;16":
        images = [Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257) for image in PIL]
        expected = np.stack([np.asarray(image.convert("L").convert("RGB")) for image in PIL])
    else:
        images = [image.convert(mode) for image in PIL]
        expected = np.stack([np.asarray(image.convert("RGB")) for image in images])
    np.testing.assert_array_equal(read(tmp_path, images, LABELS).images, expected)


def test_transparent_images_are_composited_on_the_background(tmp_path: Path) -> None:
    images = [image.convert("RGBA") for image in PIL]
    images[1].putalpha(0)
    given = read(tmp_path, images, LABELS)
    assert (given.images[1] == 255).all()
    np.testing.assert_array_equal(given.images[0], np.asarray(PIL[0]))
    assert given.note == "1 transparent image composited on white"
    on_red = read(tmp_path, images, LABELS, background=(255, 0, 0))
    assert (on_red.images[1] == (255, 0, 0)).all()
    assert on_red.note == "1 transparent image composited on the color [255, 0, 0]"


def test_an_image_is_taken_the_way_up_that_it_was_given(tmp_path: Path) -> None:
    sideways = PIL[0].copy()
    sideways.getexif()[ExifTags.Base.Orientation] = 6
    given = read(tmp_path, [sideways], [0])
    np.testing.assert_array_equal(given.images[0], np.asarray(PIL[0]))
    assert given.note is None


SIZES = [(20, 12), (12, 20), (16, 16), (33, 17)]


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder of class folders with photographs of several sizes."""
    rng = np.random.default_rng(1)
    for index, size in enumerate(SIZES):
        folder = tmp_path / "photographs" / "ab"[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    return tmp_path / "photographs"


@pytest.mark.parametrize(("image_size", "resize"), [(8, None), (8, 12), (11, 14)])
def test_sizes_are_brought_to_one_as_a_folders_are(photographs: Path, tmp_path, image_size, resize) -> None:
    spec = DatasetSpec(kind="folder", path=photographs, image_size=image_size, resize=resize)
    expected = open_dataset(spec, tmp_path / "cache")
    for transform in (None, v2.PILToTensor(), np.asarray):
        given = read(tmp_path, ImageFolder(photographs, transform), image_size=image_size, resize=resize)
        np.testing.assert_array_equal(given.images, expected.images)
        np.testing.assert_array_equal(given.labels, expected.labels)
        assert given.label_names == expected.class_names == ("a", "b")


def test_a_whole_array_is_cropped_too(tmp_path: Path) -> None:
    given = [read(tmp_path, images, LABELS, image_size=8).images for images in (PIXELS, TENSORS, PIL)]
    assert given[0].shape == (7, 8, 8, 3)
    for other in given[1:]:
        np.testing.assert_array_equal(other, given[0])


def test_names_of_labels_are_those_of_the_source(tmp_path: Path) -> None:
    named = Images()
    named.classes = ["x", "y", "z"]
    twice = Images()
    twice.classes = ["x", "x", "z"]
    cases = {
        "classes": (named, ("x", "y", "z")),
        "subset of a subset": (Subset(Subset(named, range(5)), range(3)), ("x", "y", "z")),
        "loader": (DataLoader(named, batch_size=2, collate_fn=lambda items: list(zip(*items))), ("x", "y", "z")),  # noqa: B905
        "features": (HuggingFace(), ("a", "b", "c")),
        "two labels": (HuggingFace("img", "fine_label", {"coarse_label": ClassLabel("xy")}), ("a", "b", "c")),
        "features of a subset": (Subset(HuggingFace(), range(3)), ("a", "b", "c")),
        "no names for the column": (HuggingFace(more={"label": None, "quality": ClassLabel("xy")}), None),
        "none": (Images(), None),
        "twice": (twice, None),
    }
    assert {name: read(tmp_path, images).label_names for name, (images, _) in cases.items()} == {
        name: names for name, (_, names) in cases.items()
    }


def test_the_column_of_the_labels_is_said_where_there_are_several(tmp_path: Path) -> None:
    quality = {"quality": ClassLabel("xy")}
    for made, column in [
        (HuggingFace("img", "fine_label", {"coarse_label": ClassLabel("xy")}), "fine_label"),
        (HuggingFace(more={"fine_label": ClassLabel("xy")}), "label"),
        (HuggingFace(more={"label": None} | quality), "label"),
        (HuggingFace(label="target", more=quality), "target"),
        (HuggingFace(more=quality | {"style": ClassLabel("xy")}), "label"),
    ]:
        given = read(tmp_path, made)
        np.testing.assert_array_equal(given.labels, LABELS)
        assert given.note == f"labels are the column '{column}'"
    assert read(tmp_path, HuggingFace("photo", "species")).note is None


def test_the_column_of_the_labels_is_chosen(tmp_path: Path) -> None:
    made = HuggingFace("img", "fine_label", {"coarse_label": ClassLabel("xy")})
    given = read(tmp_path, made, label_column="coarse_label")
    assert given.labels.tolist() == [0] * 7
    assert (given.label_names, given.note) == (("x", "y"), "labels are the column 'coarse_label'")
    mappings = [{"image": image, "kind": label} for image, label in zip(PIL, LABELS, strict=True)]
    np.testing.assert_array_equal(read(tmp_path, mappings, label_column="kind").labels, LABELS)


COLUMNS = {
    "two of other names": (
        lambda: HuggingFace(label="species", more={"quality": ClassLabel("xy")}), None, None,
        "each of the columns species, quality is a ClassLabel: choose the labels by label_column=",
    ),
    "two images of other names": (
        lambda: HuggingFace("left", more={"right": type("Image", (), {})()}), None, None,
        "each of the columns left, right is a Image: rename the one to evaluate to image",
    ),
    "another column": (HuggingFace, None, "kind", "an item has the keys other, image, label: expected one of kind"),
    "of pairs": (Images, None, "kind", "an item of the images is a tuple of 2: expected a mapping with 'kind'"),
    "of images": (lambda: PIL, None, "kind", r"an item of the images is a \w*Image: expected a mapping with 'kind'"),
    "beside labels": (lambda: PIL, LABELS, "kind", "labels are given twice"),
    "unrelated beside labels": (lambda: HuggingFace(label="quality"), LABELS, None, "labels are given twice"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "labels", "column", "said"), COLUMNS.values(), ids=COLUMNS)
def test_a_column_that_is_not_clear_is_refused(tmp_path: Path, make, labels, column: str | None, said: str) -> None:
    with pytest.raises(DataError, match=said) as refused:
        read(tmp_path, make(), labels, label_column=column)
    assert "\n" not in str(refused.value)


def flipping() -> Images:
    """Images mirrored at random, as by RandomHorizontalFlip."""
    rng = np.random.default_rng(0)
    return Images(make=lambda image, label: (np.asarray(image)[:, :: rng.choice([1, -1])], label))


def rotating() -> Images:
    """Images without labels, rotated at random."""
    rng = np.random.default_rng(0)
    return Images(make=lambda image, _: image.rotate(90 * rng.choice(4)))


class Shuffled(IterableDataset):
    """A stream in another order each time."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def __iter__(self):
        return iter([(PIL[index], LABELS[index]) for index in self.rng.permutation(7)])


CHANGING = {
    "random augmentation": flipping,
    "images alone": rotating,
    "loader": lambda: DataLoader(flipping(), batch_size=3, collate_fn=lambda items: list(zip(*items))),  # noqa: B905
    "stream": Shuffled,
    "loader of a stream": lambda: DataLoader(Shuffled(), batch_size=None),
}


@pytest.mark.parametrize("name", CHANGING)
def test_other_images_on_a_second_reading_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        DataError, match=r"image \d has other pixels when the data set is read again: leave random"
    ) as refused:
        read(tmp_path, CHANGING[name](), LABELS if name == "images alone" else None)
    assert "\n" not in str(refused.value)


def test_a_stream_that_is_used_up_is_read_once(tmp_path: Path) -> None:
    class Once(IterableDataset):
        items = iter(list(zip(PIL, LABELS, strict=True)))

        def __iter__(self):
            return self.items

    np.testing.assert_array_equal(read(tmp_path, Once()).images, PIXELS)


def test_a_data_set_of_hugging_face(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=["a", "b", "c"]))
    made = datasets.Dataset.from_dict({"image": PIL, "label": LABELS.tolist()}, features=features)
    given = read(tmp_path, made)
    np.testing.assert_array_equal(given.images, PIXELS)
    np.testing.assert_array_equal(given.labels, LABELS)
    assert given.label_names == ("a", "b", "c")
    np.testing.assert_array_equal(read(tmp_path, Subset(made, range(4))).labels, LABELS[:4])
    assert read(tmp_path, Subset(made, range(4))).label_names == ("a", "b", "c")
    both = made.add_column("quality", [0] * 7).cast_column("quality", datasets.ClassLabel(names=["x", "y"]))
    assert read(tmp_path, both).label_names == ("a", "b", "c")
    assert read(tmp_path, both, label_column="quality").label_names == ("x", "y")
    with pytest.raises(DataError, match="each of the columns species, quality is a ClassLabel"):
        read(tmp_path, both.rename_column("label", "species"))
    alone = read(tmp_path, made.select_columns("image"), made["label"])
    np.testing.assert_array_equal(alone.labels, LABELS)
    with pytest.raises(DataError, match="a mapping of 'test': expected one data set"):
        read(tmp_path, datasets.DatasetDict(test=made))


FLOATS = r"images are float32: uint8 pixels \(0 to 255\) are needed.*leave ToTensor, ToDtype and Normalize out"
REFUSED = {
    "float array": (lambda: PIXELS / np.float32(255), FLOATS),
    "float tensor": (lambda: TENSORS / 255, FLOATS),
    "float items": (lambda: list(TENSORS / 255), FLOATS),
    "wider numbers": (lambda: PIXELS.astype(np.int64), "images are int64: uint8 pixels"),
    "one image": (lambda: PIXELS[0], r"shape \(9, 8, 3\): .*one image is images\[None\]"),
    "gray array": (lambda: PIXELS[..., 0], r"shape \(7, 9, 8\): .*of gray images, repeat the channel"),
    "one channel": (lambda: PIXELS[..., :1], r"shape \(7, 9, 8, 1\): .*of gray images, repeat the channel"),
    "four channels": (lambda: np.zeros((7, 9, 8, 4), np.uint8), r"shape \(7, 9, 8, 4\): expected \(N, height"),
    "no images": (lambda: PIXELS[:0], "there are no images"),
    "empty list": (list, "there are no images"),
    "empty data set": (lambda: Images([]), "there are no images"),
    "gray items": (lambda: list(PIXELS[..., 0]), r"image 0 has shape \(9, 8\): .*repeat the channel"),
    "several sizes": (
        lambda: [PIXELS[0], PIXELS[1, :5]], "image 1 is 8×5 pixels, the first 8×9: give image_size= to bring",
    ),
    "8 bits in 16": (lambda: [Image.fromarray(PIXELS[0, ..., 0].astype(np.uint16))], "16 bits and no value above 2"),
    "floating PIL image": (lambda: [Image.fromarray(np.ones((9, 8), np.float32))], "mode F: expected at most 8 bits"),
    "paths": (lambda: ["a.png"], "image 0 is a str: expected a PIL image or a uint8 array"),
    "lists of numbers": (lambda: [{"image": [[1, 2]]}], "image 0 is a list: expected a PIL image"),
    "number": (lambda: 3, "images are a int: expected a uint8 array"),
    "mapping of splits": (lambda: {"train": Images(), "test": Images()}, "mapping of 'train', 'test': expected one"),
    "triples": (lambda: Images(make=lambda i, k: (i, k, 0)), "labels are given twice"),
    "other keys": (lambda: [{"photo": PIL[0]}], "an item has the keys photo: expected one of image, img"),
    "shuffled": (lambda: DataLoader(Images(TENSORS), 2, shuffle=True), "order of a RandomSampler: expected the same"),
    "shuffled batches": (
        lambda: loader(batch_sampler=BatchSampler(RandomSampler(range(7)), 2, drop_last=False)), "a RandomSampler: exp",
    ),
    "order of one's own": (lambda: loader(sampler=iter([1, 0])), "in the order of a list_iterator: expected the same"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_pixels_is_refused_with_the_fix(tmp_path: Path, make, said: str) -> None:
    with pytest.raises(DataError, match=said) as refused:
        read(tmp_path, make(), LABELS)
    assert "\n" not in str(refused.value)


NO_LABELS = {
    "missing": (PIXELS, None, "labels are missing: give labels=, one whole number an image"),
    "of items": (PIL, None, r"an item of the images is a \w*Image\w*: expected \(image, label\).*give labels= too"),
    "triples": ([(PIL[0], 1, 2)], None, r"an item of the images is a tuple of 3: expected \(image, label\)"),
    "no key": ([{"image": PIL[0]}], None, "the keys image: expected one of label, labels"),
    "too few": (PIXELS, LABELS[:5], r"labels must be 7 whole numbers, one an image, not int64 \(5,\)"),
    "too many of items": (PIL, LABELS.repeat(2), r"labels must be 7 whole numbers, one an image, not int64 \(14,\)"),
    "floats": (PIXELS, LABELS / 1, r"whole numbers, one an image, not float64"),
    "one-hot": (PIXELS, np.eye(3, dtype=int)[LABELS], r"not int64 \(7, 3\)"),
    "words": (PIXELS, ["a"] * 7, r"not <U1 \(7,\)"),
    "truth values": (PIXELS, LABELS > 0, "not bool"),
    "of a soft data set": (Images(make=lambda image, label: (image, label + 0.5)), None, "not float64"),
    "none in some": (Images(make=lambda image, label: (image, label or None)), None, "not object"),
    "uneven": ([(PIL[0], [1]), (PIL[1], [1, 2])], None, "labels must be 2 whole numbers"),
}


@pytest.mark.parametrize(("images", "labels", "said"), NO_LABELS.values(), ids=NO_LABELS)
def test_labels_are_one_whole_number_an_image(tmp_path: Path, images, labels, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(tmp_path, images, labels)


def test_labels_of_any_kind_of_whole_numbers(tmp_path: Path) -> None:
    for labels in (LABELS[:, None], torch.from_numpy(LABELS)[:, None]):  # as MedMNIST has them
        np.testing.assert_array_equal(read(tmp_path, PIXELS, labels).labels, LABELS)
    for labels in (LABELS.tolist(), tuple(LABELS), LABELS.astype(">u2"), torch.from_numpy(LABELS), list(range(7))):
        assert read(tmp_path, PIXELS, labels).labels.dtype == np.int64


def test_a_loader_whose_batch_is_uneven(tmp_path: Path) -> None:
    uneven = DataLoader(Images(TENSORS), 4, collate_fn=lambda items: ([i for i, _ in items], [0]))
    with pytest.raises(DataError, match="a batch of the DataLoader has 4 images and 1 labels"):
        read(tmp_path, uneven)


def test_a_broken_file_that_pil_reads_only_now(tmp_path: Path) -> None:
    PIL[1].save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:100])
    with pytest.raises(DataError, match="image 1 cannot be decoded"):
        read(tmp_path, [PIL[0], Image.open(tmp_path / "a.png")], [0, 1])


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        read(tmp_path, PIL, LABELS)
