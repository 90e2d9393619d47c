"""The package as it is installed: its script, its requirements, wheel and source distribution, from any checkout."""

import ast
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from run_commands import run

import failmodes
from failmodes.runtime.packages import EXTRAS

ROOT = Path(__file__).parents[2]
PACKAGE = Path(failmodes.__file__).parent


def test_the_script_runs_where_another_package_is_called_evaluate(tmp_path: Path) -> None:
    (tmp_path / "evaluate.py").write_text("raise RuntimeError('the wrong one')")
    assert run("--version", folder=tmp_path).stdout == f"failmodes {failmodes.__version__}\n"


def imported_names(folder: Path) -> set[str]:
    """Top-level packages that the Python files under a folder import, within functions too."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                found.add(node.module.split(".")[0])
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
                found |= {one.value.split(".")[0] for one in node.args[:1] if isinstance(one, ast.Constant)}
    come_with_callers = {"failmodes", "huggingface_hub", "IPython", "anyio"}
    return found - sys.stdlib_module_names - come_with_callers


def distributions(names: set[str]) -> set[str]:
    """The distributions that hold these packages; one that is not installed goes by its package's name."""
    installed = {"pytorch_grad_cam": ["grad-cam"], **packages_distributions()}
    return {found.lower().replace("_", "-") for name in names for found in installed.get(name, [name])}


@pytest.mark.test_all
def test_requirements_are_the_packages_that_are_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    every = {"": project["dependencies"], **project["optional-dependencies"]}
    required = {
        name: {re.split("[<>=]", one)[0].lower() for one in requirements if not one.startswith("failmodes[")}
        for name, requirements in every.items()
    }
    optional = {name for packages in EXTRAS.values() for name in packages}
    assert distributions(imported_names(PACKAGE) - optional) == required[""]
    for extra, packages in EXTRAS.items():
        assert distributions(set(packages)) == required[extra], extra
    assert optional <= imported_names(PACKAGE)


def build(source: Path, target: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def from_sources(wheel: dict[str, bytes]) -> dict[str, bytes]:
    """Without the page's bundle, which a checkout may have built, and the list of files."""
    return {name: content for name, content in wheel.items() if "/site/bundle/" not in name and "/RECORD" not in name}


needs_git = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the git repository")


def git(*arguments: str | Path) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.test_all
@needs_git
def test_the_wheel_holds_one_package_and_the_source_distribution_builds_the_same_wheel(tmp_path: Path) -> None:
    wheel = contents(build(ROOT, "wheel", tmp_path / "wheel"))
    (metadata,) = (message_from_bytes(text) for name, text in wheel.items() if name.endswith(".dist-info/METADATA"))
    assert metadata["Version"] == failmodes.__version__
    assert {name.split("/")[0] for name in wheel if ".dist-info/" not in name} == {"failmodes"}
    assert set(git("ls-files", "failmodes").split()) <= wheel.keys()
    licenses = {name.partition("/licenses/")[2] for name in wheel if "/licenses/" in name}
    assert licenses == {"LICENSE", "THIRD_PARTY.md"}
    with tarfile.open(build(ROOT, "sdist", tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    links = {name for name in git("ls-files").split() if (ROOT / name).is_symlink()}
    assert {name for name in git("ls-files").split() if not (source / name).exists()} == links
    assert from_sources(contents(build(source, "wheel", tmp_path / "again"))) == from_sources(wheel)


@pytest.mark.test_all
@needs_git
def test_a_zip_download_without_symbolic_links_builds_the_same_wheel(tmp_path: Path) -> None:
    git("archive", "--format", "zip", "--output", tmp_path / "download.zip", "HEAD")
    with zipfile.ZipFile(tmp_path / "download.zip") as archive:
        archive.extractall(tmp_path / "source")  # Python's zipfile writes a link as a text file, as Windows does
    assert (tmp_path / "source" / "ingest").read_text() == "failmodes/ingest"
    wheel = contents(build(tmp_path / "source", "wheel", tmp_path / "wheel"))
    assert set(git("ls-tree", "-r", "--name-only", "HEAD", "failmodes").split()) <= wheel.keys()
    done = subprocess.run(
        [sys.executable, "-c", "import failmodes; print(failmodes.corrupt, failmodes.__file__)"],
        cwd=tmp_path / "source", capture_output=True, text=True,
    )  # fmt: skip
    assert str(tmp_path / "source") in done.stdout, done.stderr
