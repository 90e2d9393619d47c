"""A report in a browser: nothing complained of, nothing fetched, all charts drawn and whole, readable by everyone."""

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from chromium import Theme
from PIL import Image
from report_pages import CUT_TEXTS, NOT_DRAWN, SHRUNK, barriers, screens

pytestmark = pytest.mark.browser
every_screen = screens((1400, "dark"), (400, "light"))


@every_screen
def test_nothing_is_complained_of_and_nothing_fetched(report: Path, visit: Any, width: int, theme: Theme) -> None:
    found = visit(report, width, theme)
    assert found.problems == []
    assert found.outside == []


@every_screen
def test_every_chart_is_drawn(report: Path, visit: Any, width: int, theme: Theme) -> None:
    page = visit(report, width, theme).page
    assert page.locator(".plot").count() > 5
    assert page.evaluate(NOT_DRAWN) == []


@every_screen
def test_no_chart_is_cut_or_too_small_to_read(report: Path, visit: Any, width: int, theme: Theme) -> None:
    page = visit(report, width, theme).page
    assert page.evaluate(CUT_TEXTS) == []
    assert page.evaluate(SHRUNK) == []


@every_screen
def test_the_page_is_as_wide_as_the_screen(report: Path, visit: Any, width: int, theme: Theme) -> None:
    assert visit(report, width, theme).page.evaluate("document.documentElement.scrollWidth") <= width


@every_screen
def test_everybody_can_read_it(report: Path, visit: Any, width: int, theme: Theme) -> None:
    assert barriers(visit(report, width, theme).page) == []


@pytest.mark.parametrize("width", [1400, 400])
def test_a_chart_changes_with_the_theme(report: Path, open_page: Any, width: int) -> None:
    page = open_page(report, width, "light").page
    page.wait_for_selector(".plot svg text")
    color = "getComputedStyle(document.querySelector('.plot svg text')).fill"
    before = page.evaluate(color)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"before => document.querySelector('.plot svg text') && {color} != before", arg=before)
    assert page.evaluate(color) != before
    page.context.close()


@every_screen
def test_a_saved_chart_has_its_texts_and_where_the_data_come_from(
    report: Path, visit: Any, tmp_path: Path, width: int, theme: Theme
) -> None:
    page = visit(report, width, theme).page
    for name in ("ranking", "curves", "differences", "attention"):
        figure = page.locator(f".chart:has(.plot[data-name={name}])")
        saved = {}
        for kind in ("SVG", "PNG"):
            with page.expect_download() as download:
                figure.get_by_role("button", name=kind, exact=True).click()
            saved[kind] = tmp_path / f"{width}-{download.value.suggested_filename}"
            download.value.save_as(saved[kind])
        drawn = ElementTree.parse(saved["SVG"]).getroot()
        texts = " ".join(" ".join(drawn.itertext()).split())
        source = page.locator(f".plot[data-name={name}]").get_attribute("data-source")
        assert re.search("subset: .*; corruptions: .* seed 0; training seed", source)
        for text in (*figure.locator("figcaption").locator("b, small").all_text_contents(), source):
            assert " ".join(text.split()) in texts
        shown = figure.locator("svg.marks")
        assert float(drawn.get("width")) <= 1.06 * float(shown.get_attribute("width"))
        with Image.open(saved["PNG"]) as picture:
            assert picture.height > 2 * float(shown.get_attribute("height")) + 60
