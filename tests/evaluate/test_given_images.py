"""Labeled images in memory are converted to one array; other inputs than uint8 pixels are refused with a fix."""

from pathlib import Path

import numpy as np
import pytest
import torch
from encoded_files import encoded
from PIL import Image
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
    default_collate,
)
from torchvision.transforms import v2

from failmodes.evaluate.given_images import read_given_images
from failmodes.runtime.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 9, 8, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2, 0])
TENSORS = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)
PIL = [Image.fromarray(image) for image in PIXELS]


class Images(Dataset):
    """A data set of (image, label), or of what `make` makes of these."""

    def __init__(self, images=PIL, make=lambda image, label: (image, label)) -> None:
        self.images, self.make = images, make

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int):
        return self.make(self.images[index], int(LABELS[index]))  # never an IndexError of its own


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(PIL, LABELS, strict=True))


class ClassLabel:
    """As the feature of Hugging Face's data sets."""

    def __init__(self, names=("a", "b", "c")) -> None:
        self.names = list(names)


class HuggingFace:
    """As a data set of Hugging Face, which is no torch Dataset: mappings, and features that say what is what."""

    def __init__(self, image="image", label="label", more=None) -> None:
        kind = type("Image", (), {})
        self.features = {image: kind(), label: ClassLabel()} | (more or {})
        others = {"other": 1} | dict.fromkeys(more or {}, 0)
        self.items = [others | {image: i, label: int(k)} for i, k in zip(PIL, LABELS, strict=True)]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int):
        return self.items[index]

    def __iter__(self):
        return iter(self.items)


def loader(images=TENSORS, **options) -> DataLoader:
    return DataLoader(TensorDataset(images, torch.from_numpy(LABELS)), **options)


class NotInMemory:
    """As arrays of HDF5 or Zarr are: shape, type and slices."""

    shape, dtype = PIXELS.shape, PIXELS.dtype

    def __len__(self) -> int:
        return len(PIXELS)

    def __getitem__(self, rows):
        return PIXELS[rows]


def read(tmp_path: Path, images, labels=None, **options):
    return read_given_images(images, labels, tmp_path / "cache", **options)


ALONE = {
    "array": lambda: PIXELS,
    "array, channels first": lambda: np.ascontiguousarray(PIXELS.transpose(0, 3, 1, 2)),
    "not in memory": NotInMemory,
    "tensor": lambda: TENSORS,
    "tensor, channels last": lambda: torch.from_numpy(PIXELS),
    "list of arrays": lambda: list(PIXELS),
    "list of PIL images": lambda: PIL,
    "generator": lambda: (image for image in PIL),
    "data set": lambda: Images(make=lambda image, _: image),
    "mappings": lambda: [{"img": image} for image in PIL],
    "loader": lambda: DataLoader(TensorDataset(TENSORS), batch_size=3),
}
WITH_LABELS = {
    "data set of tensors": lambda: Images(TENSORS),
    "data set with transform": lambda: Images(make=lambda image, label: (v2.functional.pil_to_tensor(image), label)),
    "data set of other keys": lambda: Images(make=lambda image, label: {"pixel_values": image, "target": label}),
    "labels in a tensor each": lambda: Images(make=lambda image, label: (image, torch.tensor([label]))),
    "tensor labels": lambda: Images(make=lambda image, label: (image, torch.tensor(label))),
    "list of pairs": lambda: list(zip(PIL, LABELS, strict=True)),
    "subset": lambda: Subset(Images(PIL + PIL), range(7)),
    "stream": Stream,
    "loader": lambda: loader(batch_size=3),
    "loader with workers": lambda: loader(batch_size=2, num_workers=2),
    "loader of a stream": lambda: DataLoader(Stream(), batch_size=2, collate_fn=lambda items: list(zip(*items))),  # noqa: B905
    "loader with an order": lambda: loader(sampler=list(range(7)), batch_size=2),
    "Hugging Face": HuggingFace,
    "Hugging Face, two labels": lambda: HuggingFace("img", "fine_label", {"coarse_label": ClassLabel()}),
}


@pytest.mark.parametrize("make", ALONE.values(), ids=ALONE)
def test_images_alone_come_with_labels_of_their_own(tmp_path: Path, make) -> None:
    given = read(tmp_path, make(), LABELS.tolist())
    np.testing.assert_array_equal(given.images[:], PIXELS)
    np.testing.assert_array_equal(given.labels, LABELS)
    assert (given.labels.dtype, given.images.dtype, given.images.shape) == (np.int64, np.uint8, PIXELS.shape)


@pytest.mark.test_all
@pytest.mark.parametrize("make", WITH_LABELS.values(), ids=WITH_LABELS)
def test_data_sets_bring_their_labels(tmp_path: Path, make) -> None:
    given = read(tmp_path, make())
    np.testing.assert_array_equal(given.images[:], PIXELS)
    np.testing.assert_array_equal(given.labels, LABELS)
    assert given.left_out is None


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "I;16"])
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
    on_red = read(tmp_path, images, LABELS, background=(255, 0, 0))
    assert (on_red.images[1] == (255, 0, 0)).all()


def test_encoded_images_are_decoded(tmp_path: Path) -> None:
    """As Hugging Face gives them with Image(decode=False): bytes, or the path of a file."""
    (tmp_path / "6.png").write_bytes(encoded(PIL[6]))
    cells = [{"bytes": encoded(image), "path": None} for image in PIL[:6]] + [
        {"bytes": None, "path": tmp_path / "6.png"}
    ]
    np.testing.assert_array_equal(read(tmp_path, [{"image": cell} for cell in cells], LABELS).images, PIXELS)
    with pytest.raises(DataError, match=r"image 0 cannot be decoded .not an image"):
        read(tmp_path, [b"GIF"], LABELS[:1])


class EndsEarly:
    """A sequence that states more images than it has."""

    def __len__(self) -> int:
        return 9

    def __getitem__(self, index: int):
        return PIL[index], LABELS[index]


LEFT_OUT = {
    "sampler": (lambda: loader(sampler=[0, 1, 2, 3], batch_size=3), "3 of 7 images of the dataset"),
    "collate_fn": (lambda: loader(batch_size=3, collate_fn=lambda items: default_collate(items[:2])), "2 of 7 images"),
    "sequence": (EndsEarly, "2 of 9 images of the dataset are left out, because it ends before them"),
}


@pytest.mark.parametrize(("make", "line"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_images_that_are_not_yielded_are_counted(tmp_path: Path, make, line: str) -> None:
    assert read(tmp_path, make()).left_out.startswith(line)


def test_other_images_on_a_second_reading_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    flipping = Images(make=lambda image, label: (np.asarray(image)[:, :: rng.choice([1, -1])], label))
    with pytest.raises(DataError, match=r"image \d has different pixels when the dataset is read again"):
        read(tmp_path, flipping)
    with pytest.raises(DataError, match="labels are given twice"):
        read(tmp_path, Images(), LABELS)


@pytest.mark.test_all
def test_a_data_set_of_hugging_face(tmp_path: Path) -> None:
    import datasets

    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=["a", "b", "c"]))
    made = datasets.Dataset.from_dict({"image": PIL, "label": LABELS.tolist()}, features=features)
    given = read(tmp_path, made)
    np.testing.assert_array_equal(given.images, PIXELS)
    np.testing.assert_array_equal(given.labels, LABELS)
    assert given.label_names == ("a", "b", "c")
    assert read(tmp_path, Subset(made, range(4))).label_names == ("a", "b", "c")
    both = made.add_column("quality", [0] * 7).cast_column("quality", datasets.ClassLabel(names=["x", "y"]))
    assert read(tmp_path, both).note == "labels are the column 'label'"
    assert read(tmp_path, both, label_column="quality").label_names == ("x", "y")
    with pytest.raises(DataError, match=r"several columns have the type ClassLabel \(species, quality\)"):
        read(tmp_path, both.rename_column("label", "species"))
    alone = read(tmp_path, made.select_columns("image"), made["label"])
    np.testing.assert_array_equal(alone.labels, LABELS)


FLOATS = r"images are float32: expected uint8 pixels \(0 to 255\).*remove ToTensor, ToDtype and Normalize"
REFUSED = {
    "float array": (lambda: PIXELS / np.float32(255), FLOATS),
    "float tensor": (lambda: TENSORS / 255, FLOATS),
    "one image": (lambda: PIXELS[0], r"shape \(9, 8, 3\): .*one image is images\[None\]"),
    "gray array": (lambda: PIXELS[..., 0], r"shape \(7, 9, 8\): .*for gray images, repeat the channel"),
    "no images": (lambda: PIXELS[:0], "no images: the dataset is empty"),
    "several sizes": (
        lambda: [PIXELS[0], PIXELS[1, :5]], "image 1 is 8×5 pixels, the first 8×9: set image_size= to crop",
    ),
    "8 bits in 16": (lambda: [Image.fromarray(PIXELS[0, ..., 0].astype(np.uint16))], "16 bits and no value above 2"),
    "paths": (lambda: ["a.png"], "image 0 is a str: expected a PIL image, a uint8 array or"),
    "mapping of splits": (lambda: {"train": Images(), "test": Images()}, "mapping of 'train', 'test': expected one"),
    "last batch dropped": (
        lambda: DataLoader(Images(TENSORS), 2, drop_last=True), "drops 1 of 7 images .*set drop_last=False"
    ),
    "last batch of a stream dropped": (
        lambda: DataLoader(Stream(), 2, drop_last=True), "drops the images after the last full batch of 2"
    ),
    "shuffled": (lambda: DataLoader(Images(TENSORS), 2, shuffle=True), "with a RandomSampler: expected the same"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "said"), REFUSED.values(), ids=REFUSED)
def test_inputs_other_than_uint8_pixels_are_refused_with_a_fix(tmp_path: Path, make, said: str) -> None:
    with pytest.raises(DataError, match=said) as refused:
        read(tmp_path, make(), LABELS)
    assert "\n" not in str(refused.value)


NO_LABELS = {
    "missing": (PIXELS, None, "labels are missing: set labels=, one integer per image"),
    "triples": ([(PIL[0], 1, 2)], None, r"an item of the images is a tuple of 3: expected \(image, label\)"),
    "no key": ([{"image": PIL[0]}], None, "the keys image: expected one of label, labels"),
    "too few": (PIXELS, LABELS[:5], r"labels must be 7 integers, one per image, not int64 \(5,\)"),
    "one-hot": (PIXELS, np.eye(3, dtype=int)[LABELS], r"not int64 \(7, 3\)"),
    "of a soft data set": (Images(make=lambda image, label: (image, label + 0.5)), None, "not float64"),
}


@pytest.mark.parametrize(("images", "labels", "said"), NO_LABELS.values(), ids=NO_LABELS)
def test_labels_are_one_integer_per_image(tmp_path: Path, images, labels, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(tmp_path, images, labels)
