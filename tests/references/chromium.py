"""The system's Chromium: where it is, how it is started, and whether a report in it is drawn."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")
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
