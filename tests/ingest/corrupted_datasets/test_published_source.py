"""Whether the images of a published set pair with the clean ones: by name or position, by labels, by pixels."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from corrupted_datasets import DIGITS, open_set, open_tree, set_options, write_set

from failmodes.evaluate.evaluation_data import choose_subset
from failmodes.ingest.corrupted_datasets.command import write_corrupted_dataset
from failmodes.ingest.corrupted_datasets.published_source import PublishedSource, correlations
from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.datasets.dataset import Dataset, balanced_subset
from failmodes.ingest.specification import CorruptionSpec
from failmodes.runtime.errors import DataError


@pytest.mark.parametrize(("layout", "encoding"), [("cifar-c", None), ("imagenet-c", "jpeg"), ("imagenet-c", "png")])
def test_what_is_written_is_read_again_and_pairs(
    tmp_path: Path, digits: Dataset, layout: str, encoding: str | None
) -> None:
    write_corrupted_dataset(
        DIGITS, set_options(layout=layout, encoding=encoding, corruptions=["brightness", "fog"]), tmp_path / "set"
    )
    source = PublishedSource.from_spec(CorruptionSpec(names=["fog"], published=tmp_path / "set"), digits)
    assert isinstance(source, PublishedSource)
    assert source.pairing.paired, source.pairing
    assert source.row()["source_label"] == "set (by failmodes corrupt, cifar-c recipe, seed 0)"
    ids, _ = balanced_subset(digits.labels, 40)
    found = source.corrupted(None, "fog", 3, ids).astype(int)
    expected = corrupt(digits.images[ids], "fog", 3, image_ids=ids)
    assert np.abs(found - expected).mean() <= (4 if encoding == "jpeg" else 0)


SIDE = 64


def test_pairs_are_found_by_class_and_name_whatever_else_the_clean_folder_holds(
    tree: Path, photographs: Dataset, tmp_path: Path
) -> None:
    part = shutil.copytree(tree, tmp_path / "part")
    for cell in part.glob("*/*"):
        shutil.rmtree(cell / "china")
        for number in (0, 5, 19):
            (cell / "flower" / f"val_{number:04d}.JPEG").unlink()
    source = open_tree(part, photographs)
    held = np.array([20 + number for number in range(20) if number not in (0, 5, 19)])
    assert source.pairing.paired
    subset = choose_subset(photographs, source, None)
    np.testing.assert_array_equal(subset.clean_ids, held)
    assert subset.description == "all 17 images, of the 17 (of 40) in the corrupted dataset"
    np.testing.assert_array_equal(choose_subset(photographs, source, 4).clean_ids, held[:4])
    np.testing.assert_array_equal(
        source.corrupted(None, "contrast", 2, held), open_tree(tree, photographs).corrupted(None, "contrast", 2, held)
    )
    with pytest.raises(DataError, match="images 0 to 16, not -1"):
        source.corrupted(None, "contrast", 2, [0])


def test_other_images_do_not_pair_and_the_reason_is_said(tree: Path, photographs: Dataset, tmp_path: Path) -> None:
    renamed = shutil.copytree(tree, tmp_path / "Tiny-ImageNet-C")
    for file in sorted(renamed.rglob("*.JPEG")):
        file.rename(file.with_name(file.name.replace("val_", "test_")))
    source = open_tree(renamed, photographs)
    assert not source.pairing.paired
    assert "no published image has the name of a clean one" in str(source.pairing.note)
    subset = choose_subset(photographs, source, 10)
    np.testing.assert_array_equal(subset.corrupted_labels, photographs.labels[subset.corrupted_ids])
    assert source.corrupted(None, "brightness", 1, subset.corrupted_ids).shape == (10, SIDE, SIDE, 3)
    shuffled = shutil.copytree(tree, tmp_path / "shuffled")
    for cell in shuffled.glob("*/*/*"):
        files = sorted(cell.iterdir())
        contents = [file.read_bytes() for file in files]
        for file, content in zip(files, contents[1:] + contents[:1], strict=True):
            file.write_bytes(content)
    assert "pixels do not match" in str(open_tree(shuffled, photographs).pairing.note)


def test_pairing_wants_labels_and_pixels(tmp_path: Path, sixty_digits: Dataset) -> None:
    images, labels = sixty_digits.images[:], sixty_digits.labels
    by_class = np.argsort(labels, kind="stable")
    shifted = np.empty_like(by_class)  # every image replaced by another of its class: labels still agree
    for digit in range(10):
        members = np.flatnonzero(labels == digit)
        shifted[members] = np.roll(members, 1)
    cases = {
        "true": (images, labels, True, None),
        "another order": (images[by_class], labels[by_class], False, "labels differ"),
        "another image of the class": (images[shifted], labels, False, "pixels do not match"),
        "fewer": (images[:50], labels[:50], False, "has 50 images, the clean one 60"),
        "another label": (images, np.where(np.arange(60) == 0, labels[0] ^ 1, labels), False, "labels differ"),
        "smaller": (np.ascontiguousarray(images[:, :24, :24]), labels, False, "images are"),
        "one color": (np.zeros_like(images), labels, False, "a single color"),
    }
    for number, (name, (pixels, of, paired, note)) in enumerate(cases.items()):
        for corruption in ("brightness", "fog"):
            folder = write_set(tmp_path / f"{number}-{corruption}", pixels, of, (corruption,))
            found = open_set(folder, sixty_digits, corruption).pairing
            assert found.paired == paired, (name, corruption, found)
            assert (found.note is None) if note is None else (note in str(found.note)), (name, corruption, found)


def test_correlation_is_pearsons(sixty_digits: Dataset) -> None:
    a, b = sixty_digits.images[:4], sixty_digits.images[4:8]
    expected = [np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(correlations(a, b), expected)
    assert np.isnan(correlations(np.zeros_like(a), b)).all()
