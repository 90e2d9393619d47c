"""A printed report: few pages, every chart drawn, whole and on one page with its caption."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from chromium import print_a4, sheets

pytestmark = pytest.mark.browser

MOST_SHEETS = 12
STEP = 8  # between the greens of two figures' marks
RED = 254  # of a mark: no colour of ours has it
BLUES = {"start": 200, "end": 150, "caption": 100}  # of a mark, by what it marks
KINDS = {blue: kind for kind, blue in BLUES.items()}
SIDE, LEAST_SIDE = 10, 10  # of a mark in CSS pixels, and in pixels of a sheet's picture, in which one of these is 1.13
# Squares in the corners of each visible chart and at its caption, in colours that tell which they are
MARK = """([side, step, red, blues]) => {
  const figures = [...document.querySelectorAll("figure")]
    .filter((each) => each.querySelector(".plot")?.checkVisibility());
  const mark = (element, number, kind, place) => {
    element.style.position = "relative";
    element.insertAdjacentHTML("beforeend", `<svg width="${side}" height="${side}" style="position:absolute;${place}">
      <rect width="${side}" height="${side}" fill="rgb(${red} ${number * step} ${blues[kind]})"/></svg>`);
  };
  figures.forEach((figure, number) => {
    mark(figure.querySelector(".plot"), number, "start", "left:0;top:0");
    mark(figure.querySelector(".plot"), number, "end", "right:0;bottom:0");
    mark(figure.querySelector("figcaption") ?? figure, number, "caption", "left:0;top:0");
  });
  return figures.map((figure) => figure.id);
}"""


class Place(NamedTuple):
    """Where a mark was printed: number of the sheet, row and column in its picture, and how wide it is."""

    sheet: int
    row: int
    column: int
    width: int


class Printed(NamedTuple):
    """Names of the figures, pictures of the sheets (H, W, 3), and the place of each mark by figure and kind."""

    figures: list[str]
    pictures: list[np.ndarray]
    places: dict[tuple[str, str], Place]


@pytest.fixture(scope="module")
def printed(report: Path, open_page: Any, browser: Any) -> Printed:
    page = open_page(report).page
    page.wait_for_function(  # without scrolling: who prints may not have seen all of it
        "[...document.querySelectorAll('.plot')].every((each) => !each.checkVisibility() || each.querySelector('svg'))"
    )
    figures = page.evaluate(MARK, [SIDE, STEP, RED, BLUES])
    pictures = sheets(browser, print_a4(page))
    page.context.close()
    places = {
        (figures[figure], kind): Place(sheet, *place)
        for sheet, picture in enumerate(pictures)
        for (figure, kind), place in _marks(picture).items()
    }
    return Printed(figures, pictures, places)


def test_it_has_few_sheets(printed: Printed) -> None:
    assert 1 < len(printed.pictures) <= MOST_SHEETS


def test_it_is_not_made_smaller(printed: Printed) -> None:
    """Where something is wider than the sheet, Chromium prints everything smaller."""
    assert min(place.width for place in printed.places.values()) >= LEAST_SIDE


def test_every_chart_is_printed_on_one_sheet_with_its_caption(printed: Printed) -> None:
    assert len(printed.figures) > 5
    sheets_of = {
        figure: {kind: printed.places[figure, kind].sheet for kind in BLUES if (figure, kind) in printed.places}
        for figure in printed.figures
    }
    assert {figure: found for figure, found in sheets_of.items() if len(found) < len(BLUES)} == {}
    assert {figure: found for figure, found in sheets_of.items() if len(set(found.values())) > 1} == {}


def test_no_chart_is_blank(printed: Printed) -> None:
    blank = []
    for figure in printed.figures:
        start, end = printed.places[figure, "start"], printed.places[figure, "end"]
        chart = printed.pictures[start.sheet][start.row + 10 : end.row - 10, start.column + 10 : end.column - 10]
        if chart.size == 0 or (chart.min(axis=2) < 200).mean() < 0.002:
            blank.append(figure)
    assert blank == []


def test_no_sheet_is_blank_and_none_is_dark(printed: Printed) -> None:
    inked = [float((picture.min(axis=2) < 200).mean()) for picture in printed.pictures]
    assert min(inked) > 0.001
    assert max(inked) < 0.6


def _marks(picture: np.ndarray) -> dict[tuple[int, str], tuple[int, int, int]]:
    """Row and column of the upper left corner and width of each mark on a sheet, by figure and kind."""
    rows, columns = (length - 2 for length in picture.shape[:2])
    first = picture[:rows, :columns]
    even = first[..., 0] == RED
    for down, right in np.ndindex(3, 3):  # pictures have single pixels of any colour
        even &= (picture[down : down + rows, right : right + columns] == first).all(axis=2)
    found: dict[tuple[int, str], list[tuple[int, int]]] = {}
    for row, column in np.argwhere(even).tolist():
        _, green, blue = first[row, column].tolist()
        if blue in KINDS and not green % STEP:
            found.setdefault((green // STEP, KINDS[blue]), []).append((row, column))
    corners = {mark: np.array(pixels) for mark, pixels in found.items()}
    return {mark: (*map(int, at.min(axis=0)), int(np.ptp(at[:, 1])) + 3) for mark, at in corners.items()}
