"""The package as it is installed: its script beside other packages, its wheel, a checkout without symbolic links."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from installed_script import failmodes

ROOT = Path(__file__).parents[2]

# What a program prints that imports every module of the package: files that came in under two names
LOADED_TWICE = """
import collections, importlib, pathlib, pkgutil, sys
import failmodes
for module in pkgutil.walk_packages(failmodes.__path__, "failmodes."):
    importlib.import_module(module.name)
files = collections.Counter(
    pathlib.Path(module.__file__).resolve()
    for module in list(sys.modules.values()) if getattr(module, "__file__", None)
)
ours = {file: count for file, count in files.items() if pathlib.Path(sys.argv[1]) in file.parents}
ours = {file: count for file, count in ours.items() if not any(part.startswith(".venv") for part in file.parts)}
assert len(ours) > 100, len(ours)
print([str(file) for file, count in ours.items() if count > 1])
"""


def test_the_script_runs_where_another_package_is_called_evaluate(tmp_path: Path) -> None:
    (tmp_path / "evaluate.py").write_text("raise RuntimeError('the wrong one')")
    assert failmodes("--version", folder=tmp_path).stdout.startswith("failmodes 0.")


@pytest.mark.slow
def test_no_module_is_loaded_twice() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED_TWICE, str(ROOT)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def build(source: Path, target: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="git says which files the package should hold")
def test_the_wheel_holds_one_package_and_the_source_distribution_gives_the_same(tmp_path: Path) -> None:
    wheel = contents(build(ROOT, "wheel", tmp_path / "wheel"))
    assert {name.split("/")[0] for name in wheel if ".dist-info/" not in name} == {"failmodes"}
    tracked = subprocess.run(
        ["git", "ls-files", "analysis", "evaluate", "ingest", "sql", "warehouse"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert {f"failmodes/{name}" for name in tracked.stdout.split()} <= wheel.keys()
    with tarfile.open(build(ROOT, "sdist", tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    assert contents(build(source, "wheel", tmp_path / "again")) == wheel


def test_a_checkout_whose_links_are_text_files_says_how_to_mend_it(tmp_path: Path) -> None:
    (tmp_path / "failmodes").mkdir()
    shutil.copy(ROOT / "failmodes" / "__init__.py", tmp_path / "failmodes")
    (tmp_path / "failmodes" / "warehouse").write_text("../warehouse")
    done = subprocess.run([sys.executable, "-c", "import failmodes"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ImportError: the folders of the package failmodes are links")
    assert "git config core.symlinks true" in done.stderr
