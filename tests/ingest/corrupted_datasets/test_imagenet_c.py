"""Published trees as ImageNet-C's: what they hold, how their images pair with clean ones, and what is wrong."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from corrupted_datasets import open_tree
from PIL import Image

from failmodes.ingest.corrupted_datasets import imagenet_c as published_tree
from failmodes.ingest.corrupted_datasets.imagenet_c import ImageNetCDataset
from failmodes.ingest.corrupted_datasets.opening import open_corrupted_dataset
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.warehouse.errors import DataError, FailmodesError, StudyError

SIDE = 64


def test_images_are_those_of_the_files_in_order(tree: Path, photographs: Dataset) -> None:
    source = open_tree(tree, photographs, "contrast")
    ids = np.array([39, 0, 21])
    expected = [
        np.asarray(Image.open(tree / "contrast" / "2" / f"{Path(photographs.files[number]).with_suffix('.JPEG')}"))
        for number in ids
    ]
    np.testing.assert_array_equal(source.corrupted(None, "contrast", Decimal("2.000"), ids), expected)
    assert source.pairing == (True, None, None)
    np.testing.assert_array_equal(source.labels(photographs), photographs.labels)
    assert source.published.names == ("brightness", "contrast")
    assert source.row()["source_label"] == "Tiles-C (published)"
    with pytest.raises(StudyError, match="has no 'fog': it holds brightness, contrast"):
        source.corrupted(None, "fog", 1, ids)
    with pytest.raises(StudyError, match=r"no contrast at severity 2.5: it holds 1, 2"):
        source.corrupted(None, "contrast", Decimal("2.500"), ids)
    with pytest.raises(DataError, match="images 0 to 39"):
        source.corrupted(None, "contrast", 1, [40])


def test_the_tars_group_folders_and_aliases_are_the_same_set(tree: Path, photographs: Dataset, tmp_path: Path) -> None:
    shutil.copytree(tree / "brightness", tmp_path / "weather" / "brightness")
    shutil.copytree(tree / "contrast", tmp_path / "digital" / "contrast")
    assert open_tree(tmp_path, photographs, "contrast").source_id == open_tree(tree, photographs).source_id
    shutil.copytree(tree / "contrast", tmp_path / "extra" / "elastic")
    assert open_tree(tmp_path, photographs, "elastic_transform").published.names[-1] == "elastic_transform"
    shutil.copytree(tree / "contrast", tmp_path / "contrast")
    with pytest.raises(DataError, match="contrast stands in two places"):
        open_tree(tmp_path, photographs)


def test_identity_is_the_content_and_is_remembered(
    tree: Path, photographs: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, cache = shutil.copytree(tree, tmp_path / "copy"), tmp_path / "cache"
    identity = open_tree(copy, photographs, cache=cache).source_id
    assert identity == open_tree(tree, photographs).source_id
    with monkeypatch.context() as patched:
        patched.setattr(published_tree, "fingerprint_of_files", lambda *_: pytest.fail("hashed"))
        assert open_tree(copy, photographs, cache=cache).source_id == identity
    file = copy / "contrast" / "2" / "flower" / "val_0019.JPEG"
    file.write_bytes(file.read_bytes() + b"\0")
    changed = open_tree(copy, photographs, cache=cache).source_id
    assert changed not in (identity, open_tree(tree, photographs, cache=cache).source_id)
    file.rename(file.with_name("val_0020.JPEG"))
    (copy / "contrast" / "1" / "flower" / "val_0019.JPEG").rename(file.parents[2] / "1" / "flower" / "val_0020.JPEG")
    assert open_tree(copy, photographs, cache=cache).source_id not in (identity, changed), "names are content too"


def test_a_class_folder_may_be_called_by_id_and_name(tree: Path, photographs: Dataset, tmp_path: Path) -> None:
    copy = shutil.copytree(tree, tmp_path / "set")
    for cell in copy.glob("*/*"):
        (cell / "china").rename(cell / "n01440764_china")
    files = tuple(file.replace("china/", "n01440764/") for file in photographs.files or ())
    source = open_tree(copy, replace(photographs, class_names=("n01440764", "flower"), files=files))
    for names in (("n01440764", "flower"), ("n01440764_china", "flower")):
        np.testing.assert_array_equal(source.published.labels_in(names), [1] * 20 + [0] * 20)
    assert source.pairing.paired
    assert source.pairing.image_pairs is not None
    np.testing.assert_array_equal(source.pairing.image_pairs.set_positions, [*range(20, 40), *range(20)])


def spoil_transparent(folder: Path) -> None:
    image = Image.new("RGBA", (SIDE, SIDE), (9, 9, 9, 9))
    image.save(folder / "brightness" / "1" / "china" / "val_0000.JPEG", "PNG")


def spoil_class(folder: Path) -> None:
    for cell in folder.glob("*/*"):
        (cell / "china").rename(cell / "n01440764")


def spoil_missing_image(folder: Path) -> None:
    (folder / "brightness" / "2" / "china" / "val_0003.JPEG").unlink()


def spoil_first_cell(folder: Path) -> None:
    (folder / "brightness" / "1" / "china" / "val_0003.JPEG").unlink()


def spoil_severity(folder: Path) -> None:
    shutil.rmtree(folder / "brightness" / "2")


def spoil_severities(folder: Path) -> None:
    for name in "12":
        (folder / "brightness" / name).rename(folder / "brightness" / f"level{name}")


def spoil_twice(folder: Path) -> None:
    shutil.copytree(folder / "brightness" / "2", folder / "brightness" / "2.0")


def spoil_size(folder: Path) -> None:
    Image.new("RGB", (32, 48)).save(folder / "brightness" / "1" / "flower" / "val_0007.JPEG")


def spoil_content(folder: Path) -> None:
    (folder / "brightness" / "1" / "flower" / "val_0007.JPEG").write_text("words")


def spoil_corruption(folder: Path) -> None:
    shutil.rmtree(folder / "brightness")


def spoil_all(folder: Path) -> None:
    for name in ("brightness", "contrast"):
        shutil.rmtree(folder / name)


def spoil_images(folder: Path) -> None:
    for file in folder.rglob("*.JPEG"):
        file.rename(file.with_suffix(".webp"))


SPOILT: dict[str, tuple[Callable[[Path], None], str]] = {
    "strange class": (spoil_class, "class 'n01440764' that the data set lacks"),
    "missing image": (spoil_missing_image, r"brightness/2 lacks china/val_0003\.JPEG, which .*1 has \(1 missing\)"),
    "first cell short": (spoil_first_cell, r"brightness/1 lacks china/val_0003\.JPEG, which .*2 has"),
    "missing severity": (spoil_severity, "no brightness at severity 2: it holds 1"),
    "no severities": (spoil_severities, "has no folders of severities"),
    "severity twice": (spoil_twice, "holds severity 2 twice"),
    "another size": (spoil_size, r"flower/val_0007\.JPEG is 32×48 pixels where the set's first image is 64×64"),
    "no image": (spoil_content, r"val_0007\.JPEG cannot be decoded \(not an image\)"),
    "missing corruption": (spoil_corruption, "has no folder brightness: it holds contrast"),
    "nothing": (spoil_all, "holds no corrupted set: expected <corruption>.npy"),
    "no images": (spoil_images, "holds no images"),
    "transparent": (spoil_transparent, r"val_0000\.JPEG is transparent: expected an opaque image of 8 bits a channel"),
}


@pytest.mark.parametrize(("spoil", "message"), SPOILT.values(), ids=SPOILT.keys())
def test_spoilt_trees_are_named_in_one_line(
    tree: Path, photographs: Dataset, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    folder = shutil.copytree(tree, tmp_path / "spoilt")
    spoil(folder)
    with pytest.raises(FailmodesError, match=message) as caught:
        open_tree(folder, photographs)
    assert "\n" not in str(caught.value)


def test_nothing_is_decoded_before_it_is_asked_for(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[object] = []
    original = published_tree.decode_opaque
    monkeypatch.setattr(
        published_tree, "decode_opaque", lambda path, where: decoded.append(path) or original(path, where)
    )
    published = open_corrupted_dataset(tree, ("contrast",))
    assert isinstance(published, ImageNetCDataset)
    assert len(decoded) == 1, "the first, for its size"
    published.images("contrast", 1, np.array([3, 4]))
    assert len(decoded) == 3
