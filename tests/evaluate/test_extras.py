"""Where PyTorch is not installed: what needs it says so in one line with the command, and the rest works."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic_record import write_synthetic

from failmodes.evaluate.extras import PACKAGES, require_torch
from failmodes.warehouse.errors import FailmodesError, MissingExtraError

INSTALL = 'pip install "failmodes[evaluate]"'

STUDY = """
name = "small"
output = "out"
[dataset]
kind = "digits"
images = 20
[corruptions]
names = ["contrast"]
severities = [1]
"""

MODEL = """
[[models]]
label = "A"
architecture = "resnet18"
training = { epochs = 1 }
"""

# The command line in a Python that does not find these packages
WITHOUT = f"""
import sys
from importlib.machinery import PathFinder

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in {(*PACKAGES, "timm")!r} else super().find_spec(name, path, target)

sys.meta_path = [Finder if finder is PathFinder else finder for finder in sys.meta_path]
from failmodes.__main__ import main
main()
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", WITHOUT, *arguments], cwd=folder, capture_output=True, text=True)


@pytest.fixture
def study_folder(tmp_path: Path) -> Path:
    (tmp_path / "study.toml").write_text(STUDY + MODEL)
    return tmp_path


@pytest.mark.parametrize("command", ["run", "train", "evaluate", "import"])
def test_a_command_over_networks_says_in_one_line_what_to_install(study_folder: Path, command: str) -> None:
    more = ["predictions.parquet", "--label", "Elsewhere"] if command == "import" else []
    done = run(study_folder, command, *more)
    assert done.returncode == 2
    expected = f"failmodes: `failmodes {command}` needs PyTorch, not installed here: {INSTALL}\n"
    assert (done.stdout, done.stderr) == ("", expected)
    assert [path.name for path in study_folder.iterdir()] == ["study.toml"]


def test_images_are_checked_all_the_same(study_folder: Path) -> None:
    done = run(study_folder, "ingest")
    assert done.returncode == 0, done.stderr
    assert "first 20 of 500, balanced over classes" in done.stderr


@pytest.mark.slow
def test_a_study_of_imported_predictions_runs_all_the_same(study_folder: Path) -> None:
    (study_folder / "study.toml").write_text(STUDY)
    write_synthetic(study_folder / "out", images=40, models=("Elsewhere",), corruptions=("fog",))
    done = run(study_folder, "run")
    assert done.returncode == 0, done.stderr
    assert "Elsewhere" in (study_folder / "out" / "report.html").read_text()


def test_status_shows_the_warehouse_all_the_same(study_folder: Path, sound_warehouse: Path) -> None:
    (study_folder / "out").mkdir()
    shutil.copy(sound_warehouse, study_folder / "out")
    done = run(study_folder, "status")
    assert done.returncode == 0
    expected = f"failmodes: the progress of a study's networks needs PyTorch, not installed here: {INSTALL}\n"
    assert done.stderr == expected
    assert "checks hold" in done.stdout


def test_what_goes_with_pytorch_is_named_where_it_alone_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert issubclass(MissingExtraError, FailmodesError)
    installed = {"torch", "safetensors", "tomli_w"}
    monkeypatch.setattr("failmodes.evaluate.extras.find_spec", lambda name: name in installed or None)
    expected = rf"^benchmark needs torchvision, pytorch_grad_cam, not installed here: {INSTALL[:11]}"
    with pytest.raises(MissingExtraError, match=expected):
        require_torch("benchmark")
    installed.update(PACKAGES)
    require_torch("benchmark")
