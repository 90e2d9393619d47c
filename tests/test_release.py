"""A release is refused without an address of the project, under a wrong tag, or without a section of the changelog."""

import subprocess
import sys
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

import failmodes

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / ".ci" / "check_release.py"

URLS = '[project.urls]\nRepository = "https://example.org/failmodes"\n'
CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2026-11-25\n"


@pytest.fixture(scope="module")
def check():
    spec = spec_from_file_location("check_release", SCRIPT)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def checkout(folder: Path, urls: str = URLS, changelog: str = CHANGELOG) -> Path:
    (folder / "failmodes").mkdir()
    (folder / "failmodes" / "__init__.py").write_text('"""Text."""\n\n__version__ = "1.2.0"\n')
    (folder / "pyproject.toml").write_text(f'[project]\nname = "failmodes"\n{urls}')
    (folder / "CHANGELOG.md").write_text(changelog)
    return folder


CASES = {
    "ready": ("v1.2.0", {}, None),
    "no address": ("v1.2.0", {"urls": ""}, "no [project.urls]"),
    "an empty table of addresses": ("v1.2.0", {"urls": "[project.urls]\n"}, "no [project.urls]"),
    "another version": ("v1.2.1", {}, "the tag is v1.2.1, and __version__ in failmodes/__init__.py is 1.2.0"),
    "no v": ("1.2.0", {}, "expected v1.2.0"),
    "no section": ("v1.2.0", {"changelog": "## [Unreleased]\n"}, "no section for it"),
    "a section without a date": ("v1.2.0", {"changelog": "## [1.2.0]\n"}, "no section for it"),
    "another's section": ("v1.2.0", {"changelog": "## [1.2.01] - 2026-11-25\n"}, "no section for it"),
}


@pytest.mark.parametrize(("tag", "content", "problem"), CASES.values(), ids=CASES.keys())
def test_a_release_is_refused_for_a_reason_that_is_said(check, tmp_path, tag: str, content, problem) -> None:
    found = check.problems(tag, checkout(tmp_path, **content))
    assert len(found) == (problem is not None)
    assert problem is None or problem in found[0]


def test_this_checkout_is_refused_as_long_as_its_address_is_unknown() -> None:
    done = subprocess.run([sys.executable, SCRIPT, f"v{failmodes.__version__}"], capture_output=True, text=True)
    has_address = "urls" in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert ("no [project.urls]" in done.stdout) != has_address
    assert "the tag is" not in done.stdout
    assert has_address or done.returncode == 1
