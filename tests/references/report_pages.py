"""A report in a browser: opened offline, with what it complains of, what it asks for, and what keeps people out."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from chromium import Theme

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HEIGHTS = {1400: 900, 1280: 800, 768: 1024, 400: 800}  # of a screen, by its width, in CSS pixels
OUTSIDE = re.compile("^(?!file:|data:|blob:|about:)")

# Visible charts without a mark; texts that leave their chart; charts shown at less than three quarters of their size
NOT_DRAWN = """() => [...document.querySelectorAll(".plot")].filter((plot) => plot.checkVisibility())
  .filter((plot) => !plot.querySelector("svg g.role-mark > *")).map((plot) => plot.dataset.name)"""
CUT_TEXTS = """() => [...document.querySelectorAll(".plot svg text")].filter((text) => text.checkVisibility())
  .filter((text) => {
    const inside = text.getBoundingClientRect(), whole = text.ownerSVGElement.getBoundingClientRect();
    return inside.left < whole.left - 2 || inside.right > whole.right + 2 || inside.top < whole.top - 2
      || inside.bottom > whole.bottom + 2;
  }).map((text) => `${text.closest(".plot").dataset.name}: ${text.textContent}`)"""
SHRUNK = """() => [...document.querySelectorAll(".plot svg.marks")].filter((svg) => svg.checkVisibility())
  .filter((svg) => svg.getBoundingClientRect().width < 0.75 * svg.getAttribute("width"))
  .map((svg) => `${svg.closest(".plot").dataset.name}: ${svg.getAttribute("width")} px wide`)"""


class Visit(NamedTuple):
    """An open page, what its console, scripts and dialogs said, and the addresses outside that it asked for."""

    page: "Page"
    problems: list[str]
    outside: list[str]


def screens(*others: tuple[int, Theme]) -> pytest.MarkDecorator:
    """A wide screen in light and a phone in dark, for `width` and `theme`; others are nightly."""
    rare = [pytest.param(*screen, marks=pytest.mark.nightly) for screen in others]
    return pytest.mark.parametrize(("width", "theme"), [(1400, "light"), *rare, (400, "dark")])


def open_report(browser: "Browser", path: Path, width: int, theme: Theme) -> Visit:
    """Open a report offline in a context of its own; charts may not be drawn yet."""
    size = {"width": width, "height": HEIGHTS[width]}
    context = browser.new_context(viewport=size, color_scheme=theme, reduced_motion="reduce", offline=True)  # type: ignore[arg-type]
    context.set_default_timeout(15_000)
    visit = Visit(context.new_page(), [], [])
    context.route(OUTSIDE, lambda route: route.abort())
    context.on("request", lambda asked: visit.outside.append(asked.url) if OUTSIDE.match(asked.url) else None)
    context.on("console", lambda said: visit.problems.append(said.text) if said.type == "error" else None)
    context.on("weberror", lambda failed: visit.problems.append(str(failed.error)))
    context.on("dialog", lambda dialog: (visit.problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    visit.page.goto(path.as_uri())
    return visit


def unfold(page: "Page") -> None:
    """Open everything that folds but the menus of charts, which lie over others."""
    page.evaluate(
        "document.querySelectorAll('details').forEach((each) => { each.open = !each.closest('.vega-embed'); })"
    )


def wait_without_scrolling(page: "Page") -> None:
    """Wait until the charts are drawn that nobody has scrolled to: who prints may not have seen all of it."""
    page.wait_for_function(
        "[...document.querySelectorAll('.plot')].every((each) => !each.checkVisibility() || each.querySelector('svg'))"
    )


def barriers(page: "Page", within: str = "html") -> list[str]:
    """What axe-core finds of serious or critical impact: the rule, the element, and what is wrong with it."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="the extra `dev` has axe-core").Axe()
    found = axe.run(page, context=within, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{rule['id']} ({rule['impact']}): {node['target']} {node.get('failureSummary', '')[:300]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]
