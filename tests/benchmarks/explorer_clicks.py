"""The explorer in the system's Chromium, on the generated facts of 20 models: from a click to the pictures.

A click takes a point of a curve; it is answered when the pictures of that cell stand on the page, made again. The page
shows two models, whose 228 points are clicked here and there.
"""

import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from chromium import find_chromium, launched
from explorer_pages import curve_points, open_explorer, shown_images, wait_for_pictures
from explorer_process import explorer
from measure import Result, Skipped
from synthetic_thumbnails import write_thumbnails
from warehouse_questions import CLASSES, IMAGES, write_facts

from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.warehouse.database.load import load

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MODELS, CLICKS = 20, 15
WANTED_CLICK_S, WANTED_PAGE_S = 1.0, 5.0
ROWS = MODELS * IMAGES * (1 + 5 * len(CORRUPTIONS))


def measure_explorer() -> Iterator[Result | Skipped]:
    """Generate, load, serve, and click; skipped without a browser."""
    executable = find_chromium()
    if executable is None:
        yield Skipped("explorer", "no Chromium here: install it, or let FAILMODES_CHROMIUM name one")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_facts(folder, range(MODELS), IMAGES, CLASSES)
        write_thumbnails(folder, IMAGES)
        load([folder], folder / "warehouse.duckdb", derivation=DERIVATION)
        with launched(executable) as browser:
            yield from measure_clicks(browser, folder / "warehouse.duckdb")


def measure_clicks(browser: "Browser", warehouse: Path) -> Iterator[Result]:
    """The lines of this part for a warehouse that is there."""
    with explorer(warehouse) as served:
        started = time.perf_counter()
        page = open_explorer(browser, served, 1400, "light").page
        opened_s = time.perf_counter() - started
        points, chosen, spent = curve_points(page), random.Random(0), []
        for number in chosen.sample(range(points.count()), CLICKS):
            before, point = shown_images(page), points.nth(number)
            point.scroll_into_view_if_needed()
            started = time.perf_counter()
            point.click(force=True)
            wait_for_pictures(page, before)
            spent.append(time.perf_counter() - started)
    text = f"{WANTED_CLICK_S:g} s wanted; the slowest of {CLICKS} took {max(spent):.2f} s; {ROWS:,} predictions"
    yield Result("explorer/click", median(spent), "s of wall", WANTED_CLICK_S / median(spent), text)
    yield Result("explorer/page", opened_s, "s of wall", WANTED_PAGE_S / opened_s, f"{WANTED_PAGE_S:g} s wanted")
