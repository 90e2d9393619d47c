"""A folder of labeled images: order, sizes, modes, and what is wrong said in one line."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_sample_images

from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.decoding import resize_and_crop
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.specification import DatasetSpec
from failmodes.warehouse.errors import DataError, StudyError

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


def test_images_of_many_sizes_and_modes_become_one(tmp_path: Path) -> None:
    root = tmp_path / "zoo"
    for mode in ("L", "RGBA", "P", "1", "RGB", "LA"):
        save(root / "a" / f"{mode}.png", (50, 30), mode)
    save(root / "a" / "cmyk.jpg", (20, 64), "CMYK")
    save(root / "b" / "long.png", (300, 33))
    dataset = opened(root, image_size=24)
    assert dataset.images.shape == (8, 24, 24, 3)
    gray = np.asarray(dataset.images[list(dataset.files or ()).index("a/L.png")])
    assert (gray[..., 0] == gray[..., 1]).all()
    assert dataset.note == (
        "shorter side resized to 24 pixels, center cropped; 3 gray images repeated over three channels;"
        " 1 CMYK image converted to RGB"
    )
    with pytest.raises(DataError, match="set `image_size`"):
        opened(root)


def test_the_center_is_cropped() -> None:
    stripes = np.zeros((10, 30, 3), np.uint8)
    stripes[:, 10:20] = 255
    assert (np.asarray(resize_and_crop(Image.fromarray(stripes), 10)) == 255).all()
    assert (np.asarray(resize_and_crop(Image.fromarray(stripes.transpose(1, 0, 2)), 10)) == 255).all()
    for width, height in ((7, 100), (33, 32), (64, 63)):
        assert resize_and_crop(Image.new("RGB", (width, height)), 32).size == (32, 32)


SIDES = st.integers(20, 90)


@settings(max_examples=60, deadline=None)
@given(width=SIDES, height=SIDES, side=st.integers(8, 40), more=st.integers(0, 9))
def test_photographs_are_prepared_as_torchvision_does(width: int, height: int, side: int, more: int) -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    image = Image.fromarray(RNG.integers(0, 256, (height, width, 3), dtype=np.uint8))
    expected = v2.Compose([v2.Resize(side + more), v2.CenterCrop(side)])(image)
    np.testing.assert_array_equal(np.asarray(resize_and_crop(image, side, side + more)), np.asarray(expected))


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


def test_counts_that_are_lost_or_spoilt_are_counted_again(tmp_path: Path) -> None:
    save(tmp_path / "set" / "a" / "gray.png", mode="L")
    before = opened(tmp_path / "set")
    counts = next((tmp_path / "cache").rglob("*.json"))
    for content in ("{", "[]", '{"gray": "many"}', '{"strange": 1}', '{"gray": true}', '{"gray": 0}'):
        counts.write_text(content)
        after = opened(tmp_path / "set")
        assert (after.note, after.dataset_id) == (before.note, before.dataset_id)
    counts.unlink()
    assert opened(tmp_path / "set").note == before.note == "1 gray image repeated over three channels"


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


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    save(tmp_path / "vehicles" / "train" / "1.png")
    save(tmp_path / "vehicles" / "bus" / "1.png")
    spec = DatasetSpec(kind="folder", path=tmp_path / "vehicles", split="train")
    assert open_dataset(spec, tmp_path / "cache").class_names == ("bus", "train")


def test_another_size_or_a_changed_file_is_decoded_again(tmp_path: Path) -> None:
    file = save(tmp_path / "set" / "a" / "1.png", (40, 40))
    ids = {opened(tmp_path / "set", size).dataset_id for size in (None, 16, 24)}
    assert len(ids) == 3
    save(file, (40, 41))
    assert opened(tmp_path / "set", 16).dataset_id not in ids


def test_broken_folders_are_one_clear_line(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    no_images = tmp_path / "no images"
    (no_images / "cat").mkdir(parents=True)
    text = tmp_path / "text"
    save(text / "a" / "1.png")
    (text / "a" / "2.png").write_text("these are words")
    cut = tmp_path / "cut"
    whole = save(cut / "a" / "1.jpg", (64, 64))
    whole.write_bytes(whole.read_bytes()[:1000])
    deep = tmp_path / "deep"
    (deep / "a").mkdir(parents=True)
    Image.fromarray(np.full((16, 16), 200, np.uint16)).save(deep / "a" / "1.png")
    float_values = tmp_path / "floats"
    (float_values / "a").mkdir(parents=True)
    Image.fromarray(np.ones((16, 16), np.float32)).save(float_values / "a" / "1.tif")
    file = tmp_path / "file"
    file.write_text("")
    cases = {
        empty: "has no class folders",
        no_images: "but no images",
        text: r"2\.png cannot be decoded \(not an image\)",
        cut: r"1\.jpg cannot be decoded \(damaged: ",
        deep: "has 16 bits and no value above 200, so that it would become black",
        float_values: "at most 8 bits a channel, or gray values of 16 bits",
        file: "is a file, not a folder",
        tmp_path / "nowhere": "does not exist: expected a folder of class folders",
    }
    for path, message in cases.items():
        missing = path.name in ("file", "nowhere")  # which is what the user typed
        with pytest.raises(StudyError if missing else DataError, match=message) as caught:
            opened(path)
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*.npy"))


def test_images_that_are_said_to_be_gray_are(tmp_path: Path) -> None:
    root = tmp_path / "set"
    save(root / "a" / "1.png", mode="L")
    save(root / "b" / "2.png", mode="L")
    spec = DatasetSpec(kind="folder", path=root, gray=True)
    dataset = open_dataset(spec, tmp_path / "cache")
    plain = open_dataset(DatasetSpec(kind="folder", path=root), tmp_path / "cache")
    assert (dataset.gray, plain.gray) == (True, False)
    assert dataset.dataset_id == plain.dataset_id
    assert dataset.note == f"gray, and kept so by corruptions; {plain.note}"
    save(root / "b" / "3.png")
    opened(root)  # the cache then has the colors
    with pytest.raises(DataError, match=r"b/3\.png is not gray, its channels differ: make it gray, or leave out"):
        open_dataset(spec, tmp_path / "cache")


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
