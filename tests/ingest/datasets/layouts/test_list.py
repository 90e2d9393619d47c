"""Lists of images: paths, labels, splits and metadata, from CSV and Parquet, and what is refused in one line."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from failmodes.ingest.datasets.dataset import Dataset, record_dataset
from failmodes.ingest.datasets.layout import DatasetSpec, open_dataset
from failmodes.runtime.errors import DataError, FailmodesError, StudyError
from failmodes.warehouse import schema
from failmodes.warehouse.shards.format import dimension_path, read_verified

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 20, 24, 3)).astype(np.uint8)
ROWS = {
    "path": [f"photos/{number}.png" for number in range(6)],
    "label": ["dog", "cat", "dog", "bird", "cat", "cat"],
    "split": ["test", "train", "test", "test", "test", "extra"],
    "camera": ["a", "b", "", "a", "c", "a"],
    "iso": [100, 200, 100, 400, None, 800],
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for number, pixels in enumerate(PIXELS):
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
    return tmp_path


def opened(path: Path, split: str = "test", **keys: object) -> Dataset:
    return open_dataset(DatasetSpec(kind="list", path=path, **keys), path.parent / "cache", split)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_list_gives_images_classes_and_metadata(photos: Path, suffix: str) -> None:
    frame, path = pl.DataFrame(ROWS), photos / f"images.{suffix}"
    frame.write_csv(path) if suffix == "csv" else frame.write_parquet(path)
    dataset = opened(path)
    chosen = [0, 2, 3, 4]
    np.testing.assert_array_equal(dataset.images[:], PIXELS[chosen])
    assert dataset.class_names == ("bird", "cat", "dog"), "of the whole list, sorted"
    assert dataset.labels.tolist() == [2, 2, 0, 1]
    assert dataset.files == tuple(ROWS["path"][row] for row in chosen)
    metadata = {"camera": ["a", None, "a", "c"], "iso": [100, 100, 400, None]}
    assert {name: values.to_pylist() for name, values in dataset.metadata.items()} == metadata
    assert "1 rows whose split is neither train nor test" in str(dataset.note)
    assert opened(path, "train").labels.tolist() == [1]
    record_dataset(photos / "out", dataset)
    rows = read_verified(dimension_path(photos / "out", schema.IMAGES, dataset.dataset_id)).rows
    assert rows.select([*metadata]).to_pydict() == metadata
    assert rows.schema.field("iso").type == "int64"


def test_it_prepares_images_as_a_folder_does(photos: Path) -> None:
    pl.DataFrame({"path": ROWS["path"], "label": ["x", "y"] * 3}).write_csv(photos / "images.csv")
    for number, name in enumerate(ROWS["path"]):
        target = photos / "folder" / "xy"[number % 2] / Path(name).name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((photos / name).read_bytes())
    keys = {"image_size": 16, "resize": 18}
    of_folder = open_dataset(DatasetSpec(kind="folder", path=photos / "folder", **keys), photos / "cache")
    of_list = opened(photos / "images.csv", **keys)
    np.testing.assert_array_equal(of_list.images[[0, 2, 4, 1, 3, 5]], of_folder.images[:])
    assert of_list.note == of_folder.note == "shorter side resized to 18 pixels, center cropped to 16"


def test_labels_may_be_whole_numbers_and_paths_absolute(photos: Path) -> None:
    (photos / "lists").mkdir()
    rows = {"path": [str(photos / "photos" / "1.png"), "../photos/0.png"], "label": [3, 0]}
    pl.DataFrame(rows).write_parquet(photos / "lists" / "images.parquet")
    dataset = opened(photos / "lists" / "images.parquet")
    assert dataset.class_names == ("0", "1", "2", "3")
    assert dataset.labels.tolist() == [3, 0]
    np.testing.assert_array_equal(dataset.images[:], PIXELS[[1, 0]])


REFUSED: dict[str, tuple[str, str]] = {
    "no label": ("path\nphotos/0.png\n", "has the columns path: expected the columns path and label"),
    "an empty label": ("path,label\nphotos/0.png,a\nphotos/1.png,\n", "row 2: label is empty"),
    "no rows": ("path,label\n", "has 0 rows"),
    "ragged": ("path,label\na,b,c\n", "cannot be read as a table"),
    "a URL": ("path,label\nhttps://host/1.png,a\n", "row 1: https://host/1.png is a URL: download"),
    "a null character": ("path,label\nphotos/\x001.png,a\n", "is no path of a file"),
    "a missing file": ("path,label\nphotos/9.png,a\n", "9.png is no file .1 of 1 images.: paths are relative"),
    "a text": ("path,label\nimages.csv,a\n", "cannot be decoded"),
    "no split": ("path,label,split\nphotos/0.png,a,val\n", "no row with split 'test': it has 'val'"),
    "an escape": ("path,label,a\x1b[2J\nphotos/0.png,a,1\n", "name it in at most 200 printable"),
    "a large label": ("path,label\nphotos/0.png,99999999\n", "expected class indices from 0 to"),
    "a null character in a label": ("path,label\nphotos/0.png,a\0\nphotos/1.png,b\n", "a name with a null character"),
    "a null character in a column": ("path,label,a\0\nphotos/0.png,a,1\n", "has a name with a null character"),
    "a null character in metadata": ("path,label,note\nphotos/0.png,a,x\0\n", "has a text with a null character"),
    "a quote that does not end": ('path,label\nphotos/0.png,"SECRET\n', r"could not parse a field\)"),
    "text behind a quote": ('path,label\nphotos/0.png,"a"SECRET,"b"\n', r"could not parse a field\)"),
    "not UTF-8": ("path,label\nphotos/0.png,\udcff\n", "cannot be read as a table"),
    "a long value": (f"path,label,note\nphotos/0.png,a,{'x' * 1001}\n", "has a text of 1,001 characters"),
    "a name of ours": ("path,label,Correct\nphotos/0.png,a,1\n", "a column 'Correct', which is the name of a column"),
    "one name in SQL": ("path,label,a,A\nphotos/0.png,a,1,2\n", "'a' and 'A', the same in SQL: rename one"),
    "many columns": (
        "path,label," + ",".join(f"c{n}" for n in range(201)) + "\nphotos/0.png,a" + ",1" * 201 + "\n",
        "201 columns of metadata, at most 200",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_wrong_lists_are_refused_in_one_line(photos: Path, text: str, message: str) -> None:
    (photos / "images.csv").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(FailmodesError, match=message.replace("[", r"\[")) as caught:
        opened(photos / "images.csv")
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()


def test_other_files_are_refused(photos: Path) -> None:
    pl.DataFrame({"path": ["photos/0.png"], "label": [["a", "b"]]}).write_parquet(photos / "nested.parquet")
    with pytest.raises(DataError, match="the column label holds List"):
        opened(photos / "nested.parquet")
    whole = (photos / "nested.parquet").read_bytes()
    (photos / "cut.parquet").write_bytes(whole[:-9])
    with pytest.raises(DataError, match="cannot be read as a table"):
        opened(photos / "cut.parquet")
    (photos / "images.txt").write_text("path,label\n")
    with pytest.raises(DataError, match="has an unknown suffix"):
        opened(photos / "images.txt")
    with pytest.raises(StudyError, match="is not a regular file"):
        opened(photos)
    (photos / "plain.csv").write_text("path,label\nphotos/0.png,a\n")
    with pytest.raises(DataError, match="is the test split: it has no train images"):
        opened(photos / "plain.csv", "train")
    Image.fromarray(PIXELS[0][:9]).save(photos / "photos" / "1.png")
    (photos / "plain.csv").write_text("path,label\nphotos/0.png,a\nphotos/1.png,b\n")
    with pytest.raises(DataError, match="set `image_size`"):
        opened(photos / "plain.csv")


@pytest.mark.test_all
def test_a_list_of_real_photographs_opens(tmp_path: Path, real_data: Path) -> None:
    photos = sorted((real_data / "imagenet_sample").glob("*.jpg"))[:20]
    rows = {"path": list(map(str, photos)), "label": [photo.name.partition("_")[0] for photo in photos]}
    pl.DataFrame(rows).write_csv(tmp_path / "images.csv")
    dataset = opened(tmp_path / "images.csv", image_size=64, resize=72)
    assert dataset.images.shape == (20, 64, 64, 3)
    assert dataset.class_names == tuple(sorted(rows["label"]))
    record_dataset(tmp_path / "out", dataset)
    classes = read_verified(dimension_path(tmp_path / "out", schema.CLASSES, dataset.dataset_id)).rows.to_pylist()
    assert classes[0]["class_name"] == "tench", "ImageNet's name of n01440764"
