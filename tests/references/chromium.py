"""The system's Chromium: where it is, how it is started, the pages of a report in it and on paper."""

import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")
A4_MARGIN = "10mm"  # what Chromium's own print dialog begins with
DARK = 128  # text is darker
VIEWER_GRAY = 60  # nothing that the PDF viewer shows around a sheet is lighter
SHEET_WIDTH, AT_ONCE = 900, 6  # pixels, and sheets in one picture: none may be taller than 16,384
Theme = Literal["light", "dark"]


def find_chromium() -> str | None:
    """Path of the browser that FAILMODES_CHROMIUM names, or of the first known one; None without any."""
    named = os.environ.get("FAILMODES_CHROMIUM")
    return shutil.which(named) if named else next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def launched(executable: str) -> Iterator["Browser"]:
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable)  # without a sandbox: root has none
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


def sheets(browser: "Browser", pdf: bytes) -> list[NDArray[np.uint8]]:
    """Every page of an A4 PDF as pixels, (H, W, 3), as the browser's viewer shows it, without what is around it."""
    count = count_sheets(pdf)
    found: list[NDArray[np.uint8]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "printed.pdf")
        path.write_bytes(pdf)
        while len(found) < count:
            wanted = min(AT_ONCE, count - len(found))
            size = {"width": SHEET_WIDTH, "height": int(SHEET_WIDTH * 1.43 * min(AT_ONCE, count))}
            page = browser.new_page(viewport=size)
            page.goto(f"{path.as_uri()}#page={len(found) + 1}&toolbar=0&view=FitH")
            shown = _settled(page, wanted)
            found += shown[:wanted] if len(found) + wanted < count else shown[-wanted:]  # it cannot scroll past the end
            page.close()
    return found


def _settled(page: "Page", least: int) -> list[NDArray[np.uint8]]:
    """At least so many sheets, once pictures of them, moments apart, are the same: the viewer does not tell.

    It shows a sheet white before it has drawn it, on a busy machine for a while: for these it is waited longer.
    """
    before, calm = b"", 0
    for _ in range(100):
        page.wait_for_timeout(100)
        now = page.screenshot()
        calm = calm + 1 if now == before else 0
        shown = _sheets_in(now) if calm > 1 else []
        if len(shown) >= least and (calm > 15 or all(sheet.min() < DARK for sheet in shown)):
            return shown
        before = now
    raise TimeoutError("the PDF viewer shows too few pages")


def _sheets_in(screenshot: bytes) -> list[NDArray[np.uint8]]:
    """The sheets in a picture of the viewer, from top to bottom; the gray between them is in no sheet."""
    with Image.open(io.BytesIO(screenshot)) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    light = pixels.max(axis=2) > VIEWER_GRAY
    columns = np.flatnonzero(light.any(axis=0))
    edges = np.flatnonzero(np.diff(light.any(axis=1), prepend=False, append=False))
    return [pixels[top:bottom, columns[0] : columns[-1] + 1] for top, bottom in edges.reshape(-1, 2)]
