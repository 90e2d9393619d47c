"""Object masks: which pixels are object, the way of their images, and what is wrong said in one line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.layout import DatasetSpec, open_dataset
from failmodes.ingest.datasets.layouts.arrays import write_arrays
from failmodes.runtime.errors import DataError

SHAPE = np.zeros((20, 30), np.bool_)
SHAPE[4:12, 6:20] = True


def save(path: Path, pixels: np.ndarray, mode: str | None = None, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def palette_mask() -> Image.Image:
    image = Image.fromarray(np.where(SHAPE, 3, 0).astype(np.uint8), "L").convert("P")
    image.putdata(np.where(SHAPE, 3, 0).reshape(-1).tolist())
    image.putpalette([0, 0, 0, 9, 9, 9, 9, 9, 9, 1, 1, 1])  # dark colors: the index decides
    return image


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("cat/0.jpg", "cat/1.png", "dog/0.png"):
        save(tmp_path / "images" / name, rng.integers(0, 256, (20, 30, 3), dtype=np.uint8))
    for name in ("cat/0.png", "cat/1.png", "dog/0.png"):
        save(tmp_path / "masks" / name, np.where(SHAPE, 255, 0).astype(np.uint8))
    return tmp_path


def opened(root: Path, split: str | None = None, **keys: object) -> Dataset:
    spec = DatasetSpec.model_validate({"kind": "folder", "path": root / "images", "masks": root / "masks", **keys})
    return open_dataset(spec, root / "cache", split)


def masks_of(dataset: Dataset) -> np.ndarray:
    assert dataset.masks is not None
    assert dataset.masks.dtype == np.bool_
    return np.asarray(dataset.masks)


def test_masks_are_found_by_name_whatever_their_format(root: Path) -> None:
    dataset = opened(root)
    assert (masks_of(dataset) == SHAPE).all()
    assert dataset.masks_id is not None
    assert "object masks (none of them empty)" in dataset.describe()
    assert opened(root, masks=None).dataset_id == dataset.dataset_id
    assert opened(root, masks=None).masks_id is None


@pytest.mark.parametrize("how", ["0 and 1", "red", "palette", "1 bit", "16 bits", "transparent"])
def test_every_kind_of_mask_gives_the_same_object(root: Path, how: str) -> None:
    color = np.zeros((*SHAPE.shape, 4), np.uint8)
    color[SHAPE, 0], color[..., 3] = 255, 255
    path = root / "masks/cat/0.png"
    if how == "palette":
        palette_mask().save(path)
    elif how == "transparent":
        color[..., :3], color[..., 3] = 255, np.where(SHAPE, 255, 0)
        save(path, color)
    else:
        pixels = {
            "0 and 1": SHAPE.astype(np.uint8),
            "red": color[..., :3],
            "1 bit": SHAPE,
            "16 bits": np.where(SHAPE, 40_000, 20_000).astype(np.uint16),
        }
        save(path, pixels[how])
    np.testing.assert_array_equal(masks_of(opened(root))[0], SHAPE)


def test_masks_are_resized_and_cropped_as_their_images_are(root: Path) -> None:
    """Images that show their own mask: after both went their way, image and mask still agree, but for soft edges."""
    white = np.repeat(np.where(SHAPE, 255, 0).astype(np.uint8)[..., None], 3, axis=2)
    for name in ("cat/0.jpg", "cat/1.png", "dog/0.png"):
        save(root / "images" / name, white)
    dataset = opened(root, image_size=48, resize=60)
    soft = (np.asarray(dataset.images[1]) > 10) & (np.asarray(dataset.images[1]) < 245)
    agree = (np.asarray(dataset.images[1])[..., 0] > 127) == masks_of(dataset)[1]
    assert agree[~soft[..., 0]].all()
    assert agree.mean() > 0.97
    assert 0.2 < masks_of(dataset)[1].mean() < 0.8


def test_a_mask_lies_as_its_image_is_turned(root: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6  # turn by a quarter
    for name in ("cat/0.jpg", "cat/1.png", "dog/0.png"):
        save(root / "images" / name, np.zeros((30, 20, 3), np.uint8), exif=exif)
    assert (masks_of(opened(root)) == SHAPE).all()


def test_another_mask_is_another_fingerprint(root: Path) -> None:
    before = opened(root).masks_id
    save(root / "masks/dog/0.png", np.where(~SHAPE, 255, 0).astype(np.uint8))
    assert opened(root).masks_id != before


def _remove(root: Path) -> None:
    (root / "masks/cat/0.png").unlink()


def _smaller(root: Path) -> None:
    save(root / "masks/cat/1.png", np.zeros((10, 30), np.uint8))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_remove, r"has no mask of cat/0.jpg \(1 of 3 images have none\)"),
        (_smaller, "cat/1.png is 30×10 pixels and its image 30×20"),
    ],
)
def test_what_is_wrong_with_masks_is_one_line(root: Path, spoil, says: str) -> None:
    spoil(root)
    with pytest.raises(DataError, match=says) as raised:
        opened(root)
    assert "\n" not in str(raised.value)
    assert not list((root / "cache").rglob("*tmp*"))


def test_arrays_have_their_masks_in_one_file(tmp_path: Path) -> None:
    images = np.zeros((3, 8, 8, 3), np.uint8)
    write_arrays(tmp_path / "arrays", images, np.array([0, 1, 0]), ("a", "b"))
    masks = np.zeros((3, 8, 8), np.bool_)
    masks[:2, 2:4] = True
    np.save(tmp_path / "masks.npy", masks)
    keys = {"kind": "arrays", "path": tmp_path / "arrays", "masks": tmp_path / "masks.npy"}
    dataset = open_dataset(DatasetSpec.model_validate(keys), tmp_path / "cache")
    np.testing.assert_array_equal(masks_of(dataset), masks)
    assert dataset.empty_masks == 1
    for wrong, says in ((masks[:2], r"shape \(2, 8, 8\)"), (masks * 255.0, "float64"), (masks * np.uint8(9), "uint8")):
        np.save(tmp_path / "masks.npy", wrong)
        with pytest.raises(DataError, match=says):
            open_dataset(DatasetSpec.model_validate(keys), tmp_path / "cache")
