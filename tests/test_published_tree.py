"""Published trees as ImageNet-C's: what they hold, how their images find their clean twins, and what is wrong."""

import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from failmodes.evaluate.engine.run import evaluate_study
from failmodes.evaluate.evaluation import choose_subset
from failmodes.evaluate.study.reading import read_study
from failmodes.evaluate.study_models import train_missing
from failmodes.ingest.corrupted_sets import imagenet_c as published_tree
from failmodes.ingest.corrupted_sets.command import write_corrupted_set
from failmodes.ingest.corrupted_sets.imagenet_c import ImageNetCSet
from failmodes.ingest.corrupted_sets.layouts import image_names
from failmodes.ingest.corrupted_sets.opening import PublishedSource, open_corrupted_set, open_pixel_source
from failmodes.ingest.corrupted_sets.options import parse_options
from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.specification import CorruptionSpec, DatasetSpec
from failmodes.warehouse.errors import DataError, FailmodesError, StudyError
from failmodes.warehouse.schema import ATTENTION, EVALUATIONS, PREDICTIONS
from failmodes.warehouse.shards.format import list_record_files, read_verified
from tests.tiny_study import write_tiny_study

SIDE = 64


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """40 tiles of two real photographs, as a folder of two classes."""
    root = tmp_path_factory.mktemp("photographs") / "tiles"
    for name, pixels in zip(("china", "flower"), load_sample_images().images, strict=True):
        (root / name).mkdir(parents=True)
        for number in range(20):
            top, left = divmod(number, 5)
            tile = pixels[top * 100 : top * 100 + SIDE, left * 120 : left * 120 + SIDE]
            Image.fromarray(tile).save(root / name / f"val_{number:04d}.png")
    return open_dataset(DatasetSpec(kind="folder", path=root), root.parent / "cache")


def write_tree(
    folder: Path, dataset: Dataset, names: tuple[str, ...] = ("brightness",), severities: tuple[int, ...] = (1, 2)
) -> Path:
    """Write images as published: JPEG of quality 85, named as the clean files."""
    for name in names:
        for severity in severities:
            made = corrupt(np.asarray(dataset.images[:]), Path(name).name, severity, seed=9)
            for image, file in zip(made, image_names(dataset), strict=True):
                path = folder / name / str(severity) / f"{file}.JPEG"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(path, quality=85, optimize=True)
    return folder


def opened(folder: Path, dataset: Dataset, *names: str, cache: Path | None = None) -> PublishedSource:
    spec = CorruptionSpec(names=list(names or ("brightness",)), severities=[1, 2], published=folder)
    source = open_pixel_source(spec, 0, dataset, cache)
    assert isinstance(source, PublishedSource)
    return source


@pytest.fixture(scope="module")
def tree(photographs: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only: copy it before you change it."""
    return write_tree(tmp_path_factory.mktemp("trees") / "Tiles-C", photographs, ("brightness", "contrast"))


def test_images_are_those_of_the_files_in_order(tree: Path, photographs: Dataset) -> None:
    source = opened(tree, photographs, "contrast")
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
    assert opened(tmp_path, photographs, "contrast").source_id == opened(tree, photographs).source_id
    shutil.copytree(tree / "contrast", tmp_path / "extra" / "elastic")
    assert opened(tmp_path, photographs, "elastic_transform").published.names[-1] == "elastic_transform"
    shutil.copytree(tree / "contrast", tmp_path / "contrast")
    with pytest.raises(DataError, match="contrast stands in two places"):
        opened(tmp_path, photographs)


def test_identity_is_the_content_and_is_remembered(
    tree: Path, photographs: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, cache = shutil.copytree(tree, tmp_path / "copy"), tmp_path / "cache"
    identity = opened(copy, photographs, cache=cache).source_id
    assert identity == opened(tree, photographs).source_id
    with monkeypatch.context() as patched:
        patched.setattr(published_tree, "fingerprint_of_files", lambda *_: pytest.fail("hashed"))
        assert opened(copy, photographs, cache=cache).source_id == identity
    file = copy / "contrast" / "2" / "flower" / "val_0019.JPEG"
    file.write_bytes(file.read_bytes() + b"\0")
    changed = opened(copy, photographs, cache=cache).source_id
    assert changed not in (identity, opened(tree, photographs, cache=cache).source_id)
    file.rename(file.with_name("val_0020.JPEG"))
    (copy / "contrast" / "1" / "flower" / "val_0019.JPEG").rename(file.parents[2] / "1" / "flower" / "val_0020.JPEG")
    assert opened(copy, photographs, cache=cache).source_id not in (identity, changed), "names are content too"


def test_twins_are_found_by_class_and_name_whatever_else_the_clean_folder_holds(
    tree: Path, photographs: Dataset, tmp_path: Path
) -> None:
    part = shutil.copytree(tree, tmp_path / "part")
    for cell in part.glob("*/*"):
        shutil.rmtree(cell / "china")
        for number in (0, 5, 19):
            (cell / "flower" / f"val_{number:04d}.JPEG").unlink()
    source = opened(part, photographs)
    held = np.array([20 + number for number in range(20) if number not in (0, 5, 19)])
    assert source.pairing.paired
    subset = choose_subset(photographs, source, source.pairing, None)
    np.testing.assert_array_equal(subset.clean_ids, held)
    assert subset.words == "all 17 images, of the 17 (of 40) that the corrupted set holds"
    np.testing.assert_array_equal(choose_subset(photographs, source, source.pairing, 4).clean_ids, held[:4])
    np.testing.assert_array_equal(
        source.corrupted(None, "contrast", 2, held), opened(tree, photographs).corrupted(None, "contrast", 2, held)
    )
    with pytest.raises(DataError, match="images 0 to 16, not -1"):
        source.corrupted(None, "contrast", 2, [0])


def test_other_images_do_not_pair_and_the_reason_is_said(tree: Path, photographs: Dataset, tmp_path: Path) -> None:
    renamed = shutil.copytree(tree, tmp_path / "Tiny-ImageNet-C")
    for file in sorted(renamed.rglob("*.JPEG")):
        file.rename(file.with_name(file.name.replace("val_", "test_")))
    source = opened(renamed, photographs)
    assert not source.pairing.paired
    assert "no image of the set is called as a clean one (such as china/test_0000 and" in str(source.pairing.note)
    subset = choose_subset(photographs, source, source.pairing, 10)
    np.testing.assert_array_equal(subset.corrupted_labels, photographs.labels[subset.corrupted_ids])
    assert source.corrupted(None, "brightness", 1, subset.corrupted_ids).shape == (10, SIDE, SIDE, 3)
    shuffled = shutil.copytree(tree, tmp_path / "shuffled")
    for cell in shuffled.glob("*/*/*"):
        files = sorted(cell.iterdir())
        contents = [file.read_bytes() for file in files]
        for file, content in zip(files, contents[1:] + contents[:1], strict=True):
            file.write_bytes(content)
    assert "pixels do not match" in str(opened(shuffled, photographs).pairing.note)
    smaller = tmp_path / "smaller"
    for file in tree.rglob("*.JPEG"):
        path = smaller / file.relative_to(tree)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.open(file).resize((32, 32)).save(path)
    assert "images are (32, 32, 3) in the set, (64, 64, 3) clean" in str(opened(smaller, photographs).pairing.note)


def test_images_without_files_go_by_their_numbers(tmp_path: Path) -> None:
    digits = open_dataset(DatasetSpec(kind="digits"), tmp_path / "cache")
    few = Dataset("digits", "Digits", "test", np.asarray(digits.images[:60]), digits.labels[:60], digits.class_names)
    folder = write_tree(tmp_path / "set", few, severities=(1,))
    assert (folder / "brightness" / "1" / digits.class_names[few.labels[7]] / "07.JPEG").is_file()
    spec = CorruptionSpec(names=["brightness"], severities=[1], published=folder)
    source = open_pixel_source(spec, 0, few)
    assert source.pairing.paired, source.pairing
    found = source.corrupted(None, "brightness", 1, np.arange(60))
    expected = corrupt(few.images[:], "brightness", 1)
    assert np.abs(found.astype(int) - expected).mean() < 4, "only JPEG's loss"


@pytest.mark.slow
def test_a_study_of_a_tree_has_the_rows_of_its_images_and_no_drift_where_they_do_not_pair(tmp_path: Path) -> None:
    path = write_tiny_study(tmp_path)
    study = read_study(path)
    dataset = open_dataset(study.dataset, study.cache)
    train_missing(study, dataset)
    evaluate_study(study, dataset)
    generated = predictions_of(tmp_path / "out")
    names = [str(name) for name in study.corruptions.names]
    request = parse_options(
        "digits", layout="imagenet-c", encoding="png", corruptions=names, severities=["1", "5"], recipe=None, seed=0,
        draws="paired", across_switches=False,
    )  # fmt: skip
    write_corrupted_set(study.dataset, request, tmp_path / "C")
    path.write_text(path.read_text().replace("seeds = [0]\n\n", f'published = "{tmp_path}/C"\n\n', 1))
    shutil.rmtree(tmp_path / "out" / "record")
    evaluate_study(read_study(path), dataset)
    assert predictions_of(tmp_path / "out") == generated, "without loss: the same pixels, the same rows"
    for file in sorted((tmp_path / "C").rglob("*.png")):
        file.rename(file.with_name(f"test_{file.name}"))
    shutil.rmtree(tmp_path / "out" / "record")
    evaluate_study(read_study(path), dataset)
    row = read_verified(next(iter(list_record_files(tmp_path / "out", EVALUATIONS)))).rows.to_pylist()[0]
    assert not row["paired"]
    assert "no image of the set is called as a clean one" in row["pairing_note"]
    corrupted = [p for p in list_record_files(tmp_path / "out", ATTENTION) if "corruption=none" not in str(p)]
    assert len(corrupted) == 4
    for file in corrupted:
        rows = read_verified(file).rows
        assert rows["centroid_shift"].null_count == rows["null_cosine"].null_count == len(rows)


def predictions_of(output: Path) -> dict[str, str]:
    """Content hashes by corruption and severity."""
    files = list_record_files(output, PREDICTIONS)
    return {str(path).split("corruption=")[1]: read_verified(path).content_hash for path in files}


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
}


@pytest.mark.parametrize(("spoil", "message"), SPOILT.values(), ids=SPOILT.keys())
def test_spoilt_trees_are_named_in_one_line(
    tree: Path, photographs: Dataset, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    folder = shutil.copytree(tree, tmp_path / "spoilt")
    spoil(folder)
    with pytest.raises(FailmodesError, match=message) as caught:
        opened(folder, photographs)
    assert "\n" not in str(caught.value)


def test_nothing_is_decoded_before_it_is_asked_for(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[object] = []
    original = published_tree.decode
    monkeypatch.setattr(published_tree, "decode", lambda path, where: decoded.append(path) or original(path, where))
    published = open_corrupted_set(tree, ("contrast",))
    assert isinstance(published, ImageNetCSet)
    assert len(decoded) == 1, "the first, for its size"
    published.images("contrast", 1, np.array([3, 4]))
    assert len(decoded) == 3
