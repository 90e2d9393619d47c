"""The page of a study in a browser: a static host for its folder, and the page opened with what it complains of."""

import http.server
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from chromium import Theme
from report_pages import HEIGHTS, Visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class RangeHandler(http.server.SimpleHTTPRequestHandler):
    """Files of a folder by ranges, as static hosts serve them."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def send_head(self) -> IO[bytes] | None:
        path = Path(self.translate_path(self.path))
        asked = RANGE.match(self.headers.get("Range", ""))
        if asked is None or not path.is_file():
            return super().send_head()  # type: ignore[return-value]
        size = path.stat().st_size
        first, last = int(asked[1]), min(int(asked[2] or size), size - 1)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        with path.open("rb") as file:
            file.seek(first)
            if self.command == "GET":
                self.wfile.write(file.read(last - first + 1))
        return None


@contextmanager
def hosted(folder: Path) -> Iterator[str]:
    """The address of a folder on a static host, while the context lasts."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(RangeHandler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


def visit_page(browser: "Browser", address: str, width: int = 1400, theme: Theme = "light") -> Visit:
    """Go to an address in a context of its own; requests to other hosts are refused, and noted."""
    size = {"width": width, "height": HEIGHTS[width]}
    context = browser.new_context(viewport=size, color_scheme=theme, reduced_motion="reduce", accept_downloads=True)  # type: ignore[arg-type]
    context.set_default_timeout(20_000)
    visit = Visit(context.new_page(), [], [])
    own = (address.split("?")[0].split("#")[0], "data:", "blob:", "about:", "file:")
    context.route(lambda url: not url.startswith(own), lambda route: route.abort())
    context.on("request", lambda asked: None if asked.url.startswith(own) else visit.outside.append(asked.url))
    context.on("console", lambda said: visit.problems.append(said.text) if said.type == "error" else None)
    context.on("dialog", lambda dialog: (visit.problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    context.on("weberror", lambda failed: visit.problems.append(str(failed.error)))
    visit.page.goto(address)
    return visit


def open_study(browser: "Browser", address: str, width: int = 1400, theme: Theme = "light") -> Visit:
    """Open the page of a study and wait for its panels."""
    visit = visit_page(browser, address, width, theme)
    wait_until_shown(visit.page)
    return visit


def wait_until_shown(page: "Page") -> None:
    """Wait until the panels show the predictions."""
    page.locator("main[data-ready=all]").wait_for()
    page.locator(".histogram svg").nth(1).wait_for()
    page.locator(".card").first.wait_for()
    page.locator(".confusion svg").wait_for()


def wait_for_count(page: "Page", count: int) -> None:
    """Wait until this number of predictions is selected, and their images are shown."""
    noun = "prediction" if count == 1 else "predictions"
    page.locator(".summary b", has_text=re.compile(f"^{count:,} {noun}$")).wait_for()
    page.locator("ul.images[aria-busy=false]").wait_for(state="attached")


def points(page: "Page") -> "Locator":
    """The points of the curves; their labels have model, corruption, severity, accuracy, interval and n."""
    return page.locator(".curves circle.target")


def viewer(page: "Page") -> "Locator":
    """The dialog that shows an image over severities, while it is open."""
    return page.locator("dialog.viewer[open]")
