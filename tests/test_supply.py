"""What is published: built from files with known hashes alone, tested as built, no versions of known advisories."""

import json
import re
import subprocess
import tarfile
import zipfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
LOCKED = ROOT / ".ci" / "build_requirements.txt"


def script(name: str) -> ModuleType:
    spec = spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_build_back_end_is_locked_with_hashes() -> None:
    pins = [line for line in LOCKED.read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w-]+==[\w.]+ --hash=sha256:[0-9a-f]{64}", pin) for pin in pins)
    assert any(pin.startswith("hatchling==") for pin in pins)


def test_the_job_that_builds_installs_nothing_else() -> None:
    """No installation beside the locked one; the tests run in another job, on what was built."""
    text = (ROOT / ".github/workflows/release.yml").read_text().split("jobs:\n")[1]
    _, build, test, publish = re.split(r"^  \w+:.*$", text, flags=re.MULTILINE)
    check, made = re.findall(r"run: (.*)", build)
    assert check == 'python .ci/check_release.py "$GITHUB_REF_NAME"'
    assert made == "python .ci/build_dist.py dist --require-page"
    assert "upload-artifact" in build
    assert "upload-artifact" not in test + publish
    assert "make test-floors BUILT=1" in test
    assert "needs: [build, test]" in publish


def small_project(folder: Path) -> Path:
    (folder / "small").mkdir(parents=True)
    (folder / "small" / "__init__.py").write_text('"""Text."""\n')
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "small"\nversion = "1.0"\n'
    )
    return folder


@pytest.mark.test_all
def test_a_distribution_is_built_from_locked_files(tmp_path: Path) -> None:
    source, wheel = script("build_dist").build(tmp_path / "dist", small_project(tmp_path / "project"))
    assert "small/__init__.py" in zipfile.ZipFile(wheel).namelist()
    with tarfile.open(source) as archive:
        assert "small-1.0/pyproject.toml" in archive.getnames()


@pytest.mark.test_all
def test_a_release_has_the_page(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="failmodes/analysis/site"):
        script("build_dist").build(tmp_path / "dist", small_project(tmp_path / "project"), requires_page=True)
    assert not list((tmp_path / "dist").glob("*.whl"))


def test_the_packages_of_the_page_are_locked_with_hashes_and_no_address() -> None:
    folder = ROOT / "failmodes/analysis/site"
    packages = json.loads((folder / "package-lock.json").read_text())["packages"]
    needed = json.loads((folder / "package.json").read_text())
    assert all(package["integrity"].startswith("sha512-") for name, package in packages.items() if name)
    assert not any("resolved" in package for package in packages.values())
    exact = needed["dependencies"] | needed["devDependencies"]
    assert all(re.fullmatch(r"[\d.]+(-[\w.]+)?", version) for version in exact.values())
    assert packages[""]["dependencies"] == needed["dependencies"]


@pytest.mark.test_all
def test_a_file_of_another_hash_is_not_installed(tmp_path: Path) -> None:
    other = tmp_path / "locked.txt"
    other.write_text(re.sub("sha256:....", "sha256:0000", LOCKED.read_text()))
    with pytest.raises(subprocess.CalledProcessError):
        script("build_dist").build(tmp_path / "dist", small_project(tmp_path / "project"), other)
    assert not list((tmp_path / "dist").iterdir())


ADVISORY = {"id": "GHSA-1", "fix_versions": ["3.1.6"], "aliases": [], "description": ""}
AUDITED = {
    "an advisory": ([{"name": "jinja2", "version": "3.1.2", "vulns": [ADVISORY]}], 1,
                    "jinja2 3.1.2: GHSA-1, fixed in 3.1.6"),
    "none": ([{"name": "jinja2", "version": "3.1.6", "vulns": []}], 0, "1 packages audited, 0 advisories, 0 skipped"),
    "no answer": ([{"name": "jinja2", "skip_reason": "not found"}], 0, "audit skipped"),
}  # fmt: skip


@pytest.mark.parametrize(("packages", "code", "says"), AUDITED.values(), ids=AUDITED)
def test_an_advisory_fails_and_a_silent_registry_is_said(packages: list, code: int, says: str) -> None:
    lines, found = script("audit").judged(packages)
    assert found == code
    assert any(says in line for line in lines)


def test_an_audit_reads_pins_with_and_without_hashes(tmp_path: Path) -> None:
    (tmp_path / "floors.txt").write_text("jinja2==3.1.6\n")
    pins = script("audit").pins([LOCKED, tmp_path / "floors.txt"])
    assert "jinja2==3.1.6" in pins
    assert not any("hash" in pin or "#" in pin for pin in pins)


def floor(package: str, text: str) -> tuple[int, ...]:
    found = re.search(rf'"{re.escape(package)}>=([\d.]+)"', text)
    assert found
    return tuple(map(int, found[1].split(".")))


@pytest.mark.parametrize(
    ("package", "fixed"),
    [
        ("jinja2", (3, 1, 6)),  # CVE-2025-27516
        ("pillow", (13,)),  # CVE-2026-59199, CVE-2026-96639
        ("torch", (2, 10)),  # CVE-2026-24747
        ("onnx", (1, 21)),  # CVE-2026-27489
        ("ray", (2, 56)),  # CVE-2026-57516
        ("scikit-learn", (1, 5)),  # CVE-2024-5206
        ("timm", (1, 0, 26)),  # unpickles files of the hub before
    ],
)
def test_no_floor_has_a_known_advisory(package: str, fixed: tuple[int, ...]) -> None:
    assert floor(package, (ROOT / "pyproject.toml").read_text()) >= fixed
