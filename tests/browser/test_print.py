"""A printed report: few sheets, every chart drawn, whole and on one sheet with its title."""

import re
from pathlib import Path
from typing import Any

import pytest
from report_pages import CUT_TEXTS, NOT_DRAWN, wait_without_scrolling

pytestmark = pytest.mark.test_all

WIDTH, HEIGHT = 688, 1017  # an A4 sheet without the margins that the report's style sheet sets, CSS pixels
MAX_SHEETS = 12
# Figures that may part from their title, or that are larger than a sheet
PARTED = """([width, height]) => [...document.querySelectorAll("figure")].filter((each) => each.checkVisibility())
  .filter((each) => {
    const box = each.getBoundingClientRect();
    return getComputedStyle(each).breakInside != "avoid" || box.width > width || box.height > height;
  }).map((each) => each.outerHTML.slice(0, 200))"""


def test_every_chart_is_printed_on_one_sheet_with_its_title(report: Path, open_page: Any) -> None:
    page = open_page(report).page
    wait_without_scrolling(page)
    pdf = page.pdf(format="A4", prefer_css_page_size=True)
    assert 1 < len(re.findall(rb"/Type\s*/Page\b", pdf)) <= MAX_SHEETS
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    page.emulate_media(media="print", color_scheme="light")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    wait_without_scrolling(page)
    assert page.locator("figure .plot").count() > 4
    assert page.evaluate(NOT_DRAWN) == []
    assert page.evaluate(CUT_TEXTS) == []
    assert page.evaluate(PARTED, [WIDTH, HEIGHT]) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTH
    page.context.close()
