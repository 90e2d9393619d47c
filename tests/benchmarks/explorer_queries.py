"""The explorer in the system's Chromium, on the generated facts of 20 models: every query of the page to the server.

The page is opened without and with filters in its address, as after a brush, and each request for rows is timed.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from chromium import find_chromium, launched
from explorer_process import Explorer, explorer
from measure import Result, Skipped
from warehouse_questions import CLASSES, IMAGES, write_facts

from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.analysis.site.bundling import bundled_page
from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.runtime.errors import FailmodesError
from failmodes.warehouse.database.load import load

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MODELS = 20
WANTED_QUERY_S, WANTED_PAGE_S = 1.0, 5.0
ROWS = MODELS * IMAGES * (1 + 5 * len(CORRUPTIONS))
SELECTIONS = {"all": "", "confident failures": "#confidence=[0.9,1]&correct=[false]", "fog": '#corruption=["fog"]'}


def measure_explorer() -> Iterator[Result | Skipped]:
    """Generate, load, serve, and ask; skipped without a browser or without the page."""
    executable = find_chromium()
    if executable is None:
        yield Skipped("explorer", "no Chromium here: install it, or let FAILMODES_CHROMIUM name one")
        return
    try:
        bundled_page()
    except FailmodesError as error:
        yield Skipped("explorer", str(error))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_facts(folder, range(MODELS), IMAGES, CLASSES)
        load([folder], folder / "warehouse.duckdb", derivation=DERIVATION)
        with launched(executable) as browser:
            yield from measure_queries(browser, folder / "warehouse.duckdb")


def measure_queries(browser: "Browser", warehouse: Path) -> Iterator[Result]:
    """The lines of this part for a warehouse that is there."""
    with explorer(warehouse) as served:
        for name, address in SELECTIONS.items():
            first_s, spent = _queries(browser, served, address)
            slowest = f"the slowest of {len(spent)} took {max(spent):.2f} s"
            text = f"{WANTED_QUERY_S:g} s wanted; {slowest}; {ROWS:,} predictions"
            yield Result(f"explorer/query: {name}", median(spent), "s of wall", WANTED_QUERY_S / median(spent), text)
            yield Result(f"explorer/page: {name}", first_s, "s of wall", WANTED_PAGE_S / first_s, "first rows")


def _queries(browser: "Browser", served: Explorer, address: str) -> tuple[float, list[float]]:
    """Seconds from opening the page to its first rows, and the seconds of every query."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    started = time.perf_counter()
    ends: list[float] = []
    spent: list[float] = []

    def note(request: object) -> None:
        if "/query?" in request.url:  # type: ignore[attr-defined]  # of playwright
            ends.append(time.perf_counter() - started)
            spent.append(request.timing["responseEnd"] / 1000)  # type: ignore[attr-defined]

    page.on("requestfinished", note)
    page.goto(served.address + address)
    page.wait_for_load_state("networkidle", timeout=300_000)
    page.close()
    return ends[0], spent
