"""Missing optional packages: commands that need them name them in one line, and the rest works."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic_results import write_synthetic

from failmodes.runtime.errors import FailmodesError, MissingExtraError
from failmodes.runtime.packages import EXTRAS, require

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
WITHOUT = """
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name in {missing} else self.finder.find_spec(name, path, target)

sys.meta_path = [Without(finder) for finder in sys.meta_path]
from failmodes.__main__ import main
main()
"""
ALL = {name for packages in EXTRAS.values() for name in packages}


def run(folder: Path, *arguments: str, without: set[str]) -> subprocess.CompletedProcess[str]:
    program = WITHOUT.format(missing=without)
    return subprocess.run([sys.executable, "-c", program, *arguments], cwd=folder, capture_output=True, text=True)


@pytest.fixture
def study_folder(tmp_path: Path) -> Path:
    (tmp_path / "study.toml").write_text(STUDY + MODEL)
    return tmp_path


NEEDS = {
    "run": (["run"], "`failmodes run` needs PyTorch", "evaluate"),
    "evaluate": (["evaluate"], "`failmodes evaluate` needs PyTorch", "evaluate"),
    "ingest": (["ingest"], "the dataset of digits needs scikit-learn", "images"),
    "corrupt": (["corrupt", "digits", "--to", "set"], "`failmodes corrupt` needs OpenCV", "images"),
    "load from a URL": (
        ["load", "s3://bucket/study", "--into", "x.duckdb"],
        "s3://bucket/study needs fsspec, universal-pathlib",
        "remote",
    ),
    "explore": (["explore", "w.duckdb"], "`failmodes explore` needs Starlette, Uvicorn", "explore"),
}


@pytest.mark.parametrize("name", NEEDS)
@pytest.mark.test_all
def test_a_command_names_the_missing_package_in_one_line(study_folder: Path, sound_warehouse: Path, name: str) -> None:
    arguments, needs, extra = NEEDS[name]
    (study_folder / "w.duckdb").symlink_to(sound_warehouse)
    done = run(study_folder, *arguments, without=ALL)
    expected = f'failmodes: {needs}, not installed here: pip install "failmodes[{extra}]"\n'
    said = [line for line in done.stderr.splitlines(keepends=True) if not line.startswith("output folder: ")]
    assert (done.returncode, done.stdout, said) == (2, "", [expected])
    assert {path.name for path in study_folder.iterdir()} == {"study.toml", "w.duckdb"}


READS = {
    "query": ["query", "@worst_cells"],
    "chart": ["chart", "curves", "--output", "curves.svg"],
    "export": ["export", "baseline.duckdb", "warehouse.duckdb", "--evaluation", "Alpha"],
}


@pytest.mark.parametrize("name", READS)
@pytest.mark.test_all
def test_a_warehouse_is_read_without_any_of_them(warehouse_copy: Path, name: str) -> None:
    done = run(warehouse_copy.parent, *READS[name], without=ALL)
    assert done.returncode == 0, done.stderr


@pytest.mark.test_all
def test_a_study_of_imported_predictions_runs_without_pytorch(study_folder: Path) -> None:
    (study_folder / "study.toml").write_text(STUDY)
    write_synthetic(study_folder / "out", images=40, models=("Elsewhere",), corruptions=("fog",))
    done = run(study_folder, "run", without=set(EXTRAS["evaluate"]))
    assert done.returncode == 0, done.stderr
    assert "Elsewhere" in (study_folder / "out" / "report.html").read_text()


@pytest.mark.test_all
def test_status_shows_the_warehouse_all_the_same(study_folder: Path, sound_warehouse: Path) -> None:
    (study_folder / "out").mkdir()
    shutil.copy(sound_warehouse, study_folder / "out")
    done = run(study_folder, "status", without=ALL)
    assert done.returncode == 0
    expected = f"failmodes: the progress of a study's models needs PyTorch, not installed here: {INSTALL}\n"
    assert done.stderr == expected
    assert "checks pass" in done.stdout


def test_only_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert issubclass(MissingExtraError, FailmodesError)
    installed = {"torch", "safetensors", "tomli_w", *EXTRAS["images"]}
    monkeypatch.setattr("failmodes.runtime.packages.find_spec", lambda name: name in installed or None)
    expected = rf"^benchmark needs torchvision, grad-cam, not installed here: {INSTALL[:11]}"
    with pytest.raises(MissingExtraError, match=expected):
        require("evaluate", "benchmark")
    installed.update(EXTRAS["evaluate"])
    require("evaluate", "benchmark")
    installed.discard("cv2")
    with pytest.raises(MissingExtraError, match="needs OpenCV"):
        require("evaluate", "benchmark")
    require("images", "the digits", ["sklearn"])
