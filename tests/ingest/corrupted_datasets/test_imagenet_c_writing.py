"""A written set in the layout of ImageNet-C."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from corrupted_datasets import DIGITS, set_options
from PIL import Image

from failmodes.ingest.corrupted_datasets.command import write_corrupted_dataset
from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.datasets.dataset import Dataset, balanced_subset
from failmodes.ingest.specification import DatasetSpec


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


def test_class_names_that_cannot_be_folders_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    malicious = Dataset("x", "X", "test", np.zeros((2, 32, 32, 3), np.uint8), np.array([0, 1]), ("../../a", "b"))
    monkeypatch.setattr("failmodes.ingest.corrupted_datasets.command.open_dataset", lambda *_: malicious)
    with pytest.raises(Exception, match="cannot be the name of a folder"):
        write_corrupted_dataset(
            DatasetSpec(kind="digits"), set_options(layout="imagenet-c", corruptions=["fog"]), tmp_path / "set"
        )
    assert not (tmp_path / "set").exists()
