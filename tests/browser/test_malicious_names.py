"""Names that whoever means harm gave models, classes, data sets and studies: shown as text, and nothing else."""

from pathlib import Path
from typing import Any

import pytest
from report_pages import CUT_TEXTS, NOT_DRAWN, SHRUNK, barriers

pytestmark = pytest.mark.browser

BOTH = pytest.mark.parametrize("width", [1400, 400])


@BOTH
def test_no_name_is_code(malformed_report: Path, visit: Any, width: int) -> None:
    found = visit(malformed_report, width)
    assert found.problems == []
    assert found.outside == []
    page = found.page
    assert page.locator("img[src='x']").count() == 0
    assert "49" not in page.locator("h1").inner_text()
    assert page.evaluate(
        "[...document.querySelectorAll('style')].every((each) => !each.textContent.includes('*{display'))"
    )


@BOTH
def test_the_page_is_as_wide_as_the_screen(malformed_report: Path, visit: Any, width: int) -> None:
    assert visit(malformed_report, width).page.evaluate("document.documentElement.scrollWidth") <= width


@BOTH
def test_every_chart_is_drawn_and_can_be_read(malformed_report: Path, visit: Any, width: int) -> None:
    page = visit(malformed_report, width).page
    assert page.evaluate(NOT_DRAWN) == []
    assert page.evaluate(CUT_TEXTS) == []
    assert page.evaluate(SHRUNK) == []


def test_everybody_can_read_it(malformed_report: Path, visit: Any) -> None:
    assert barriers(visit(malformed_report, 400).page) == []


def test_the_open_picture_tells_names_as_text(malformed_report: Path, open_page: Any) -> None:
    visit = open_page(malformed_report, 400)
    cards = visit.page.locator("#predictions-1 .gallery button.card:not([hidden])")
    for number in range(cards.count()):
        cards.nth(number).click()
        viewer = visit.page.locator("dialog.viewer[open]")
        viewer.wait_for()
        assert viewer.locator(".prediction, .name").locator("*").count() == 0
        assert viewer.evaluate("each => each.scrollWidth <= each.clientWidth")
        visit.page.keyboard.press("Escape")
    assert visit.problems == []
    visit.page.context.close()
