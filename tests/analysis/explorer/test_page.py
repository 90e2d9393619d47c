"""The page without a browser: every part of it runs, its charts and files, and the state in its address."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from failmodes.analysis.charts.style.frame import Frame
from failmodes.analysis.explorer import serving
from failmodes.analysis.explorer.plots import View, view_of
from failmodes.analysis.render.blocks import Sentence
from failmodes.runtime.errors import QueryError

pytest.importorskip("marimo")

from failmodes.analysis.explorer import elements


@pytest.fixture
def served(explored: Path) -> Iterator[None]:
    serving.EXPLORED.append((explored, None))
    yield
    serving.EXPLORED.clear()


@pytest.mark.usefixtures("served")
@pytest.mark.slow
def test_every_cell_runs() -> None:
    from failmodes.analysis.explorer.app import app

    _, found = app.run()
    assert found["points"].height == 2 * 5 * 6
    assert found["cell"].severity > 0
    assert found["slice_images"].chosen.height == 400
    assert len(found["cell_elements"]) == 3
    assert found["view"] == View()


@pytest.mark.parametrize(
    ("cookie", "view"),
    [
        ("dark.322", View("dark", Frame(322))),
        ("light.840", View("light", Frame(840))),
        ("", View()),
        ("purple.640", View()),
        ("dark.99999", View()),
        ("dark", View()),
    ],
)
def test_the_view_is_what_the_browser_says(cookie: str, view: View) -> None:
    assert view_of({"failmodes_view": cookie, "session": "x"}) == view


def test_texts_of_a_warehouse_are_no_markup() -> None:
    malicious = "<img src=x onerror=alert(1)>"
    for item in (
        elements.titled(malicious, ""), elements.shown(Sentence(malicious)), elements.role("a", "", of=malicious),
    ):  # fmt: skip
        assert "<img" not in item.text
        assert "&lt;img" in item.text


def test_a_problem_ends_a_cell_with_its_line() -> None:
    import marimo

    def fail() -> None:
        raise QueryError("no <such> column")

    assert elements.attempt(lambda: 3) == 3
    with pytest.raises(marimo.MarimoStopError) as stopped:
        elements.attempt(fail)
    assert "no &lt;such&gt; column" in stopped.value.output.text
