"""A report on paper: where each chart and its title were printed, and how large, from marks in colors of their own."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from chromium import print_a4, sheets

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

STEP = 8  # between the greens of two figures' marks
RED = 254  # of a mark: no color of ours has it
BLUES = {"start": 200, "end": 150, "caption": 100}  # of a mark, by what it marks
KINDS = {blue: kind for kind, blue in BLUES.items()}
SIDE, LEAST_SIDE = 10, 10  # of a mark in CSS pixels, and in pixels of a sheet's picture, in which one of these is 1.13
# Squares in the corners of each visible chart and at its caption, in colors that tell which they are
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
  return figures.map((figure, number) => `${number} ${figure.querySelector(".plot").dataset.name}`);
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

    def apart(self) -> list[str]:
        """Figures that are not printed on one sheet with their title."""
        sheets_of = {name: {self.places[name, kind].sheet for kind in KINDS.values() if (name, kind) in self.places}
                     for name in self.figures}  # fmt: skip
        whole = {name for name in self.figures if all((name, kind) in self.places for kind in KINDS.values())}
        return [name for name, found in sheets_of.items() if len(found) != 1 or name not in whole]

    def is_made_smaller(self) -> bool:
        """Whether it is printed smaller than it is, as Chromium does where something is wider than the sheet."""
        return min(place.width for place in self.places.values()) < LEAST_SIDE


def printed_on_a4(page: "Page", browser: "Browser") -> Printed:
    """Print an open report whose charts are drawn; the page keeps the marks."""
    figures = page.evaluate(MARK, [SIDE, STEP, RED, BLUES])
    pictures = sheets(browser, print_a4(page))
    places = {
        (figures[figure], kind): Place(sheet, *place)
        for sheet, picture in enumerate(pictures)
        for (figure, kind), place in _marks(picture).items()
    }
    return Printed(figures, pictures, places)


def _marks(picture: np.ndarray) -> dict[tuple[int, str], tuple[int, int, int]]:
    """Row and column of the upper left corner and width of each mark on a sheet, by figure and kind."""
    rows, columns = (length - 2 for length in picture.shape[:2])
    first = picture[:rows, :columns]
    even = first[..., 0] == RED
    for down, right in np.ndindex(3, 3):  # pictures have single pixels of any color
        even &= (picture[down : down + rows, right : right + columns] == first).all(axis=2)
    found: dict[tuple[int, str], list[tuple[int, int]]] = {}
    for row, column in np.argwhere(even).tolist():
        _, green, blue = first[row, column].tolist()
        if blue in KINDS and not green % STEP:
            found.setdefault((green // STEP, KINDS[blue]), []).append((row, column))
    corners = {mark: np.array(pixels) for mark, pixels in found.items()}
    return {mark: (*map(int, at.min(axis=0)), int(np.ptp(at[:, 1])) + 3) for mark, at in corners.items()}
