"""A printed report: few pages, every chart drawn, whole and on one page with its title."""

from pathlib import Path
from typing import Any

import pytest
from printed_report import Printed, printed_on_a4
from report_pages import wait_without_scrolling

pytestmark = pytest.mark.browser

MOST_SHEETS = 12


@pytest.fixture(scope="module")
def printed(report: Path, open_page: Any, browser: Any) -> Printed:
    page = open_page(report).page
    wait_without_scrolling(page)
    found = printed_on_a4(page, browser)
    page.context.close()
    return found


def test_every_chart_is_printed_on_one_sheet_with_its_title(printed: Printed) -> None:
    assert len(printed.figures) > 4
    assert printed.apart() == []
    assert not printed.is_made_smaller()


def test_no_chart_is_blank(printed: Printed) -> None:
    blank = []
    for figure in printed.figures:
        start, end = printed.places[figure, "start"], printed.places[figure, "end"]
        chart = printed.pictures[start.sheet][start.row + 10 : end.row - 10, start.column + 10 : end.column - 10]
        if chart.size == 0 or (chart.min(axis=2) < 200).mean() < 0.002:
            blank.append(figure)
    assert blank == []


def test_sheets_are_few_and_none_is_blank_or_dark(printed: Printed) -> None:
    assert 1 < len(printed.pictures) <= MOST_SHEETS
    inked = [float((picture.min(axis=2) < 200).mean()) for picture in printed.pictures]
    assert min(inked) > 0.001
    assert max(inked) < 0.6
