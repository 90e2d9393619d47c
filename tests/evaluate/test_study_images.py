"""Images of a study for pictures of a warehouse: its data set, its published set, and code only where it was named."""

import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from corrupted_datasets import corrupt_command
from pictured_results import patterns, pictured
from PIL import Image

from failmodes.analysis.images.collection import find_pictures
from failmodes.evaluate.study_images import StudyImages, open_study_images
from failmodes.ingest.corrupted_datasets.opening import PublishedSource
from failmodes.ingest.corruptions.catalog import registered
from failmodes.ingest.datasets.digits import open_digits
from failmodes.ingest.specification import CorruptionSpec
from failmodes.warehouse.errors import StudyError, WarehouseError

STUDY = """
name = "digits"
output = "out"
[dataset]
kind = "digits"
images = 40
[[models]]
label = "Gone"
architecture = "resnet18"
checkpoint = "gone.safetensors"
[corruptions]
"""


def write(folder: Path, corruptions: str, name: str = "study.toml") -> Path:
    path = folder / name
    path.write_text(STUDY + corruptions)
    return path


def test_clean_images_need_no_checkpoint_and_are_those_of_the_data_set_alone(tmp_path: Path) -> None:
    digits = open_digits("test")
    images = StudyImages(write(tmp_path, 'names = ["fog"]'), is_named=True)
    found = images.clean(digits.dataset_id, [3, 1])
    assert found is not None
    np.testing.assert_array_equal(found, digits.images[np.array([3, 1])])
    assert images.clean("another", [3]) is None
    assert images.clean(digits.dataset_id, [10**6]) is None
    assert images.published("any", "fog", 1, [0]) is None


def test_a_study_beside_a_warehouse_is_found_and_runs_no_code(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    warehouse = tmp_path / "warehouse.duckdb"
    warehouse.touch()
    assert open_study_images(tmp_path, warehouse) is None
    (tmp_path / "strange_code.py").write_text(
        "import numpy as np\ndef darkest(images, parameters):\n    return images // 2\n"
    )
    write(tmp_path, 'names = ["fog", "strange_code:darkest"]')
    before = list(sys.path)
    for location in (warehouse, tmp_path):
        with pytest.raises(
            StudyError, match=r"names code of its own \(strange_code:darkest\), which is run only where"
        ):
            open_study_images(location, warehouse)
    assert "strange_code" not in sys.modules
    assert sys.path == before
    write(tmp_path, 'names = ["fog"]')
    assert open_study_images(warehouse, warehouse) is not None
    assert sys.path == before
    elsewhere = tmp_path / "elsewhere"
    text = (tmp_path / "study.toml").read_text().replace('"out"', f'"{elsewhere}"')
    (tmp_path / "study.toml").write_text(
        text.replace('kind = "digits"', 'kind = "folder"\npath = "photographs"').replace("= 40", "= 2")
    )
    (tmp_path / "photographs" / "cat").mkdir(parents=True)
    for number in range(2):
        Image.fromarray(patterns(2)[number]).save(tmp_path / "photographs" / "cat" / f"{number}.png")
    beside = open_study_images(warehouse, warehouse)
    assert beside is not None
    assert beside.clean("another", [0]) is None
    assert not elsewhere.exists()
    write(tmp_path, 'names = ["fog"]')
    monkeypatch.syspath_prepend(tmp_path)  # undone at the end, as what the study adds would not be
    write(tmp_path, 'names = ["strange_code:darkest"]', "mine.toml")
    assert open_study_images(Path("mine.toml"), warehouse) is not None
    assert "darkest" in registered()


@pytest.mark.slow
def test_a_published_set_is_read_through_its_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "set"
    options = ("digits", "--images", "40", "--to", folder, "--corruption", "fog")
    assert corrupt_command(monkeypatch, *options) == 0
    digits = open_digits("test")
    source = PublishedSource.from_spec(CorruptionSpec(names=["fog"], severities=[2], published=folder), digits)
    pairs = source.pairing.image_pairs
    assert pairs is not None
    made = pictured(
        tmp_path, source, ("fog",), levels=(Decimal(2),), dataset=digits, ids=pairs.clean_ids, thumbnails=False
    )
    with pytest.raises(
        StudyError, match="lie in a published set, which the warehouse has not got: name the study file"
    ):
        find_pictures(made.warehouse, "corruption = 'fog'")
    study = write(tmp_path, f'names = ["fog"]\nseverities = [2]\npublished = "{folder}"', "mine.toml")
    sheet = find_pictures(
        made.warehouse, "corruption = 'fog' and model_label = 'Alpha' order by image_id limit 40",
        open_study=lambda: open_study_images(study, made.warehouse),
    )  # fmt: skip
    np.testing.assert_array_equal(
        np.stack([picture.made.pixels for picture in sheet.all]), made.corrupted["fog", Decimal(2)]
    )
    assert {picture.made.differs for picture in sheet.all} == {False}
    other = write(tmp_path, 'names = ["fog"]')
    with pytest.raises(StudyError, match="lie in a published set"):
        find_pictures(made.warehouse, "corruption = 'fog'", open_study=lambda: StudyImages(other, is_named=True))
    with pytest.raises(WarehouseError, match="has no clean picture"):
        find_pictures(made.warehouse, "corruption = 'none'")
