"""Pictures of a report to look at: `python tests/browser/screenshots.py report.html folder`.

On a screen of 1,400 and of 400 pixels, light and dark, from top to bottom in pictures of at most 2,000 pixels' height
(`1400-light-01.png` …), the first screen as a reader meets it (`1400-light-first.png`), and every printed A4 page
(`print-01.png` …, beside `print.pdf`).
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path[:0] = [str(Path(__file__).parents[1] / "references")]

from chromium import find_chromium, launched, print_a4, sheets, wait_until_drawn  # noqa: E402
from PIL import Image  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SCREENS = {1400: 900, 400: 800}  # width by height, in CSS pixels
TALLEST = 2000


def write_screenshots(report: Path, folder: Path) -> list[Path]:
    """Write all pictures of a report into a folder, which is made where it is missing, and return their paths.

    Raises:
        SystemExit: there is no browser.
    """
    executable = find_chromium()
    if executable is None:
        sys.exit("no Chromium here: install it, or let FAILMODES_CHROMIUM name one")
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("print-*.png"), *(each for width in SCREENS for each in folder.glob(f"{width}-*.png"))):
        old.unlink()
    with launched(executable) as browser:
        for width in SCREENS:
            for theme in ("light", "dark"):
                _write_screen(browser, report, folder, width, theme)
        _write_printed(browser, report, folder)
    return sorted(folder.glob("*.png"))


def _write_screen(browser: "Browser", report: Path, folder: Path, width: int, theme: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": SCREENS[width]}, color_scheme=theme)
    page.goto(report.resolve().as_uri())
    wait_until_drawn(page)
    page.screenshot(path=folder / f"{width}-{theme}-first.png")
    _write_parts(page, folder, f"{width}-{theme}", width)
    page.close()


def _write_parts(page: "Page", folder: Path, name: str, width: int) -> None:
    height = page.evaluate("document.documentElement.scrollHeight")
    for number, top in enumerate(range(0, height, TALLEST), start=1):
        clip = {"x": 0, "y": top, "width": width, "height": min(TALLEST, height - top)}
        page.screenshot(path=folder / f"{name}-{number:02}.png", full_page=True, clip=clip)


def _write_printed(browser: "Browser", report: Path, folder: Path) -> None:
    page = browser.new_page(viewport={"width": 1400, "height": SCREENS[1400]})
    page.goto(report.resolve().as_uri())
    wait_until_drawn(page)
    pdf = print_a4(page)
    (folder / "print.pdf").write_bytes(pdf)
    for number, sheet in enumerate(sheets(browser, pdf), start=1):
        Image.fromarray(sheet).save(folder / f"print-{number:02}.png")


if __name__ == "__main__":
    if len(sys.argv) != 3 or not Path(sys.argv[1]).is_file():
        sys.exit("usage: python tests/browser/screenshots.py report.html folder, where the first is a file")
    for written in write_screenshots(Path(sys.argv[1]), Path(sys.argv[2])):
        print(written)
