"""The explorer in a browser: opened at its address, with what it complains of and what it asks other hosts."""

from typing import TYPE_CHECKING

from chromium import Theme
from explorer_process import Explorer
from report_pages import HEIGHTS, Visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

PICTURES = "[data-role=pictures]"
READY = """([selector, before]) => {
  const shown = document.querySelector(selector);
  const pictures = shown ? [...shown.querySelectorAll("img")] : [];
  const state = shown && `${shown.dataset.of}: ${shown.querySelector(".headline").innerText}`;
  return state && state != before && pictures.length && pictures.every((each) => each.complete) ? state : null;
}"""
WIDEST = """() => Math.max(...["html", "body", "#App"].map((name) => document.querySelector(name).scrollWidth))"""
CUT_CHARTS = """() => [...document.querySelectorAll("marimo-vega")].map((chart) => {
  const drawn = chart.shadowRoot.querySelector("svg"), cell = chart.closest(".marimo-cell");
  return drawn ? drawn.getBoundingClientRect().right - cell.getBoundingClientRect().right : 0;
}).filter((beyond) => beyond > 1)"""


def open_explorer(browser: "Browser", served: Explorer, width: int, theme: Theme, state: str = "") -> Visit:
    """Open the page in a context of its own, and wait for its pictures; any other host is out of reach, and noted.

    `state` is what a link says beyond the address, if anything.
    """
    size = {"width": width, "height": HEIGHTS[width]}
    context = browser.new_context(viewport=size, color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
    context.set_default_timeout(60_000)
    visit = Visit(context.new_page(), [], [])
    local = (served.origin, served.origin.replace("http", "ws", 1), "data:", "blob:", "about:")
    context.route(lambda url: not url.startswith(local), lambda route: route.abort())
    context.on("request", lambda asked: None if asked.url.startswith(local) else visit.outside.append(asked.url))
    context.on("console", lambda said: visit.problems.append(said.text) if said.type == "error" else None)
    context.on("dialog", lambda dialog: (visit.problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    context.on("weberror", lambda failed: visit.problems.append(str(failed.error)))
    visit.page.goto(f"{served.address}&{state}" if state else served.address)
    wait_for_pictures(visit.page, "")
    curve_points(visit.page).first.wait_for(state="attached")
    charts(visit.page).nth(1).locator("svg").wait_for()
    return visit


def wait_for_pictures(page: "Page", before: str) -> str:
    """Wait until the pictures of another cell or slice than before are shown; which these are."""
    return str(page.wait_for_function(READY, arg=[PICTURES, before]).json_value())


def shown_images(page: "Page") -> str:
    """Of which cell and slice pictures are shown."""
    return wait_for_pictures(page, "")


def viewer(page: "Page") -> "Locator":
    """The dialog that shows an image over severities, while it is open."""
    return page.locator("dialog.viewer[open]")


def charts(page: "Page") -> "Locator":
    """The charts in their order: curves, confusions, confidence, risk."""
    return page.locator("marimo-vega")


def curve_points(page: "Page") -> "Locator":
    """The points of the curves; their labels for screen readers say model, severity and accuracy."""
    return charts(page).first.locator("path[aria-roledescription='point']")


def show_all(page: "Page") -> None:
    """Make the window as high as the page, which scrolls within itself."""
    width = page.viewport_size["width"] if page.viewport_size else 1400
    height = page.evaluate("() => document.querySelector('#App').scrollHeight")
    page.set_viewport_size({"width": width, "height": int(height)})
