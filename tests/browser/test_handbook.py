"""The handbook in a browser, opened as files: nothing complained of, nothing fetched, read by everyone, searched."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from chromium import Theme
from report_pages import barriers, screens

pytestmark = pytest.mark.test_all
ROOT = Path(__file__).parents[2]
KINDS = (  # a page of each kind
    "index.html", "tutorials/attention.html", "your-model.html", "concepts/attention.html", "reference/commands.html",
    "reference/schema.html", "reference/python.html", "project/changelog.html",
)  # fmt: skip
BROKEN_PICTURES = "[...document.images].filter((each) => !each.alt || !each.naturalWidth).map((each) => each.src)"


@pytest.fixture(scope="module")
def handbook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of its pages, built as `make docs` does."""
    for package in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(package, reason="the extra `docs` builds the handbook")
    folder = tmp_path_factory.mktemp("handbook")
    arguments = ["build", "--quiet", "--strict", "--config-file", ".handbook/mkdocs.yml", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mkdocs", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.nightly
@screens()
def test_no_page_complains_fetches_or_is_too_wide(handbook: Path, open_page: Any, width: int, theme: Theme) -> None:
    wrong = []
    for path in sorted(handbook.rglob("*.html")):
        if path.name == "404.html":  # whose addresses are those of a server
            continue
        found = open_page(path, width, theme)
        found.page.wait_for_load_state("load")
        said = [*found.problems, *found.outside, *found.page.evaluate(BROKEN_PICTURES)]
        if found.page.evaluate("document.documentElement.scrollWidth") > width:
            said.append("wider than the screen")
        wrong += [f"{path.relative_to(handbook)}: {line}" for line in said]
        found.page.context.close()
    assert wrong == []


@pytest.mark.nightly
@screens((1400, "dark"), (400, "light"))
def test_nothing_keeps_people_out(handbook: Path, open_page: Any, width: int, theme: Theme) -> None:
    wrong = []
    for name in KINDS:
        found = open_page(handbook / name, width, theme)
        wrong += [f"{name}: {barrier}" for barrier in barriers(found.page)]
        found.page.context.close()
    assert wrong == []


def test_it_is_searched_without_a_server(handbook: Path, open_page: Any) -> None:
    found = open_page(handbook / "index.html")
    found.page.get_by_role("textbox", name="Search").fill("worse_by_at_most")
    result = found.page.locator(".md-search-result__link").first
    result.wait_for()
    result.click()
    found.page.wait_for_url("**/*.html*")
    assert "worse_by_at_most" in found.page.inner_text("article")
    assert found.problems == []
