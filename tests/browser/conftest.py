"""A browser, reports of synthetic warehouses to open in it, and what a page complained of."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from built_once import built_once
from chromium import Theme, find_chromium, launched, wait_until_drawn
from malicious_names import MALICIOUS
from report_pages import Visit, open_report, unfold
from synthetic_results import Texts, write_synthetic

from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.analysis.report.rendering import write_report
from failmodes.warehouse.database.load import load

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Open = Callable[..., Visit]


@pytest.fixture(scope="module")  # until the module's end: while it runs, nothing else in the process can use asyncio
def browser() -> Iterator["Browser"]:
    pytest.importorskip("playwright", reason="the extra `dev` has Playwright, which drives the browser")
    executable = find_chromium()
    if executable is None:
        pytest.skip("no Chromium here: install it, or let FAILMODES_CHROMIUM name one")
    with launched(executable) as browser:
        yield browser


@pytest.fixture(scope="module")
def open_page(browser: "Browser") -> Open:
    """Open a file offline: `open_page(path, width, theme)`."""

    def opened(path: Path, width: int = 1400, theme: Theme = "light") -> Visit:
        return open_report(browser, path, width, theme)

    return opened


@pytest.fixture(scope="module")
def visit(open_page: Open) -> Iterator[Open]:
    """Open a report once for all tests of a module that only look: its charts are drawn, what folds is unfolded."""
    visits: dict[tuple[Path, int, Theme], Visit] = {}

    def visited(path: Path, width: int = 1400, theme: Theme = "light") -> Visit:
        key = (path, width, theme)
        if key not in visits:
            visits[key] = open_page(path, width, theme)
            unfold(visits[key].page)
            wait_until_drawn(visits[key].page)
        return visits[key]

    yield visited
    for opened in visits.values():
        opened.page.context.close()


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, five corruptions, five severities, 200 images of ten classes."""
    return _reported(tmp_path_factory, "report", images=200)


@pytest.fixture(scope="session")
def malformed_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report whose models, classes, data set, note and study are called by whoever means harm."""
    texts = Texts(study=MALICIOUS[0], dataset=" ".join(MALICIOUS[1:7]), note="\n".join(MALICIOUS), classes=MALICIOUS)
    models = (" ".join(MALICIOUS[:4]), *MALICIOUS[5:8], "".join(MALICIOUS[8:]))
    options = {"images": 100, "models": models, "corruptions": ("fog", "contrast"), "texts": texts}
    return _reported(tmp_path_factory, "malicious", **options)


def _reported(factory: pytest.TempPathFactory, name: str, **options: Any) -> Path:
    def build(folder: Path) -> None:
        write_synthetic(folder, classes=10, exemplars_per_reason=2, **options)
        load([folder], folder / "warehouse.duckdb", derivation=DERIVATION)
        write_report(folder / "warehouse.duckdb")

    return built_once(factory, name, build)[0] / "report.html"
