"""The manifest of a written set: other sets are refused."""

from pathlib import Path

import pytest
from corrupted_datasets import DIGITS, contents, set_options

from failmodes.ingest.corrupted_datasets.command import write_corrupted_dataset
from failmodes.ingest.specification import DatasetSpec
from failmodes.warehouse.errors import StudyError

OTHERS = {
    "seed": ({"seed": 1}, DIGITS, "of seed 0, not 1"),
    "recipe": ({"recipe": "imagenet-c"}, DIGITS, "of recipe cifar-c, not imagenet-c"),
    "layout": ({"layout": "imagenet-c"}, DIGITS, "of layout cifar-c, not imagenet-c"),
    "images": ({}, DatasetSpec(kind="digits", images=50), r"of images 40 \(first 40 of 500, balanced over"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_another_set_in_the_folder_is_refused_and_named(tmp_path: Path, name: str) -> None:
    options, spec, message = OTHERS[name]
    write_corrupted_dataset(DIGITS, set_options(corruptions=["contrast"]), tmp_path / "set")
    before = contents(tmp_path / "set")
    with pytest.raises(StudyError, match=message):
        write_corrupted_dataset(spec, set_options(corruptions=["contrast", "fog"], **options), tmp_path / "set")
    assert contents(tmp_path / "set") == before
