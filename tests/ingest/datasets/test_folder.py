"""A folder of labeled images: order, sizes, modes, and what is wrong said in one line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.specification import DatasetSpec
from failmodes.warehouse.errors import DataError

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
    assert dataset.note == "left out: 1 file of another format (dog/notes.txt), 1 hidden folder (.hidden/)"
    np.testing.assert_array_equal(dataset.images[4], np.asarray(Image.open(root / "dog" / "2.png")))
    assert isinstance(dataset.images, np.memmap)


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


def test_transparent_images_are_composited_and_gray_is_repeated(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (16, 16, 4), dtype=np.uint8)
    (tmp_path / "set" / "a").mkdir(parents=True)
    Image.fromarray(pixels, "RGBA").save(tmp_path / "set" / "a" / "clear.png")
    Image.fromarray(pixels[..., 0]).save(tmp_path / "set" / "a" / "gray.png")
    ids = set()
    for background, word in ((None, "white"), ([0, 0, 0], "black"), ([9, 80, 200], "the color [9, 80, 200]")):
        spec = DatasetSpec(kind="folder", path=tmp_path / "set", background=background)
        for _ in range(2):  # decoded, then from the cache
            dataset = open_dataset(spec, tmp_path / "cache")
            assert dataset.note == (
                f"1 gray image repeated over three channels; 1 transparent image composited on {word}"
            )
        clear, gray = np.asarray(dataset.images)
        alpha = pixels[..., 3:] / 255
        expected = pixels[..., :3] * alpha + np.array(background or [255, 255, 255]) * (1 - alpha)
        assert np.abs(clear - expected).max() < 1
        np.testing.assert_array_equal(gray, np.repeat(pixels[..., :1], 3, axis=2))
        ids.add(dataset.dataset_id)
    assert len(ids) == 3


BAD_KEYS = {
    "resize alone": ({"kind": "folder", "path": "x", "resize": 256}, "goes with `image_size`"),
    "resize below the crop": ({"kind": "folder", "path": "x", "resize": 200, "image_size": 224}, "200 is less than"),
    "resize of digits": ({"kind": "digits", "resize": 256}, "goes with `image_size`"),
    "background of digits": ({"kind": "digits", "background": [0, 0, 0]}, "`background` is for kind 'folder'"),
    "background of two": ({"kind": "folder", "path": "x", "background": [0, 0]}, "at least 3 items"),
    "gray CIFAR": ({"kind": "cifar10", "path": "x", "gray": True}, "`gray` is for gray images: those of cifar10 have"),
    "background beyond": ({"kind": "folder", "path": "x", "background": [0, 0, 256]}, "less than or equal to 255"),
}


@pytest.mark.parametrize(("content", "message"), BAD_KEYS.values(), ids=BAD_KEYS.keys())
def test_keys_that_cannot_be_are_refused(content: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DatasetSpec.model_validate(content)


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


def test_a_study_of_gray_images_corrupts_them_in_gray(tmp_path: Path) -> None:
    from failmodes.evaluate.evaluation_data import open_evaluation_data
    from failmodes.evaluate.study.study_file import read_study

    save(tmp_path / "set" / "a" / "1.png", (32, 32), mode="L")
    sources = []
    for gray in ("true", "false"):
        (tmp_path / "study.toml").write_text(
            f'name = "x"\noutput = "out"\n[dataset]\nkind = "folder"\npath = "set"\ngray = {gray}\n'
        )
        study = read_study(tmp_path / "study.toml", require_models=False)
        (data,) = open_evaluation_data(study, open_dataset(study.dataset, study.cache))
        noisy = data.source.corrupted(data.dataset.images[:1], "gaussian_noise", 5, [0])
        assert (noisy == noisy[..., :1]).all() == (gray == "true")
        sources.append(data.source.source_id)
    assert len(set(sources)) == 2
