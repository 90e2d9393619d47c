"""Tables that a click on a heading sorts: by number where cells have one, by text elsewhere, and said to everyone."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from report_pages import unfold

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.test_all

TABLES = "main table:has(thead button)"
NUMBER = re.compile(r"-?\d+(\.\d+)?")
# Of each column after one and after two clicks on its heading: what is said of it, of others, and its cells
SORTED = """table => [...table.tHead.rows[0].cells].map((heading, column) => [0, 1].map(() => {
  heading.querySelector("button").click();
  const others = [...table.tHead.rows[0].cells].filter((each) => each !== heading);
  return {
    said: heading.ariaSort,
    others: others.map((each) => each.ariaSort).filter((said) => said && said !== "none"),
    rows: [...table.tBodies[0].rows].map((row) => row.innerText),
    cells: [...table.tBodies[0].rows].map((row) => row.cells[column].innerText.trim()),
  };
}))"""


@pytest.fixture
def page(report: Path, open_page: Any) -> Iterator["Page"]:
    visit = open_page(report)
    yield visit.page
    assert visit.problems == []
    visit.page.context.close()


def test_every_column_sorts_in_both_directions(page: "Page") -> None:
    assert page.locator(TABLES).count() > 5
    unfold(page)
    for table in page.locator(TABLES).all():
        before = sorted(table.evaluate("table => [...table.tBodies[0].rows].map((row) => row.innerText)"))
        for place, clicks in enumerate(table.evaluate(SORTED)):
            assert {click["said"] for click in clicks} == {"ascending", "descending"}
            for click in clicks:
                assert click["others"] == []
                assert sorted(click["rows"]) == before
                _assert_sorted(click["cells"], is_name=not place, falling=click["said"] == "descending")


def _number(text: str) -> float | None:
    found = NUMBER.search(text.replace("\u2212", "-").replace(",", ""))
    return float(found[0]) if found else None


def _assert_sorted(cells: list[str], *, is_name: bool, falling: bool) -> None:
    numbers = [None if is_name else _number(cell) for cell in cells]
    if any(number is not None for number in numbers):
        assert [number for number in numbers if number is not None] == sorted(
            (number for number in numbers if number is not None), reverse=falling
        )
        assert sum((a is None) != (b is None) for a, b in pairwise(numbers)) <= 1  # those without a number are together
    else:
        texts = [cell.casefold() for cell in cells]
        assert texts == sorted(texts, reverse=falling)


def test_a_heading_sorts_by_mouse_and_by_keyboard(page: "Page") -> None:
    unfold(page)
    table = page.locator(TABLES).first
    heading = table.locator("thead th").nth(1)
    heading.click(position={"x": 2, "y": 2})  # all of it is the button
    first = heading.get_attribute("aria-sort")
    page.keyboard.press("Enter")
    assert {first, heading.get_attribute("aria-sort")} == {"ascending", "descending"}
    assert heading.locator("button").evaluate("each => document.activeElement === each")


def test_a_wide_table_can_be_scrolled_by_keyboard(report: Path, open_page: Any) -> None:
    page = open_page(report, 400).page
    unfold(page)
    stuck = """all => all.filter((table) => table.getBoundingClientRect().right > window.innerWidth)
      .filter((table) => !table.closest("[tabindex='0']")).length"""
    assert page.locator(TABLES).evaluate_all(stuck) == 0
    page.context.close()
