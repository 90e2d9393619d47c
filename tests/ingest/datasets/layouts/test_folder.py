"""A folder of labeled images: order, sizes, modes, and what is wrong said in one line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.layout import DatasetSpec, open_dataset
from failmodes.runtime.errors import DataError

RNG = np.random.default_rng(0)


def save(path: Path, size: tuple[int, int] = (16, 16), mode: str = "RGB") -> Path:
    """Save noise of `size` (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).convert(mode).save(path)
    return path


def opened(path: Path, image_size: int | None = None, split: str | None = None, resize: int | None = None) -> Dataset:
    spec = DatasetSpec(kind="folder", path=path, image_size=image_size, resize=resize)
    return open_dataset(spec, path.parent / "cache", split)


def test_order_labels_and_names(tmp_path: Path) -> None:
    root = tmp_path / "pets"
    for name in ("dog/2.png", "dog/10.JPG", "cat/b.jpeg", "cat/a.png", "ant/x.png"):
        save(root / name)
    (root / "dog" / "notes.txt").write_text("not an image")
    (root / ".hidden").mkdir()
    dataset = opened(root)
    assert dataset.class_names == ("ant", "cat", "dog")
    assert dataset.files == ("ant/x.png", "cat/a.png", "cat/b.jpeg", "dog/10.JPG", "dog/2.png")
    assert dataset.labels.tolist() == [0, 1, 1, 2, 2]
    assert dataset.label == "pets"
    assert dataset.note == "skipped: 1 file of another format (dog/notes.txt), 1 hidden folder (.hidden/)"
    np.testing.assert_array_equal(dataset.images[4], np.asarray(Image.open(root / "dog" / "2.png")))


def test_resize_then_crop_as_published_for_imagenet(tmp_path: Path) -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    for number, pixels in enumerate(load_sample_images().images):
        (tmp_path / "set" / "a").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "set" / "a" / f"{number}.png")
    published = opened(tmp_path / "set", 224, resize=256)
    for pixels, found in zip(load_sample_images().images, published.images, strict=True):
        expected = v2.Compose([v2.Resize(256), v2.CenterCrop(224)])(Image.fromarray(pixels))
        np.testing.assert_array_equal(found, np.asarray(expected))
    assert published.note == "shorter side resized to 256 pixels, center cropped to 224"
    assert opened(tmp_path / "set", 224).dataset_id != published.dataset_id
    assert opened(tmp_path / "set", 224, resize=224).dataset_id == opened(tmp_path / "set", 224).dataset_id


def test_split_folders_are_used_where_they_are(tmp_path: Path) -> None:
    root = tmp_path / "set"
    save(root / "train" / "a" / "1.png")
    save(root / "train" / "b" / "1.png")
    save(root / "test" / "a" / "1.png")
    (root / "test" / "b").mkdir()
    assert len(opened(root, split="train").labels) == 2
    test = opened(root)
    assert test.class_names == ("a", "b")
    assert test.note == "no images of b"
    save(tmp_path / "flat" / "a" / "1.png")
    with pytest.raises(DataError, match="its images are its test split"):
        opened(tmp_path / "flat", split="train")
