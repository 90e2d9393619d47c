"""A report in a browser: nothing complained of, nothing fetched, all charts drawn and whole, readable by everyone.

So is one whose models, classes, data set and study are called by whoever means harm: names are text.
"""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from chromium import Theme
from PIL import Image
from report_pages import CUT_TEXTS, NOT_DRAWN, SHRUNK, barriers, screens

pytestmark = pytest.mark.test_all
every_screen = screens((1400, "dark"), (400, "light"))


@every_screen
@pytest.mark.parametrize("name", ["report", "malformed_report"])
def test_everybody_can_read_it(name: str, visit: Any, width: int, theme: Theme, request: pytest.FixtureRequest) -> None:
    found = visit(request.getfixturevalue(name), width, theme)
    page = found.page
    assert (found.problems, found.outside) == ([], [])
    assert page.locator(".plot").count() > 5
    assert page.evaluate(NOT_DRAWN) == []
    assert page.evaluate(CUT_TEXTS) == []
    assert page.evaluate(SHRUNK) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert barriers(page) == []


def test_no_name_is_code(malformed_report: Path, visit: Any) -> None:
    page = visit(malformed_report, 1400).page
    assert page.locator("img[src='x']").count() == 0
    assert "49" not in page.locator("h1").inner_text()
    assert page.evaluate(
        "[...document.querySelectorAll('style')].every((each) => !each.textContent.includes('*{display'))"
    )


def test_the_open_picture_tells_names_as_text(malformed_report: Path, open_page: Any) -> None:
    visit = open_page(malformed_report, 400)
    for card in visit.page.locator("#predictions-1 .gallery button.card:not([hidden])").all():
        card.click()
        viewer = visit.page.locator("dialog.viewer[open]")
        viewer.wait_for()
        assert viewer.locator(".prediction, .name").locator("*").count() == 0
        assert viewer.evaluate("each => each.scrollWidth <= each.clientWidth")
        visit.page.keyboard.press("Escape")
    assert visit.problems == []
    visit.page.context.close()


def test_a_chart_changes_with_the_theme(report: Path, open_page: Any) -> None:
    page = open_page(report, 400, "light").page
    page.wait_for_selector(".plot svg text")
    color = "getComputedStyle(document.querySelector('.plot svg text')).fill"
    before = page.evaluate(color)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"before => document.querySelector('.plot svg text') && {color} != before", arg=before)
    page.context.close()


def test_a_saved_chart_has_its_texts_and_where_the_data_come_from(report: Path, visit: Any, tmp_path: Path) -> None:
    page = visit(report, 1400).page
    for name in ("ranking", "curves"):
        figure = page.locator(f".chart:has(.plot[data-name={name}])")
        saved = {}
        for kind in ("SVG", "PNG"):
            with page.expect_download() as download:
                figure.get_by_role("button", name=kind, exact=True).click()
            saved[kind] = tmp_path / download.value.suggested_filename
            download.value.save_as(saved[kind])
        texts = " ".join(" ".join(ElementTree.parse(saved["SVG"]).getroot().itertext()).split())
        source = page.locator(f".plot[data-name={name}]").get_attribute("data-source")
        for text in (*figure.locator("figcaption").locator("b, small").all_text_contents(), source):
            assert " ".join(text.split()) in texts
        with Image.open(saved["PNG"]) as picture:
            assert picture.height > 2 * float(figure.locator("svg.marks").get_attribute("height")) + 60
