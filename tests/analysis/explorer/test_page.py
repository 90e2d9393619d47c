"""The page without a browser: every part of it runs, its charts and files, and the state in its address."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from failmodes.analysis.charts.style.frame import Frame
from failmodes.analysis.explorer import serving
from failmodes.analysis.explorer.cells import Slice
from failmodes.analysis.explorer.plots import View, view_of
from failmodes.analysis.render.blocks import Sentence
from failmodes.warehouse.errors import QueryError

pytest.importorskip("marimo")

from failmodes.analysis.explorer import elements


class Parameters(dict[str, Any]):
    """Query parameters as marimo keeps them."""

    def get_all(self, key: str) -> list[str]:
        found = self.get(key, [])
        return found if isinstance(found, list) else [found]


@pytest.fixture
def served(explored: Path) -> Iterator[None]:
    serving.EXPLORED.append((explored, None))
    yield
    serving.EXPLORED.clear()


@pytest.mark.usefixtures("served")
def test_every_cell_runs() -> None:
    from failmodes.analysis.explorer.app import app

    _, found = app.run()
    assert found["points"].height == 2 * 5 * 6
    assert found["cell"].severity > 0
    assert found["found"].rows.height == 400
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


def test_the_state_is_kept_in_the_address_and_read_again() -> None:
    parameters = Parameters()
    address = elements.Address(parameters)
    address.keep(model=["A", "B"], cell="e,fog,3", image=None, true_class="one", condition="rmse < 1", prediction="")
    assert parameters["model"] == ["A", "B"]
    assert "image" not in parameters
    assert address.value("cell") == "e,fog,3"
    assert address.slice == Slice("one", None, "rmse < 1")
    address.keep(cell="e,fog,4", true_class=None)
    assert address.value("cell") == "e,fog,4"
    assert address.slice == Slice(None, None, "rmse < 1")


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
