"""Published trees as ImageNet-C's: what they hold, how their images pair with clean ones, and what is wrong."""

import csv
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from corrupted_datasets import DIGITS, contents, open_tree, set_options
from PIL import Image

from failmodes.ingest.corrupted_datasets.command import write_corrupted_dataset
from failmodes.ingest.corrupted_datasets.corrupted_dataset import image_names
from failmodes.ingest.corrupted_datasets.layouts.imagenet_c import corruption_folders
from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.datasets.dataset import Dataset, balanced_subset
from failmodes.ingest.datasets.layout import DatasetSpec
from failmodes.runtime.errors import DataError, FailmodesError

SIDE = 64


def test_images_are_those_of_the_files_in_order(tree: Path, photographs: Dataset) -> None:
    source = open_tree(tree, photographs, "contrast")
    ids = np.array([39, 0, 21])
    expected = [
        np.asarray(Image.open(tree / "contrast" / "2" / f"{Path(photographs.files[number]).with_suffix('.JPEG')}"))
        for number in ids
    ]
    np.testing.assert_array_equal(source.corrupted(None, "contrast", Decimal("2.000"), ids), expected)
    assert (source.pairing.paired, source.pairing.image_pairs) == (True, None)
    np.testing.assert_array_equal(source.labels(photographs), photographs.labels)
    assert source.published.names == ("brightness", "contrast")
    assert source.row()["source_label"] == "Tiles-C (published)"
    with pytest.raises(DataError, match="images 0 to 39"):
        source.corrupted(None, "contrast", 1, [40])


def test_the_tars_group_folders_and_aliases_are_the_same_set(tree: Path, photographs: Dataset, tmp_path: Path) -> None:
    shutil.copytree(tree / "brightness", tmp_path / "weather" / "brightness")
    shutil.copytree(tree / "contrast", tmp_path / "digital" / "contrast")
    assert open_tree(tmp_path, photographs, "contrast").source_id == open_tree(tree, photographs).source_id
    shutil.copytree(tree / "contrast", tmp_path / "extra" / "elastic")
    assert open_tree(tmp_path, photographs, "elastic_transform").published.names[-1] == "elastic_transform"
    shutil.copytree(tree / "contrast", tmp_path / "contrast")
    with pytest.raises(DataError, match="contrast has two folders"):
        open_tree(tmp_path, photographs)


def test_identity_is_the_content(tree: Path, photographs: Dataset, tmp_path: Path) -> None:
    copy, cache = shutil.copytree(tree, tmp_path / "copy"), tmp_path / "cache"
    identity = open_tree(copy, photographs, cache=cache).source_id
    assert identity == open_tree(tree, photographs).source_id == open_tree(copy, photographs, cache=cache).source_id
    file = copy / "contrast" / "2" / "flower" / "val_0019.JPEG"
    file.write_bytes(file.read_bytes() + b"\0")
    changed = open_tree(copy, photographs, cache=cache).source_id
    assert changed != identity
    file.rename(file.with_name("val_0020.JPEG"))
    (copy / "contrast" / "1" / "flower" / "val_0019.JPEG").rename(file.parents[2] / "1" / "flower" / "val_0020.JPEG")
    assert open_tree(copy, photographs, cache=cache).source_id not in (identity, changed), "names are content too"


def put(image: Image.Image, form: str) -> Callable[[Path], object]:
    return lambda brightness: image.save(brightness / "1" / "flower" / "val_0007.JPEG", form)


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "strange class": (lambda b: (b / "1" / "china").rename(b / "1" / "n01440764"), "brightness/1 lacks china/"),
    "missing image": (lambda b: (b / "2" / "china" / "val_0003.JPEG").unlink(), "brightness/2 lacks china/val_0003"),
    "missing severity": (lambda b: shutil.rmtree(b / "2"), "no brightness at severity 2"),
    "severity twice": (lambda b: shutil.copytree(b / "2", b / "2.0"), "severity 2 twice"),
    "another size": (put(Image.new("RGB", (32, 48)), "JPEG"), "32×48 pixels"),
    "transparent": (put(Image.new("RGBA", (SIDE, SIDE), (9, 9, 9, 9)), "PNG"), "transparent"),
    "no image": (lambda b: (b / "1" / "flower" / "val_0007.JPEG").write_text("words"), "cannot be decoded"),
    "missing corruption": (shutil.rmtree, "has no brightness: it holds contrast"),
}


@pytest.mark.parametrize(("spoil", "message"), SPOILT.values(), ids=SPOILT.keys())
def test_spoilt_trees_are_named_in_one_line(tree, photographs, tmp_path: Path, spoil, message: str) -> None:
    folder = shutil.copytree(tree, tmp_path / "spoilt")
    spoil(folder / "brightness")
    with pytest.raises(FailmodesError, match=message) as caught:
        open_tree(folder, photographs)
    assert "\n" not in str(caught.value)


def test_a_tree_has_a_folder_a_severity_and_jpegs_of_the_published_quality(tmp_path: Path, digits: Dataset) -> None:
    spec = set_options(layout="imagenet-c", corruptions=["fog"], severities=["2.5", "1"])
    write_corrupted_dataset(DIGITS, spec, tmp_path / "jpeg")
    write_corrupted_dataset(
        DIGITS,
        set_options(layout="imagenet-c", encoding="png", corruptions=["fog"], severities=["2.5"]),
        tmp_path / "png",
    )
    assert sorted(path.name for path in (tmp_path / "jpeg" / "fog").iterdir()) == ["1", "2.5"]
    ids, _ = balanced_subset(digits.labels, 40)
    made = corrupt(digits.images[ids], "fog", Decimal("2.5"), image_ids=ids)
    for image, image_id in zip(made, ids, strict=True):
        name = f"fog/2.5/{digits.class_names[digits.labels[image_id]]}/{image_id:03d}"
        expected = tmp_path / "expected.jpg"
        Image.fromarray(image).save(expected, quality=85, optimize=True)
        assert (tmp_path / "jpeg" / f"{name}.JPEG").read_bytes() == expected.read_bytes()
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "png" / f"{name}.png")), image)
    assert len(list((tmp_path / "jpeg").rglob("*.*"))) == 2 * 40 + 1 + 1, "and the folder 2.5, and the manifest"


def test_a_list_has_every_image_and_the_clean_ones_beside_the_set(tmp_path: Path, digits: Dataset) -> None:
    chosen = set_options(layout="imagenet-c", encoding="png", corruptions=["fog"], severities=["1", "2.5"])
    write_corrupted_dataset(DIGITS, chosen, tmp_path / "set")
    before = contents(tmp_path / "set")
    write_corrupted_dataset(DIGITS, chosen._replace(listed=True), tmp_path / "set")
    after = contents(tmp_path / "set")
    assert before.items() - after.items() == {("manifest.json", before["manifest.json"])}
    rows = list(csv.DictReader((tmp_path / "set" / "images.csv").open(newline="")))
    assert {row["file"] for row in rows} == {name for name in after if name.endswith(".png")}
    assert {(row["corruption"], row["severity"]) for row in rows} == {("none", "0"), ("fog", "1"), ("fog", "2.5")}
    names = [f"{name}.png" for name in image_names(digits)]
    labels = {names[image_id]: digits.class_names[digits.labels[image_id]] for image_id in range(len(names))}
    assert all(row["label"] == labels[row["image"]] for row in rows)
    for row in rows:
        if row["corruption"] == "none":
            pixels = np.asarray(Image.open(tmp_path / "set" / row["file"]))
            np.testing.assert_array_equal(pixels, digits.images[names.index(row["image"])])
    folders, others = corruption_folders(tmp_path / "set")
    assert (list(folders), others) == (["fog"], []), "clean images are no corruption, and no foreign files"


def test_class_names_that_cannot_be_folders_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    malicious = Dataset("x", "X", "test", np.zeros((2, 32, 32, 3), np.uint8), np.array([0, 1]), ("../../a", "b"))
    monkeypatch.setattr("failmodes.ingest.corrupted_datasets.command.open_dataset", lambda *_: malicious)
    with pytest.raises(Exception, match="cannot be the name of a folder"):
        write_corrupted_dataset(
            DatasetSpec(kind="digits"), set_options(layout="imagenet-c", corruptions=["fog"]), tmp_path / "set"
        )
    assert not (tmp_path / "set").exists()
