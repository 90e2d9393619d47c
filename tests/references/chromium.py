"""The system's Chromium: where it is, how it is started, the pages of a report in it and on paper."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")
A4_MARGIN = "10mm"  # what Chromium's own print dialogue begins with
VIEWER_GREY = 60  # no part of a sheet is as dark throughout as what the PDF viewer shows around it
Theme = Literal["light", "dark"]


def find_chromium() -> str | None:
    """Path of the browser that FAILMODES_CHROMIUM names, or of the first known one; None without any."""
    named = os.environ.get("FAILMODES_CHROMIUM")
    return shutil.which(named) if named else next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def launched(executable: str) -> Iterator["Browser"]:
    """A browser without a window; root has no sandbox."""
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield browser
        browser.close()


def wait_until_drawn(page: "Page") -> None:
    """Scroll once through the page, for what is drawn when it is seen, and wait until its charts are.

    Raises:
        playwright.sync_api.TimeoutError: a visible chart is not drawn after 30 s.
    """
    page.evaluate(
        """async () => {
          for (let y = 0; y < document.documentElement.scrollHeight; y += window.innerHeight) {
            window.scrollTo({top: y, behavior: "instant"});
            await new Promise((done) => setTimeout(done, 20));
          }
          window.scrollTo({top: 0, behavior: "instant"});
        }"""
    )
    page.wait_for_function(
        """() => [...document.querySelectorAll(".plot")].filter((plot) => plot.checkVisibility())
                 .every((plot) => plot.querySelector("svg"))"""
    )


def print_a4(page: "Page") -> bytes:
    """The page as PDF, as its user would print it."""
    margin = dict.fromkeys(("top", "right", "bottom", "left"), A4_MARGIN)
    return page.pdf(format="A4", print_background=False, margin=margin)  # type: ignore[arg-type]


def count_sheets(pdf: bytes) -> int:
    """How many pages a PDF by Chromium has."""
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


def sheets(browser: "Browser", pdf: bytes) -> Iterator[Image.Image]:
    """Every page of a PDF, as the browser's viewer shows it, without what is around it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "printed.pdf")
        path.write_bytes(pdf)
        for number in range(1, count_sheets(pdf) + 1):
            page = browser.new_page(viewport={"width": 1000, "height": 1400})
            page.goto(f"{path.as_uri()}#page={number}&toolbar=0&view=Fit")
            yield _settled_sheet(page, Path(folder, "sheet.png"))
            page.close()


def _settled_sheet(page: "Page", path: Path) -> Image.Image:
    """The sheet once two pictures of it, a moment apart, are the same: the viewer says nowhere that it is done."""
    before = b""
    for _ in range(40):
        page.wait_for_timeout(150)
        now = page.screenshot(path=path)
        with Image.open(path) as picture:
            grey = np.asarray(picture.convert("L"))
            if now == before and grey.max() > VIEWER_GREY:
                rows, columns = ((grey > VIEWER_GREY).mean(axis) > 0.5 for axis in (1, 0))
                top, bottom, left, right = (
                    int(edge) for line in (rows, columns) for edge in np.flatnonzero(line)[[0, -1]]
                )
                return picture.convert("RGB").crop((left, top, right + 1, bottom + 1))
        before = now
    raise TimeoutError("the PDF viewer shows no page")
