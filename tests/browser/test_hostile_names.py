"""Names that whoever means harm gave networks, classes, data sets and studies: shown as text, and nothing else."""

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser

BOTH = pytest.mark.parametrize("width", [1400, 400])


@BOTH
def test_no_name_is_code(hostile_report: Path, visit: Any, width: int) -> None:
    found = visit(hostile_report, width)
    assert found.problems == []
    assert found.outside == []
    page = found.page
    assert page.locator("img[src='x']").count() == 0
    assert "49" not in page.locator("h1").inner_text()
    assert page.evaluate(
        "[...document.querySelectorAll('style')].every((each) => !each.textContent.includes('*{display'))"
    )


@BOTH
def test_the_page_is_as_wide_as_the_screen(hostile_report: Path, visit: Any, width: int) -> None:
    assert visit(hostile_report, width).page.evaluate("document.documentElement.scrollWidth") <= width
