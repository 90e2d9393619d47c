"""Write docs/images/report.png for the README: the first screen of the demo's report (`make picture`)."""

import io
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "references")]

from chromium import find_chromium, launched, wait_until_drawn  # noqa: E402

WIDTH_PX, HEIGHT_PX, COLORS = 1400, 890, 128


def main(report: Path, picture: Path) -> None:
    """Write the image of a report.

    Raises:
        SystemExit: no Chromium is installed.
    """
    executable = find_chromium()
    if executable is None:
        sys.exit("no Chromium found: install it, or set FAILMODES_CHROMIUM to its path")
    with launched(executable) as browser:
        page = browser.new_page(viewport={"width": WIDTH_PX, "height": HEIGHT_PX}, color_scheme="light")
        page.goto(report.resolve().as_uri())
        wait_until_drawn(page)
        screen = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    screen.quantize(COLORS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(picture, optimize=True)


if __name__ == "__main__":
    main(ROOT / "runs" / "digits" / "report.html", ROOT / "docs" / "images" / "report.png")
