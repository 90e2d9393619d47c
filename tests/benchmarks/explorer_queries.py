"""The explorer in the system's Chromium, on the generated facts of 20 models: every query of the page to the server.

The page is opened without and with filters in its address, as after a brush; then each of its queries is sent alone.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import httpx
from chromium import find_chromium, launched
from explorer_process import explorer
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
WANTED_QUERY_S = 1.0
QUIET_S = 15  # while the server works on several queries, the page waits
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
            requests = _requests(browser, served.address + address)
            spent = [_seconds(url, body) for url, body in requests]
            slowest = f"the slowest of {len(spent)}, one at a time, took {max(spent):.2f} s"
            text = f"{WANTED_QUERY_S:g} s wanted; {slowest}; {ROWS:,} predictions"
            yield Result(f"explorer/query: {name}", median(spent), "s of wall", WANTED_QUERY_S / median(spent), text)


def _requests(browser: "Browser", address: str) -> list[tuple[str, str]]:
    """URL and body of every query of the page until it sends no more for QUIET_S."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    sent: list[tuple[str, str]] = []
    page.on(
        "request", lambda asked: sent.append((asked.url, asked.post_data or "")) if "/query?" in asked.url else None
    )
    page.goto(address)
    page.locator("svg circle").first.wait_for(state="attached", timeout=60_000)
    before = -1
    while before != len(sent):
        before = len(sent)
        page.wait_for_timeout(1000 * QUIET_S)
    page.close()
    return sent


def _seconds(url: str, body: str) -> float:
    started = time.perf_counter()
    httpx.post(url, content=body, headers={"content-type": "application/json"}, timeout=60).raise_for_status()
    return time.perf_counter() - started
