"""The package as it is installed: its script, what it requires, its wheel, a checkout without symbolic links."""

import ast
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from installed_script import failmodes as run_failmodes

import failmodes
from failmodes.analysis.explorer.serving import PACKAGES as EXPLORE
from failmodes.evaluate.extras import PACKAGES as EXTRA

ROOT = Path(__file__).parents[2]
PACKAGE = Path(failmodes.__file__).parent

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
    assert run_failmodes("--version", folder=tmp_path).stdout == f"failmodes {failmodes.__version__}\n"


@pytest.mark.slow
def test_no_module_is_loaded_twice() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED_TWICE, str(ROOT)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def imported_names(folder: Path) -> set[str]:
    """Top-level packages that the Python files under a folder import, within functions too."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                found.add(node.module.split(".")[0])
    return found - sys.stdlib_module_names - {"failmodes"}


def distributions(names: set[str]) -> set[str]:
    """The distributions that hold these packages; one that is not installed goes by its package's name."""
    installed = {"pytorch_grad_cam": ["grad-cam"], **packages_distributions()}
    return {found.lower().replace("_", "-") for name in names for found in installed.get(name, [name])}


def test_what_is_required_is_what_is_imported_and_pytorch_and_marimo_are_extras() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    base, extra, explore = (
        {re.split("[<>=]", requirement)[0] for requirement in requirements}
        for requirements in (project["dependencies"], extras["evaluate"], extras["explore"])
    )
    light = set.union(*(imported_names(PACKAGE / room) for room in failmodes.ROOMS if room != "evaluate"))
    assert distributions(light - set(EXPLORE)) == base
    assert distributions(set(EXPLORE)) == explore
    assert imported_names(PACKAGE / "evaluate") - light == {*EXTRA, "ray", "timm"}
    assert distributions(set(EXTRA)) == extra


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
    (metadata,) = (message_from_bytes(text) for name, text in wheel.items() if name.endswith(".dist-info/METADATA"))
    assert metadata["Version"] == failmodes.__version__
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
