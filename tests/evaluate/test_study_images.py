"""Images of a study for a warehouse: its dataset, its published dataset, and custom code only in a named study."""

import sys
from pathlib import Path

import numpy as np
import pytest

from failmodes.evaluate.study_images import StudyImages, open_study_images
from failmodes.ingest.corruptions.catalog import registered
from failmodes.ingest.datasets.layouts.digits import open_digits
from failmodes.runtime.errors import StudyError

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
        with pytest.raises(StudyError, match="uses custom code"):
            open_study_images(location, warehouse)
    assert "strange_code" not in sys.modules
    assert sys.path == before
    write(tmp_path, 'names = ["fog"]')
    of_hub = STUDY.replace('kind = "digits"', 'kind = "huggingface"\nname = "somebody/images"')
    (tmp_path / "study.toml").write_text(of_hub + 'names = ["fog"]')
    with pytest.raises(StudyError, match="uses a dataset of the hub"):
        open_study_images(warehouse, warehouse)
    write(tmp_path, 'names = ["fog"]')
    assert open_study_images(warehouse, warehouse) is not None
    assert sys.path == before
    digits, images = open_digits("test"), StudyImages(tmp_path / "study.toml", is_named=True)
    np.testing.assert_array_equal(images.clean(digits.dataset_id, [3, 1]), digits.images[np.array([3, 1])])
    assert images.clean("another", [3]) is images.clean(digits.dataset_id, [10**6]) is None
    monkeypatch.syspath_prepend(tmp_path)  # undone at the end, as what the study adds would not be
    write(tmp_path, 'names = ["strange_code:darkest"]', "mine.toml")
    assert open_study_images(Path("mine.toml"), warehouse) is not None
    assert "darkest" in registered()
